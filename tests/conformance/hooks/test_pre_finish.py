"""pre-finish: no file without its consent, and no byte lost for want of it."""

import asyncio
import time

import pytest

from tests.conformance.hooks.conftest import MakeSteered
from tests.conformance.hooks.faces import (
    CONTENT,
    ENDS,
    NAME,
    Answer,
    Begin,
    End,
    final,
    id_of,
    rest_of,
    with_upload,
)
from tests.conformance.tus.client import Tus, metadata
from tests.hook_server import HookServer, Said, said

LOCAL = pytest.mark.parametrize("make_store", ["local"], indirect=True)
ALL_ENDS = pytest.mark.parametrize(("begin", "end"), ENDS.values(), ids=ENDS)

NO = {
    "rejects": (said(RejectUpload=True, HTTPResponse={"StatusCode": 422, "Body": "virus"}), 422),
    "says nothing of a status": (said(RejectUpload=True), 400),
    "fails": (Said(status=500), 503),
    "talks nonsense": (Said(body=b"nonsense"), 503),
}
REFUSALS = pytest.mark.parametrize(("no", "status"), NO.values(), ids=NO)


async def require_unfinished(tus: Tus, url: str) -> None:
    """The upload is no file in any way; a HEAD asks its client to wait."""
    head = await tus.head(url)
    assert (head.status, head.headers["Retry-After"]) == (423, "1")
    assert (await tus.get(url)).status == 409
    assert await tus.listed() == []
    assert NAME not in str(await tus.address.finished())


@REFUSALS
@ALL_ENDS
async def test_no_file_without_consent(
    tus: Tus, hooks: HookServer, begin: Begin, end: End, no: Said, status: int
) -> None:
    """A hook that refuses or fails leaves the upload full and unfinished. The next HEAD asks again,
    and when the hook agrees the file is there with all its bytes."""
    hooks.answers["pre-finish"] = no
    upload_id = id_of(await begin(tus))
    url = tus.address.files + upload_id

    answer = await end(tus, upload_id)

    assert answer.status == status
    if status == 422:
        assert answer.body == b"virus"
    await require_unfinished(tus, url)
    assert "post-finish" not in hooks.kinds()
    hooks.answers["pre-finish"] = Said()
    head = await tus.head(url)
    assert (head.status, head.headers["Upload-Offset"]) == (200, str(len(CONTENT)))
    assert await tus.download(url) == CONTENT
    assert len(await tus.listed()) == 1
    await hooks.called("post-finish")


@LOCAL
@ALL_ENDS
async def test_the_last_request_can_be_sent_again(
    tus: Tus, hooks: HookServer, begin: Begin, end: End
) -> None:
    """Nothing of a refusal sticks: the PATCH at the end, or `complete`, asks again and succeeds."""
    hooks.answers["pre-finish"] = [Said(status=503)] * 4 + [Said()]
    upload_id = id_of(await begin(tus))
    first = await end(tus, upload_id)

    if end is ENDS["patch"][1]:
        again = await tus.patch(tus.address.files + upload_id, len(CONTENT), b"")
        status, expected = again.status, 204
    else:
        status, expected = (await end(tus, upload_id)).status, 200

    assert (first.status, status) == (503, expected)
    assert await tus.download(tus.address.files + upload_id) == CONTENT


@LOCAL
async def test_a_chunk_sent_again(tus: Tus, hooks: HookServer) -> None:
    """A REST chunk that fills an upload of known length is kept although the hook fails; sent again
    it is a success, and `complete` asks once more."""
    hooks.answers["pre-finish"] = Said(status=404)
    url = await tus.create(len(CONTENT), metadata(filename=NAME, main_service_file_id="123"))
    upload_id, rest = url.rpartition("/")[2], rest_of(tus)
    statuses = [(await rest.chunk(upload_id, 0, CONTENT)).status for _ in range(2)]
    hooks.answers["pre-finish"] = Said()

    done = await rest.complete(upload_id, 1)

    assert statuses == [503, 200]
    assert done.status == 200
    assert await tus.address.finished() == {f"42/123/{NAME}": len(CONTENT)}


@pytest.mark.parametrize("no", [NO["rejects"], NO["fails"]], ids=["rejects", "fails"])
async def test_a_creation_that_may_not_finish_leaves_nothing(
    tus: Tus, hooks: HookServer, no: tuple[Said, int]
) -> None:
    """Nobody learned the id of an upload whose creation was refused, so it is gone: the sweeper
    does not make a file of it later."""
    hooks.answers["pre-finish"], status = no
    part = await tus.upload(CONTENT, {"Upload-Concat": "partial"})

    answers: list[Answer] = [await with_upload(tus), await final(tus, part)]
    answers.append(_plain(await tus.post({"Upload-Length": "0"})))

    assert [answer.status for answer in answers] == [status] * 3
    assert all("Location" not in answer.headers for answer in answers)
    assert len(await hooks.called("post-terminate", 3)) == 3
    hooks.answers["pre-finish"] = Said()
    assert (await final(tus, part)).status == 201
    assert len(await tus.listed()) == 1


