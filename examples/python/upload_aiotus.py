"""Uploads a file with aiotus, which goes on by itself after a cut, and in parallel on demand.

pip install aiotus
TOKEN=... python upload_aiotus.py recording.mp3 --file-id 123 --parallel 4
"""

import argparse
import asyncio
import io
import logging
import mimetypes
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import aiotus


class Slice(io.RawIOBase):
    """The bytes of a file from `start` on, `size` of them, as a file of their own."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._file = path.open("rb")
        self._start = start
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(self._size - self._position, 0)
        self._file.seek(self._start + self._position)
        block = self._file.read(left if size < 0 else min(size, left))
        self._position += len(block)
        return block

    def close(self) -> None:
        self._file.close()
        super().close()


def slices(path: Path, count: int) -> Iterator[Slice]:
    """The file cut into at most `count` pieces of nearly the same size."""
    size = path.stat().st_size
    step = max(-(-size // count), 1)
    for start in range(0, max(size, 1), step):
        yield Slice(path, start, min(step, size - start))


async def upload(args: argparse.Namespace) -> str | None:
    """Upload `args.file`; returns the upload's address, or None (logged) when it was given up."""
    media_type = mimetypes.guess_type(args.file.name)[0] or "application/octet-stream"
    metadata: dict[str, bytes | None] = {
        "filename": args.file.name.encode(),
        "filetype": media_type.encode(),
    }
    if args.file_id is not None:
        metadata["main_service_file_id"] = str(args.file_id).encode()
    headers = {"Authorization": f"Bearer {args.token}"}
    config = aiotus.RetryConfiguration(retry_attempts=args.retries, max_retry_period_seconds=30)

    with ExitStack() as stack:
        if args.parallel > 1:
            # Each piece is an upload of its own; at the end the server joins them.
            pieces = [stack.enter_context(piece) for piece in slices(args.file, args.parallel)]
            location = await aiotus.upload_multiple(
                f"{args.url}/files/",
                pieces,  # type: ignore[arg-type]  # aiotus names BinaryIO and needs seek and read
                metadata,
                config=config,
                headers=headers,
                chunksize=args.chunk_size,
                parallel_uploads=args.parallel,
            )
        else:
            location = await aiotus.upload(
                f"{args.url}/files/",
                stack.enter_context(args.file.open("rb")),
                metadata,
                config=config,
                headers=headers,
                chunksize=args.chunk_size,
            )
    return None if location is None else str(location)


def main() -> int:
    """Exit code 0: uploaded; 1: not, and standard error says why."""
    environ = os.environ
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default=environ.get("URL", "http://127.0.0.1:8000"))
    parser.add_argument("--token", default=environ.get("TOKEN"), help="or TOKEN=...")
    parser.add_argument("--file-id", type=int, help="main_service_file_id")
    parser.add_argument("--chunk-size", type=int, default=8 * 2**20, help="bytes per request")
    parser.add_argument("--retries", type=int, default=8, help="tries of each step")
    parser.add_argument("--parallel", type=int, default=1, help="pieces sent at the same time")
    args = parser.parse_args()
    if not args.token:
        parser.error("a token is missing: set TOKEN or give --token")
    logging.basicConfig(level=logging.WARNING)  # aiotus says there what failed
    location = asyncio.run(upload(args))
    if location is None:
        return 1
    print(location)
    return 0


if __name__ == "__main__":
    sys.exit(main())
