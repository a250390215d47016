"""`python -m tests.fuzz TARGET [-max_total_time=60 ...]`: fuzzes one parser, from its corpus on.

What follows the target are options of libFuzzer. An input that breaks the parser is printed, as
bytes and in Base64, and ends the process with another code than 0. What is learnt is kept in no
file unless the name of a folder is given.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tusd_py", "multipart"]):
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    """Fuzz until the time is over."""
    names = [word for word in sys.argv[1:] if not word.startswith("-")]
    if not names or names[0] not in TARGETS:
        sys.exit(f"Name one of: {', '.join(TARGETS)}")
    name, *folders = names
    target = TARGETS[name]

    def once(data: bytes) -> None:
        try:
            target(data)
        except BaseException:
            print(f"{name}: broken by {data!r}", file=sys.stderr, flush=True)
            raise

    options = [word for word in sys.argv[1:] if word.startswith("-")]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as learnt:
        learning = folders or [learnt]
        options = ["-timeout=60", "-max_len=2048", f"-artifact_prefix={learnt}/", *options]
        atheris.Setup([sys.argv[0], *options, *learning, str(CORPUS / name)], once)
        atheris.Fuzz()


main()
