"""The tus 1.0.0 face: creation, HEAD, PATCH, termination, concatenation, download."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from aiohttp import web

from tusd_py.checksum import ALGORITHMS, sha256_of
from tusd_py.errors import (
    BadRequest,
    Forbidden,
    Rejected,
    TooManyRequests,
    Trouble,
    UploadError,
    UploadLocked,
)
from tusd_py.metadata import described
from tusd_py.request import OWNER, UPLOAD
from tusd_py.service import UploadService
from tusd_py.upload import (
    Append,
    Final,
    NewUpload,
    Partial,
    Upload,
    is_upload_id,
    upload_id_of,
)
from tusd_py.web import tus_headers
from tusd_py.web.auth import Authentication
from tusd_py.web.body import RequestBody
from tusd_py.web.download import repr_digest, send
from tusd_py.web.errors import (
    REASON,
    MethodNotAllowed,
    NoSuchAddress,
    VersionMismatch,
    answering,
    status_of,
)
from tusd_py.web.origin import PublicAddress
from tusd_py.web.share import Share
from tusd_py.web.tus_headers import VERSION, Metadata, http_date

HEAD_SECONDS = 2.5
"""A HEAD that takes longer is answered 423: tus-js-client loses its progress on a 5xx."""

_COLLECTION = ("POST", "OPTIONS")
_UPLOAD = ("HEAD", "GET", "PATCH", "DELETE", "OPTIONS")
_LENIENT = {"HEAD", "GET"}
_EXPIRES: web.RequestKey[str] = web.RequestKey("expires", str)


class TusFace:
    """Serves everything under `base`, which has a slash at both ends. `idle` in seconds, `rate` in
    bytes a second; from `direct` bytes on a download goes past aiohttp; `met` is told which limit
    ended one."""

    def __init__(
        self,
        *,
        service: UploadService,
        authenticator: Authentication,
        address: PublicAddress,
        base: str,
        idle: float,
        rate: int,
        direct: int | None,
        share: Share,
        met: Callable[[str], None],
    ) -> None:
        self._service = service
        self._authenticator = authenticator
        self._address = address
        self._base = base
        self._idle = idle
        self._rate = rate
        self._direct = direct
        self._share = share
        self._met = met
        self._finding: set[asyncio.Task[Upload | UploadError]] = set()

    def serves(self, path: str) -> bool:
        """Whether a path belongs to this face."""
        return path == self._base[:-1] or path.startswith(self._base)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request under the base path."""
        return await answering(request, self._dispatch, _refusal)

    def add_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """What every answer of this face carries."""
        response.headers["Tus-Resumable"] = VERSION
        if request.method == "HEAD":
            response.headers["Cache-Control"] = "no-store"
        if (expires := request.get(_EXPIRES)) is not None:
            response.headers["Upload-Expires"] = expires

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        method = request.headers.get("X-HTTP-Method-Override", request.method).strip().upper()
        upload_id = upload_id_of(request.path.removeprefix(self._base[:-1]).removeprefix("/"))
        if "/" in upload_id:
            raise NoSuchAddress
        if method == "OPTIONS":
            return self._options()
        owner = await self._authenticator.owner_of(request)
        if method not in (allowed := _UPLOAD if upload_id else _COLLECTION):
            raise MethodNotAllowed(allowed)
        _require_version(request, method)
        OWNER.set(owner)
        UPLOAD.set(upload_id if is_upload_id(upload_id) else None)
        with self._share.taken(owner, method):
            return await self._answer(request, method, owner, upload_id)

    async def _answer(
        self, request: web.Request, method: str, owner: str, upload_id: str
    ) -> web.StreamResponse:
        match method:
            case "POST":
                return await self._create(request, owner)
            case "HEAD":
                return await self._head(owner, upload_id)
            case "PATCH":
                return await self._patch(request, owner, upload_id)
            case "DELETE":
                return await self._terminate(owner, upload_id)
            case _:
                return await self._download(request, owner, upload_id)

    def _options(self) -> web.Response:
        headers = {
            "Tus-Version": VERSION,
            "Tus-Extension": ",".join(tus_headers.EXTENSIONS),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        }
        if (max_size := self._service.limits.max_size) is not None:
            headers["Tus-Max-Size"] = str(max_size)
        return web.Response(status=200, headers=headers)

    async def _create(self, request: web.Request, owner: str) -> web.Response:
        is_concat = "Upload-Concat" in request.headers
        bases = self._address.urls(request, self._base) if is_concat else ()
        concat = tus_headers.concat(request.headers, bases)
        metadata = tus_headers.metadata(request.headers, self._service.limits.max_metadata)
        checksum = tus_headers.checksum(request.headers)
        has_bytes = tus_headers.is_append_body(request.headers)
        body = RequestBody(request, idle=self._idle, rate=self._rate)
        if not has_bytes and (body.size or await body.read()):
            tus_headers.require_media_type(request.headers)

        if isinstance(concat, Final):
            _require_no_length(request)
            if body.size or await body.read():
                raise Forbidden("Upload-Concat: a final upload takes no bytes of its own.")
            upload = await self._service.concatenate(_new(owner, metadata, None, None), concat)
        else:
            length = tus_headers.length(request.headers)
            new = _new(owner, metadata, length, concat)
            upload = await self._service.create(new, body if has_bytes else None, checksum)

        headers = {"Location": self._address.url(request, f"{self._base}{upload.id}")}
        if has_bytes:
            headers["Upload-Offset"] = str(upload.offset)
        return web.Response(status=201, headers={**headers, **_expires(upload)})

    async def _head(self, owner: str, upload_id: str) -> web.Response:
        upload = await self._found_soon(owner, upload_id)

        headers = {"Upload-Offset": str(upload.offset), "Cache-Control": "no-store"}
        if upload.length is None:
            headers["Upload-Defer-Length"] = "1"
        else:
            headers["Upload-Length"] = str(upload.length)
        if upload.metadata is not None:
            headers["Upload-Metadata"] = upload.metadata
        match upload.concat:
            case Partial():
                headers["Upload-Concat"] = "partial"
            case Final():
                headers["Upload-Concat"] = upload.concat.header
        headers |= repr_digest(upload)
        return web.Response(status=200, headers={**headers, **_expires(upload)})

    async def _patch(self, request: web.Request, owner: str, upload_id: str) -> web.Response:
        body = RequestBody(request, idle=self._idle, rate=self._rate)
        try:
            tus_headers.require_media_type(request.headers)
            append = Append(
                offset=tus_headers.offset(request.headers),
                size=body.size,
                length=tus_headers.number(request.headers, "Upload-Length"),
                checksum=tus_headers.checksum(request.headers),
            )

            upload = await self._service.append(owner, upload_id, append, body)
        except UploadError:
            await self._note_expiry(request, owner, upload_id)
            raise

        headers = {"Upload-Offset": str(upload.offset), **_expires(upload)}
        return web.Response(status=204, headers=headers)

    async def _download(
        self, request: web.Request, owner: str, upload_id: str
    ) -> web.StreamResponse:
        url = await self._service.download_url(owner, upload_id)

        if url is None:
            content = self._service.open(owner, upload_id)
            return await send(request, content, idle=self._idle, direct=self._direct, met=self._met)
        headers = {"Location": url, "Cache-Control": "private, no-store"}
        return web.Response(status=302, headers=headers)

    async def _terminate(self, owner: str, upload_id: str) -> web.Response:
        await self._service.terminate(owner, upload_id)

        return web.Response(status=204)

    async def _found_soon(self, owner: str, upload_id: str) -> Upload:
        """The upload, or `UploadLocked` for any trouble that may pass, a hook that does not let it
        be finished included: a client that got a 4xx would forget its upload."""
        finding = asyncio.create_task(self._find(owner, upload_id))
        self._finding.add(finding)
        finding.add_done_callback(self._finding.discard)
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                found = await asyncio.shield(finding)
        except TimeoutError as error:
            raise UploadLocked from error
        if isinstance(found, Trouble | Rejected):
            raise UploadLocked from found
        if isinstance(found, UploadError):
            raise found
        return found

    async def _find(self, owner: str, upload_id: str) -> Upload | UploadError:
        """The upload or why there is none, which nobody may wait for any more."""
        try:
            return await self._service.find(owner, upload_id)
        except UploadError as error:
            return error

    async def _note_expiry(self, request: web.Request, owner: str, upload_id: str) -> None:
        """Upload-Expires belongs on every answer to a PATCH (tus 1.0.0, Expiration)."""
        with contextlib.suppress(UploadError):
            for name, value in _expires(await self._service.alive(owner, upload_id)).items():
                assert name == "Upload-Expires"
                request[_EXPIRES] = value


