"""Uploads a file with tuspy; the same command again goes on where a cut upload stopped.

    pip install tuspy
    TOKEN=... python upload_tuspy.py recording.mp3 --file-id 123

tuspy's own FileStorage knows a file by its first 64 KiB and its size, so two recordings of one
device can be taken for each other; here the upload's address lies beside the file instead.
"""

import argparse
import json
import mimetypes
import os
import sys
from pathlib import Path

from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError
from tusclient.uploader.uploader import Uploader

GONE = {404, 410}


def upload(args: argparse.Namespace) -> str:
    """Upload `args.file` and return the upload's address.

    Raises TusCommunicationError when the server refuses, or fails more often than `args.retries`;
    what the server has by then is kept, and the next call goes on there.
    """
    state = Path(f"{args.file}.upload-tuspy")
    status = args.file.stat()
    identity = [args.url, args.file_id, status.st_size, status.st_mtime_ns]
    known = json.loads(state.read_text()) if state.exists() else {}
    address = known["upload"] if known.get("identity") == identity else None

    with args.file.open("rb") as stream:
        current = open_upload(args, stream, address)
        if not current.url:
            current.set_url(current.create_url())
            state.write_text(json.dumps({"identity": identity, "upload": current.url}))
        current.upload()

    state.unlink()
    return str(current.url)


def open_upload(args: argparse.Namespace, stream: object, address: str | None) -> Uploader:
    """An upload that goes on at `address`, or a new one when the server forgot it."""
    client = TusClient(f"{args.url}/files/", headers={"Authorization": f"Bearer {args.token}"})
    metadata = {
        "filename": args.file.name,
        "filetype": mimetypes.guess_type(args.file.name)[0] or "application/octet-stream",
    }
    if args.file_id is not None:
        metadata["main_service_file_id"] = str(args.file_id)
    try:
        return client.uploader(
            file_stream=stream,
            url=address,
            metadata=metadata,
            chunk_size=args.chunk_size,  # held in memory; tuspy's default is the whole file
            retries=args.retries,
            retry_delay=args.retry_delay,
            upload_checksum=args.checksum,
        )
    except TusCommunicationError as error:
        if address is None or error.status_code not in GONE:
            raise
        return open_upload(args, stream, None)


def main() -> int:
    """Exit code 0: uploaded; 1: not, and standard error says why."""
    environ = os.environ
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default=environ.get("URL", "http://127.0.0.1:8000"))
    parser.add_argument("--token", default=environ.get("TOKEN"), help="or TOKEN=...")
    parser.add_argument("--file-id", type=int, help="main_service_file_id")
    parser.add_argument("--chunk-size", type=int, default=8 * 2**20, help="bytes per request")
    parser.add_argument("--retries", type=int, default=8, help="per chunk")
    parser.add_argument("--retry-delay", type=int, default=3, help="seconds")
    parser.add_argument("--checksum", action="store_true", help="send a SHA-1 with every chunk")
    args = parser.parse_args()
    if not args.token:
        parser.error("a token is missing: set TOKEN or give --token")
    try:
        print(upload(args))
    except TusCommunicationError as error:
        print(f"{error}: run the same command again to go on", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
