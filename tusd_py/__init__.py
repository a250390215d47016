"""A resumable upload server: tus 1.0.0 and indexed REST chunks over one chunk assembler."""

__version__ = "0.1.0"
