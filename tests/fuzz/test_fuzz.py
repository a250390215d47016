"""A while of fuzzing: no input breaks a parser, and the fuzzer does look."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = int(os.environ.get("FUZZ_SECONDS", "8"))
"""For each parser; `make nightly` gives it a minute."""

SEED = 1
"""Every run tries the same inputs as far as it comes; `make fuzz` tries others each time."""


def fuzz(target: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the fuzzer on a target."""
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", target, *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SECONDS + 90,
        check=False,
    )


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_breaks_a_parser(target: str) -> None:
    """Guided by what code its inputs reach, the fuzzer finds none that is neither accepted nor
    refused; a finding is in the output of the failed test."""
    limits = (f"-max_total_time={SECONDS}", f"-seed={SEED}")
    done = fuzz(target, *limits, "-print_final_stats=1")
    tried = re.search(r"number_of_executed_units: ([0-9]+)", done.stderr)
    covered = re.findall(r"cov: ([0-9]+)", done.stderr)

    assert done.returncode == 0, done.stderr[-4000:]
    assert tried is not None
    assert int(tried[1]) > 100
    assert int(covered[-1]) > 10


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_corpus(target: str) -> None:
    """The fuzzer begins with inputs that reach what is to be tested."""
    done = fuzz(target, "-runs=0")

    assert done.returncode == 0, done.stderr[-4000:]
    assert len(list((REPOSITORY / "tests/fuzz/corpus" / target).iterdir())) >= 3
