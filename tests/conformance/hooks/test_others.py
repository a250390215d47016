"""The other hooks: pre-terminate is obeyed; those that only hear of things delay nothing."""

import asyncio
import json

import pytest

from tests.conformance.hooks.conftest import MakeSteered
from tests.conformance.hooks.faces import CONTENT, NAME, rest_of
from tests.conformance.tus.client import Tus, begun_patch, metadata
from tests.hook_server import HookServer, Said, said

LOCAL = pytest.mark.parametrize("make_store", ["local"], indirect=True)
KEEP = said(RejectTermination=True, HTTPResponse={"StatusCode": 403, "Body": "keep it"})


@pytest.mark.parametrize("face", ["tus", "rest"])
@pytest.mark.parametrize("is_file", [True, False], ids=["file", "unfinished"])
async def test_a_termination_is_rejected(
    tus: Tus, hooks: HookServer, face: str, is_file: bool
) -> None:
    """RejectTermination: the client gets the hook's answer and all stays; later it may agree."""
    hooks.answers["pre-terminate"] = [KEEP, Said()]
    url = await tus.create(len(CONTENT), metadata(filename=NAME))
    await tus.patch(url, 0, CONTENT if is_file else CONTENT[:5])
    statuses, bodies = [], []

    for _ in range(2):
        if face == "tus":
            answer = await tus.delete(url)
            statuses.append(answer.status)
            bodies.append(answer.body)
        else:
            done = await rest_of(tus).delete(url.rpartition("/")[2])
            statuses.append(done.status)
            bodies.append(done.body)
        head = await tus.head(url)

    assert statuses == [403, 204 if face == "tus" else 200]
    assert bodies[0] == b"keep it"
    assert head.status == 410
    assert len(await hooks.called("post-terminate")) == 1


@LOCAL
async def test_a_rejected_termination_stops_no_append(tus: Tus, hooks: HookServer) -> None:
    """Who may not delete disturbs nobody: the hook is asked before a running PATCH is ended."""
    hooks.answers["pre-terminate"] = KEEP
    url = await tus.create(2 * len(CONTENT), metadata(filename=NAME))

    async with begun_patch(tus, url, 0, 2 * len(CONTENT)) as patch:
        await patch.send(CONTENT)
        deleted = await tus.delete(url)
        await patch.send(CONTENT)
        [answer] = await patch.answers()

    assert (deleted.status, answer.status) == (403, 204)
    assert await tus.download(url) == CONTENT * 2


@LOCAL
async def test_nothing_is_deleted_unasked(tus: Tus, hooks: HookServer) -> None:
    """A hook that fails keeps the file."""
    hooks.answers["pre-terminate"] = Said(status=404)
    url = await tus.upload(CONTENT, metadata(filename=NAME))

    answer = await tus.delete(url)

    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert await tus.download(url) == CONTENT


@LOCAL
async def test_strangers_are_not_asked_about(tus: Tus, hooks: HookServer) -> None:
    """Another user's upload is not found, and no hook hears of the attempt."""
    url = await tus.upload(CONTENT, metadata(filename=NAME))

    answer = await tus.of("43").delete(url)

    assert answer.status == 404
    assert "pre-terminate" not in hooks.kinds()


@LOCAL
async def test_a_reply_to_a_termination(tus: Tus, hooks: HookServer) -> None:
    """HTTPResponse of a hook that agrees is in the answer."""
    reply = {"StatusCode": 200, "Body": "gone", "Header": {"X-Job": "9"}}
    hooks.answers["pre-terminate"] = said(HTTPResponse=reply)
    url = await tus.upload(CONTENT, metadata(filename=NAME))

    answer = await tus.delete(url)

    assert (answer.status, answer.body, answer.headers["X-Job"]) == (200, b"gone", "9")


async def test_those_who_only_hear_delay_nothing(tus: Tus, hooks: HookServer) -> None:
    """The client does not wait for post-create, post-finish and post-terminate; all are told, with
    the upload as it was."""
    hooks.held |= {"post-create", "post-finish", "post-terminate"}
    url = await tus.upload(CONTENT, metadata(filename=NAME))
    path = (await tus.listed())[0]
    deleted = await tus.delete(url)
    upload_id = url.rpartition("/")[2]

    for kind, offset in (("post-create", 0), ("post-finish", 12), ("post-terminate", 12)):
        [call] = await hooks.called(kind)
        assert call.part("Upload", "ID") == upload_id
        assert call.part("Upload", "Offset") == offset
        storage = call.part("Upload", "Storage")
        assert isinstance(storage, dict)
        if storage["Type"] == "filestore":
            assert storage["Path"] == path
        else:
            assert path.endswith(f"/{storage['Bucket']}/{storage['Key']}")
    assert deleted.status == 204