def _plain(answer: object) -> Answer:
    """An answer of any client."""
    return Answer(
        status=getattr(answer, "status"),  # noqa: B009
        headers=getattr(answer, "headers"),  # noqa: B009
        body=getattr(answer, "body"),  # noqa: B009
    )


@LOCAL
async def test_the_file_is_not_there_while_the_hook_thinks(tus: Tus, hooks: HookServer) -> None:
    """While a hook is being asked there is no file; HEAD answers 423 within three seconds, and so
    does another PATCH or DELETE; then all goes on."""
    hooks.held.add("pre-finish")
    url = await tus.create(len(CONTENT), metadata(filename=NAME))
    patching = asyncio.create_task(tus.patch(url, 0, CONTENT))
    await hooks.called("pre-finish")

    started = time.monotonic()
    answers = await asyncio.gather(
        tus.head(url), tus.head(url), tus.patch(url, len(CONTENT), b""), tus.delete(url)
    )
    took = time.monotonic() - started

    assert [answer.status for answer in answers] == [423] * 4
    assert took < 3.0
    assert await tus.listed() == []
    await hooks.release("pre-finish")
    assert (await patching).status == 204
    assert await tus.download(url) == CONTENT


@LOCAL
async def test_a_silent_hook(make_steered: MakeSteered, hooks: HookServer) -> None:
    """A hook that does not answer in HOOKS_HTTP_TIMEOUT refuses."""
    tus = await make_steered(HOOKS_HTTP_TIMEOUT="0.3s", HOOKS_ENABLED_EVENTS="pre-finish")
    hooks.held.add("pre-finish")
    url = await tus.create(len(CONTENT), metadata(filename=NAME))

    answer = await tus.patch(url, 0, CONTENT)

    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    await require_unfinished(tus, url)


async def test_the_sweeper_asks_again(make_steered: MakeSteered, hooks: HookServer) -> None:
    """No client needs to come back: the sweeper asks until the hook agrees, without a request."""
    tus = await make_steered(SWEEP_INTERVAL="0.2s")
    hooks.answers["pre-finish"] = Said(status=404)
    url = await tus.create(len(CONTENT), metadata(filename=NAME))
    await tus.patch(url, 0, CONTENT)
    await hooks.called("pre-finish", 3)
    hooks.answers["pre-finish"] = Said()

    [told] = await hooks.called("post-finish")

    assert await tus.download(url) == CONTENT
    assert told.part("HTTPRequest") == {"Method": "", "URI": "", "RemoteAddr": "", "Header": {}}


@LOCAL
@ALL_ENDS
async def test_a_reply_is_added(tus: Tus, hooks: HookServer, begin: Begin, end: End) -> None:
    """HTTPResponse of a hook that agrees is in the answer to the last request."""
    hooks.answers["pre-finish"] = said(
        HTTPResponse={"StatusCode": 200, "Body": "done", "Header": {"Link": "</a>"}}
    )

    answer = await end(tus, id_of(await begin(tus)))

    assert (answer.status, answer.body, answer.headers["Link"]) == (200, b"done", "</a>")


@LOCAL
async def test_a_head_keeps_its_status(tus: Tus, hooks: HookServer) -> None:
    """The answer to the HEAD that finished an upload has the header fields of the hook, but the
    status that its client needs."""
    hooks.answers["pre-finish"] = Said(status=404)
    url = await tus.create(len(CONTENT), metadata(filename=NAME))
    await tus.patch(url, 0, CONTENT)
    hooks.answers["pre-finish"] = said(
        HTTPResponse={"StatusCode": 418, "Body": "x", "Header": {"X-Job": "9"}}
    )

    head = await tus.head(url)

    assert (head.status, head.headers["X-Job"]) == (200, "9")


@LOCAL
async def test_partial_uploads_are_not_asked_about(tus: Tus, hooks: HookServer) -> None:
    """A partial upload never becomes a file, so only the concatenation is asked about."""
    part = await tus.upload(CONTENT, {"Upload-Concat": "partial"})
    before = [kind for kind in hooks.kinds() if kind.endswith("finish")]

    await final(tus, part)

    await hooks.called("post-finish")
    assert before == []
    assert [kind for kind in hooks.kinds() if kind.endswith("finish")] == [
        "pre-finish",
        "post-finish",
    ]


@LOCAL
async def test_an_upload_that_may_never_finish_expires(
    make_steered: MakeSteered, hooks: HookServer
) -> None:
    """A hook that never agrees keeps no bytes for ever."""
    tus = await make_steered(SWEEP_INTERVAL="0.1s", UPLOAD_EXPIRES_AFTER="0.5s")
    hooks.answers["pre-finish"] = said(RejectUpload=True)
    url = await tus.create(len(CONTENT), metadata(filename=NAME))
    await tus.patch(url, 0, CONTENT)

    async with asyncio.timeout(10):
        while await tus.address.holding(CONTENT):  # noqa: ASYNC110 - storages tell nobody
            await asyncio.sleep(0.02)

    assert (await tus.head(url)).status in {404, 410}
