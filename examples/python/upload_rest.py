"""Uploads a file in REST chunks, several at a time; the same command goes on after a cut.

pip install aiohttp
TOKEN=... python upload_rest.py recording.mp3 --file-id 123
"""

import argparse
import asyncio
import io
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import aiohttp

TEMPORARY = {408, 423, 429, *range(500, 600)}
FAILURES = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError)


class Refused(Exception):
    """The server gave an answer that a repetition would not change."""

    def __init__(self, status: int, answer: dict[str, object]) -> None:
        super().__init__(f"{status}: {answer.get('message', answer)}")
        self.status = status
        self.answer = answer


class Uploads:
    """The four requests of the REST face, each repeated while the trouble is temporary."""

    def __init__(
        self, session: aiohttp.ClientSession, base: str, *, tries: int, pause: float
    ) -> None:
        self._session = session
        self._base = base.rstrip("/")
        self._tries = tries
        self._pause = pause

    async def init(self, file_id: int, name: str) -> str:
        """Open an upload; returns its id."""
        body = {"main_service_file_id": file_id, "original_file_name": name}
        answer = await self._post("init", lambda: {"json": body})
        data = answer["data"]
        assert isinstance(data, dict)
        return str(data["upload_session_id"])

    async def chunk(self, upload_id: str, index: int, content: bytes) -> None:
        """Send a chunk; sending it twice does no harm."""

        def form() -> dict[str, object]:
            fields = aiohttp.FormData()
            fields.add_field("upload_session_id", upload_id)
            fields.add_field("chunk_index", str(index))
            fields.add_field("chunk", io.BytesIO(content), filename="chunk")
            return {"data": fields}

        await self._post("chunk", form)

    async def complete(self, upload_id: str, total: int, file_id: int) -> dict[str, object]:
        """Finish; raises Refused with `missing` in its answer while chunks are missing."""
        body = {
            "upload_session_id": upload_id,
            "total_chunks": total,
            "main_service_file_id": file_id,
        }
        return await self._post("complete", lambda: {"json": body})

    async def _post(self, verb: str, body: Callable[[], dict[str, object]]) -> dict[str, object]:
        """The answer of the first try that got one; raises Refused, or one of FAILURES."""
        for attempt in range(self._tries):
            last = attempt == self._tries - 1
            wait = min(self._pause * 2**attempt, 30)
            try:
                async with self._session.post(
                    f"{self._base}/upload/{verb}",
                    **body(),  # type: ignore[arg-type]  # `json` or `data`
                ) as response:
                    answer = parsed(await response.text(errors="replace"))
                    if response.ok:
                        return answer
                    if last or response.status not in TEMPORARY:
                        raise Refused(response.status, answer)
                    after = response.headers.get("Retry-After", "")
                    wait = max(wait, int(after) if after.isdecimal() else 0)
            except FAILURES:
                if last:
                    raise
            await asyncio.sleep(wait)
        raise ValueError("at least one try is needed")


def parsed(text: str) -> dict[str, object]:
    """An answer of the service, or of a proxy before it that speaks no JSON."""
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"message": text}


class State:
    """The id of an unfinished upload, kept beside the file for the next run."""

    def __init__(self, args: argparse.Namespace) -> None:
        status = args.file.stat()
        self.size: int = status.st_size
        self._path = Path(f"{args.file}.upload-rest-py")
        self._identity = [args.url, args.file_id, args.chunk_size, self.size, status.st_mtime_ns]

    def load(self) -> str | None:
        """The id, or None when there is none for this very file, chunk size and server."""
        known = json.loads(self._path.read_text()) if self._path.exists() else {}
        return str(known["upload"]) if known.get("identity") == self._identity else None

    def save(self, upload_id: str) -> None:
        """Remember an id."""
        self._path.write_text(json.dumps({"identity": self._identity, "upload": upload_id}))

    def forget(self) -> None:
        """The upload is finished."""
        self._path.unlink()


async def upload(args: argparse.Namespace) -> dict[str, object]:
    """Upload `args.file`; returns the answer of complete, raises as Uploads does."""
    state = State(args)
    upload_id = state.load()
    total = max(-(-state.size // args.chunk_size), 1)  # an empty file is one empty chunk
    todo: Iterable[int] = ()

    headers = {"Authorization": f"Bearer {args.token}"}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=300)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        uploads = Uploads(session, args.url, tries=args.tries, pause=args.pause)
        for _ in range(3 + total // 100):  # a refusal names at most 100 missing chunks
            if upload_id is None:
                upload_id = await uploads.init(args.file_id, args.file.name)
                state.save(upload_id)
                todo = range(total)
            await send(uploads, upload_id, todo, args)
            try:
                answer = await uploads.complete(upload_id, total, args.file_id)
            except Refused as refusal:
                if refusal.status in {404, 410}:
                    upload_id = None  # the server forgot an upload of yesterday
                    continue
                missing = refusal.answer.get("missing")
                if not isinstance(missing, list):
                    raise
                todo = missing
            else:
                state.forget()
                return answer
    raise TimeoutError("the server keeps asking for chunks that it confirmed")


async def send(
    uploads: Uploads, upload_id: str, indexes: Iterable[int], args: argparse.Namespace
) -> None:
    """Send some chunks, `args.parallel` at a time, each held in memory while it is sent."""
    waiting = iter(indexes)

    async def work() -> None:
        for index in waiting:
            start = index * args.chunk_size
            content = await asyncio.to_thread(read, args.file, start, args.chunk_size)
            await uploads.chunk(upload_id, index, content)

    async with asyncio.TaskGroup() as group:
        for _ in range(args.parallel):
            group.create_task(work())


def read(path: Path, start: int, size: int) -> bytes:
    """The bytes of one chunk."""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


def main() -> int:
    """Exit code 0: uploaded; 1: not, and standard error says why."""
    environ = os.environ
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default=environ.get("URL", "http://127.0.0.1:8000"))
    parser.add_argument("--token", default=environ.get("TOKEN"), help="or TOKEN=...")
    parser.add_argument("--file-id", type=int, required=True, help="main_service_file_id")
    parser.add_argument("--chunk-size", type=int, default=8 * 2**20, help="bytes")
    parser.add_argument("--parallel", type=int, default=4, help="chunks sent at the same time")
    parser.add_argument("--tries", type=int, default=8, help="per request")
    parser.add_argument("--pause", type=float, default=1, help="seconds; doubles up to 30")
    args = parser.parse_args()
    if not args.token:
        parser.error("a token is missing: set TOKEN or give --token")
    try:
        answer = asyncio.run(upload(args))
    except* (Refused, *FAILURES) as errors:
        for error in errors.exceptions:
            print(f"{error!r}: run the same command again to go on", file=sys.stderr)
        return_code = 1
    else:
        print(json.dumps(answer, ensure_ascii=False))
        return_code = 0
    return return_code


if __name__ == "__main__":
    sys.exit(main())