@LOCAL
async def test_who_cannot_be_told_is_logged(
    tus: Tus, hooks: HookServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that fails to hear of something harms nothing; the log says what it missed."""
    for kind in ("post-create", "post-finish", "post-terminate"):
        hooks.answers[kind] = Said(status=404)
    url = await tus.upload(CONTENT, metadata(filename=NAME))
    await tus.delete(url)

    def missed() -> set[tuple[str, str]]:
        lines = [vars(line) for line in caplog.records if line.getMessage() == "hook_failed"]
        return {(line["hook"], line["why"]) for line in lines}

    expected = {(f"post-{kind}", "it answered 404") for kind in ("create", "finish", "terminate")}
    async with asyncio.timeout(10):
        while missed() != expected:  # noqa: ASYNC110 - a log tells nobody
            await asyncio.sleep(0.01)
    assert missed() == expected


@LOCAL
async def test_what_a_hook_sees_of_an_upload(tus: Tus, hooks: HookServer) -> None:
    """The JSON is that of tusd v2, with the user beside it; the token is not in it."""
    await tus.post(
        {
            "Upload-Defer-Length": "1",
            **metadata(filename="é", empty=""),
            "Cookie": "a=b",
            "x-request-id": "17",
        }
    )

    [call] = await hooks.called("post-create")
    [asked] = hooks.of("pre-create")

    question = asked.value
    event = question["Event"]
    assert isinstance(event, dict)
    header = event["HTTPRequest"].pop("Header")
    remote = event["HTTPRequest"].pop("RemoteAddr")
    assert question == {
        "Type": "pre-create",
        "Event": {
            "Upload": {
                "ID": "",
                "Size": 0,
                "SizeIsDeferred": True,
                "Offset": 0,
                "MetaData": {"filename": "é", "empty": ""},
                "IsPartial": False,
                "IsFinal": False,
                "PartialUploads": None,
                "Storage": None,
            },
            "HTTPRequest": {"Method": "POST", "URI": "/files/"},
            "User": "42",
        },
    }
    assert remote.startswith("127.0.0.1:")
    assert header["Host"] == [f"127.0.0.1:{tus.address.port}"]
    assert header["X-Request-Id"] == ["17"]
    assert not {"Authorization", "Cookie"} & set(header)
    assert call.headers["Content-Type"] == "application/json"
    for secret in (tus.address.auth()["Authorization"], "a=b"):
        assert secret not in json.dumps([asked.value, call.value, dict(call.headers)])


@LOCAL
async def test_a_rest_session_shows_what_it_was_told(tus: Tus, hooks: HookServer) -> None:
    """A REST upload has no Upload-Metadata; a hook sees the same names all the same."""
    await rest_of(tus).init()

    [asked] = await hooks.called("pre-create")

    assert asked.part("Upload", "MetaData") == {
        "filename": "audio.mp3",
        "main_service_file_id": "123",
    }


@LOCAL
async def test_headers_are_forwarded_when_named(
    make_steered: MakeSteered, hooks: HookServer
) -> None:
    """HOOKS_HTTP_FORWARD_HEADERS sends these fields as the hook's own, and in the JSON, too."""
    tus = await make_steered(HOOKS_HTTP_FORWARD_HEADERS="authorization,X-Tenant,X-Absent")

    await tus.post({"Upload-Length": "5", "x-tenant": "7", "Cookie": "a=b"})

    [asked] = await hooks.called("pre-create")
    token = tus.address.auth()["Authorization"]
    assert (asked.headers["Authorization"], asked.headers["X-Tenant"]) == (token, "7")
    header = asked.part("HTTPRequest", "Header")
    assert isinstance(header, dict)
    assert header["Authorization"] == [token]
    assert "Cookie" not in header
    assert not {"X-Absent", "Cookie"} & set(asked.headers)
