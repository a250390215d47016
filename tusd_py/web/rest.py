"""The REST face: /upload/init, /upload/chunk, /upload/complete, /upload/file, /upload/files."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NoReturn

from aiohttp import web

from tusd_py.checksum import sha256_of_text
from tusd_py.chunks import ChunkAssembler
from tusd_py.errors import BadRequest, MissingChunks, UnsupportedMediaType, UploadError
from tusd_py.events import Notice
from tusd_py.names import safe_filename
from tusd_py.request import OWNER
from tusd_py.service import UploadService
from tusd_py.upload import NewUpload, Upload, upload_id_of
from tusd_py.web.auth import Authentication
from tusd_py.web.body import RequestBody
from tusd_py.web.errors import REASON, MethodNotAllowed, NoSuchAddress, answering
from tusd_py.web.form import chunk_form
from tusd_py.web.share import Share

BASE = "/upload/"
MAX_JSON = 64 << 10
"""Longest JSON body in bytes."""

_COMPLETED = {
    Notice.NONE: "File upload completed.",
    Notice.QUEUED: "File upload completed, notification queued.",
    Notice.DELIVERED: "File upload completed and main service notified.",
}

_DIGITS = re.compile(r"[0-9]{1,19}")
_MAX_INTEGER = 10**19

_Verb = Callable[[web.Request, str], Awaitable[web.Response]]


class RestFace:
    """Serves everything under `base`, which ends with /upload/. `spool` is a folder for chunks that
    come too early in their form; `idle` in seconds, `rate` in bytes a second."""

    def __init__(
        self,
        *,
        service: UploadService,
        authenticator: Authentication,
        spool: Path,
        idle: float,
        rate: int,
        share: Share,
        base: str = BASE,
    ) -> None:
        self._service = service
        self._chunks = ChunkAssembler(service)
        self._authenticator = authenticator
        self._base = base
        self._spool = spool
        self._idle = idle
        self._rate = rate
        self._share = share
        self._verbs: Mapping[str, tuple[str, _Verb]] = {
            "init": ("POST", self._init),
            "chunk": ("POST", self._chunk),
            "complete": ("POST", self._complete),
            "file": ("DELETE", self._delete),
            "files": ("GET", self._list),
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request under /upload/."""
        return await answering(request, self._dispatch, _refusal)

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        name = request.path.removeprefix(self._base)
        if name not in self._verbs:
            raise NoSuchAddress
        method, verb = self._verbs[name]
        if request.method == "OPTIONS":
            return web.Response(status=200, headers={"Allow": f"{method}, OPTIONS"})
        if request.method != method:
            raise MethodNotAllowed((method, "OPTIONS"))
        owner = await self._authenticator.owner_of(request)
        OWNER.set(owner)
        with self._share.taken(owner, method):
            return await verb(request, owner)

    async def _init(self, request: web.Request, owner: str) -> web.Response:
        fields = await self._json(request)
        new = NewUpload(
            owner=owner,
            filename=safe_filename(_text(fields, "original_file_name")),
            declared_file_id=str(_integer(fields, "main_service_file_id", least=0)),
            sha256=_sha256(fields),
        )

        upload = await self._service.create(new)

        data = {"upload_session_id": upload.id}
        return _success(message="Upload session initialized.", data=data)

    async def _chunk(self, request: web.Request, owner: str) -> web.Response:
        body = RequestBody(request, idle=self._idle, rate=self._rate)
        max_size = self._service.limits.max_size
        content_type = request.headers.get("Content-Type", "")
        async with (
            self._service.draining(body),
            self._service.accounts.flight(owner) as flight,
            chunk_form(
                body, content_type, spool=self._spool, max_size=max_size, flight=flight
            ) as form,
        ):
            if _DIGITS.fullmatch(form.chunk_index) is None:
                raise BadRequest("chunk_index: send a whole number from 0, in digits.")

            upload_id = upload_id_of(form.upload_session_id)
            await self._chunks.append_chunk(owner, upload_id, int(form.chunk_index), form.chunk)

        return _success(message="Chunk uploaded successfully.")

    async def _complete(self, request: web.Request, owner: str) -> web.Response:
        fields = await self._json(request)
        upload_id = upload_id_of(_text(fields, "upload_session_id"))
        total = _integer(fields, "total_chunks", least=1)
        file_id = str(_integer(fields, "main_service_file_id", least=0))

        upload = await self._chunks.complete(owner, upload_id, total=total, file_id=file_id)
        notice = await self._service.notice(upload)

        data = {"file_path_on_upload_service": await self._service.location(upload)}
        if (sha256 := _digest(upload)) is not None:
            data["sha256"] = sha256
        return _success(message=_COMPLETED[notice], data=data)

    async def _delete(self, request: web.Request, owner: str) -> web.Response:
        upload_id = upload_id_of(_text(await self._json(request), "upload_session_id"))

        await self._service.terminate(owner, upload_id)

        return _success(message="Upload deleted.")

    async def _list(self, _request: web.Request, owner: str) -> web.Response:
        uploads = await self._service.files(owner)
        locations = [await self._service.location(upload) for upload in uploads]

        described = [_described(*each) for each in zip(uploads, locations, strict=True)]
        return _success(files=locations, uploads=described)

    async def _json(self, request: web.Request) -> Mapping[str, object]:
        """The JSON object of a request, read only as far as it may be long."""
        if request.content_type != "application/json":
            raise UnsupportedMediaType("Send JSON with Content-Type: application/json.")
        body = RequestBody(request, idle=self._idle, rate=self._rate)
        data = b""
        async with self._service.draining(body):
            while block := await body.read():
                data += block
                if len(data) > MAX_JSON:
                    raise BadRequest(f"The JSON is longer than {MAX_JSON} bytes.")
        try:
            fields = json.loads(data.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise BadRequest("The body is not valid JSON.") from None
        if not isinstance(fields, dict):
            raise BadRequest("The body is not a JSON object.")
        return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{name}: send a text that is not empty.")
    return value


def _integer(fields: Mapping[str, object], name: str, *, least: int) -> int:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _MAX_INTEGER:
        raise BadRequest(f"{name}: send a whole number, at least {least}.")
    return value


def _sha256(fields: Mapping[str, object]) -> bytes | None:
    """What the client claims to send; None when it says nothing."""
    if fields.get("sha256") is None:
        return None
    return sha256_of_text(_text(fields, "sha256"))


def _digest(upload: Upload) -> str | None:
    """The digest of a finished file in hexadecimal, as `sha256sum` prints it."""
    if upload.completion is None or upload.completion.sha256 is None:
        return None
    return upload.completion.sha256.hex()


def _described(upload: Upload, location: str) -> dict[str, object]:
    assert upload.completion is not None
    return {
        "upload_session_id": upload.id,
        "file_name": upload.filename,
        "size": upload.offset,
        "content_type": upload.content_type,
        "path": location,
        "completed_at": upload.completion.at.isoformat(),
        "sha256": _digest(upload),
    }


def _success(**fields: object) -> web.Response:
    return web.json_response({"status": "success", **fields})


def refusal_fields(error: UploadError) -> dict[str, object]:
    """The error as JSON: a stable word for programs, a sentence for people."""
    fields: dict[str, object] = {"status": "error", "code": error.code, "message": str(error)}
    if isinstance(error, MissingChunks):
        fields |= {"missing": error.missing, "missing_count": error.count}
    return fields


def _refusal(_request: web.Request, error: UploadError, status: int) -> web.Response:
    return web.json_response(refusal_fields(error), status=status, reason=REASON.get(status))