def _require_version(request: web.Request, method: str) -> None:
    lines = request.headers.getall("Tus-Resumable", [])
    if lines == [VERSION] or (not lines and method in _LENIENT):
        return
    raise VersionMismatch


def _require_no_length(request: web.Request) -> None:
    if "Upload-Length" in request.headers or "Upload-Defer-Length" in request.headers:
        raise BadRequest("Upload-Concat: a final upload has the length of its parts; send none.")


def _new(
    owner: str, metadata: Metadata | None, length: int | None, concat: Partial | None
) -> NewUpload:
    new = NewUpload(owner=owner, filename=None, length=length, concat=concat)
    if metadata is None:
        return new
    claimed = metadata.values.get("sha256")
    if claimed is not None:
        new = replace(new, sha256=sha256_of(claimed))
    return described(new, metadata.header, metadata.text)


def _expires(upload: Upload) -> dict[str, str]:
    return {"Upload-Expires": http_date(upload.expires_at)} if upload.will_expire else {}


def _refusal(request: web.Request, error: UploadError, status: int) -> web.Response:
    """One line of text: clients log it, people read it. A HEAD is 423 where another request is
    429: tus-js-client forgets an upload for every 4xx but that."""
    if isinstance(error, TooManyRequests) and request.method == "HEAD":
        status = status_of(UploadLocked())
    headers = {"X-Content-Type-Options": "nosniff"}
    if isinstance(error, VersionMismatch):
        headers["Tus-Version"] = VERSION
    text = f"{error}\n"
    return web.Response(status=status, reason=REASON.get(status), text=text, headers=headers)
