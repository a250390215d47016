"""Parsers that a coverage-guided fuzzer looks for holes in (atheris, libFuzzer)."""
