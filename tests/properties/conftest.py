"""How many inputs are tried: always the same ones, or with HYPOTHESIS_PROFILE=long new ones for as
long as it takes."""

import os

from hypothesis import HealthCheck, settings

SUPPRESSED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]

settings.register_profile(
    "quick",
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=SUPPRESSED,
)
settings.register_profile(
    "long",
    deadline=None,
    max_examples=5_000,
    print_blob=True,
    suppress_health_check=SUPPRESSED,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
