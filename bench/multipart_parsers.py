"""Compares the parsers that could read the multipart forms of `POST /upload/chunk`.

    pip install -e '.[bench]'
    python -m bench.multipart_parsers [--mib 64] [--rounds 5]

Each parser gets the same form in blocks of 128 KiB and drops the content of the chunk. The bodies:
random bytes (what audio and video look like), line breaks alone and runs of dashes, which begin
like a boundary again and again: anyone may send those, so the slowest body is the one that counts.
The last column is the speed relative to the fastest parser for that body.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Callable

import aiohttp
from aiohttp.base_protocol import BaseProtocol
from multidict import CIMultiDict, CIMultiDictProxy
from multipart import PushMultipartParser
from python_multipart.multipart import MultipartParser
from streaming_form_data import StreamingFormDataParser
from streaming_form_data.targets import NullTarget

MIB = 2**20
BLOCK = 128 * 1024
BOUNDARY = b"----WebKitFormBoundaryAbCdEfGhIjKlMnOp"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"
HEAD = (
    b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="upload_session_id"\r\n\r\n'
    b"9f2c9bd6-2c8e-4a44-9f0e-3a1b6f3f1d55\r\n"
    b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="chunk"; filename="chunk"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)
TAIL = b"\r\n--" + BOUNDARY + b"--\r\n"

Blocks = list[bytes]


def with_aiohttp(blocks: Blocks) -> int:
    """aiohttp's own reader, fed as its parser feeds it: one block per turn of the event loop."""

    async def run() -> int:
        loop = asyncio.get_running_loop()
        protocol = BaseProtocol(loop)
        protocol.connection_made(asyncio.Transport())
        content = aiohttp.StreamReader(protocol, limit=2**16, loop=loop)
        headers = CIMultiDictProxy(CIMultiDict({"Content-Type": CONTENT_TYPE}))
        reader = aiohttp.MultipartReader(headers, content)

        async def feed() -> None:
            for block in blocks:
                content.feed_data(block)
                await asyncio.sleep(0)
            content.feed_eof()

        received = 0
        feeding = asyncio.create_task(feed())
        while (part := await reader.next()) is not None:
            assert isinstance(part, aiohttp.BodyPartReader)
            while block := await part.read_chunk(BLOCK):
                if part.name == "chunk":
                    received += len(block)
        await feeding
        return received

    return asyncio.run(run())


def with_multipart(blocks: Blocks) -> int:
    """defnull's multipart."""
    received = 0
    is_chunk = False
    with PushMultipartParser(BOUNDARY) as parser:
        for block in blocks:
            for event in parser.parse(block):
                if isinstance(event, bytes | bytearray):
                    received += len(event) if is_chunk else 0
                elif event is not None:
                    is_chunk = event.name == "chunk"
    return received


def with_python_multipart(blocks: Blocks) -> int:
    """Starlette's and FastAPI's parser; it counts every field, so the first one is subtracted."""
    received = 0

    def on_part_data(data: bytes, start: int, end: int) -> None:
        nonlocal received
        received += len(data[start:end])

    parser = MultipartParser(BOUNDARY, {"on_part_data": on_part_data})
    for block in blocks:
        parser.write(block)
    parser.finalize()
    return received - 36


class CountingTarget(NullTarget):  # type: ignore[misc]  # streaming-form-data has no types
    """Counts what it is given."""

    received = 0

    def on_data_received(self, chunk: bytes) -> None:
        self.received += len(chunk)


def with_streaming_form_data(blocks: Blocks) -> int:
    """streaming-form-data, in Cython."""
    target = CountingTarget()
    parser = StreamingFormDataParser(headers={"Content-Type": CONTENT_TYPE})
    parser.register("chunk", target)
    for block in blocks:
        parser.data_received(block)
    return target.received


PARSERS: dict[str, Callable[[Blocks], int]] = {
    "aiohttp.MultipartReader": with_aiohttp,
    "multipart": with_multipart,
    "python-multipart": with_python_multipart,
    "streaming-form-data": with_streaming_form_data,
}


def bodies(size: int) -> dict[str, bytes]:
    """The contents of the chunk."""
    dashes = b"\r\n" + b"-" * 6
    return {
        "random": os.urandom(size),
        "line breaks": b"\r\n" * (size // 2),
        "dashes": dashes * (size // len(dashes)),
    }


def speed(parser: Callable[[Blocks], int], body: bytes, rounds: int) -> float:
    """MiB/s of the best round; AssertionError when the parser lost or invented bytes."""
    form = HEAD + body + TAIL
    blocks = [form[at : at + BLOCK] for at in range(0, len(form), BLOCK)]
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        received = parser(blocks)
        best = min(best, time.perf_counter() - start)
        assert received == len(body), f"{received} bytes instead of {len(body)}"
    return len(body) / best / MIB


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mib", type=int, default=64, help="size of each body")
    parser.add_argument("--rounds", type=int, default=5, help="the best one counts")
    args = parser.parse_args()
    print(f"{'body':12} {'parser':24} {'MiB/s':>8} {'ratio':>6}")
    for label, body in bodies(args.mib * MIB).items():
        speeds = {name: speed(run, body, args.rounds) for name, run in PARSERS.items()}
        for name, reached in sorted(speeds.items(), key=lambda row: -row[1]):
            print(f"{label:12} {name:24} {reached:8.0f} {reached / max(speeds.values()):6.2f}")


if __name__ == "__main__":
    main()
