"""pre-create: asked before anything is stored, on every face, and obeyed."""

import json
import uuid

import aiohttp
import pytest

from tests.conformance.hooks.conftest import MakeSteered
from tests.conformance.hooks.faces import (
    BEGINNINGS,
    CONTENT,
    NAME,
    Begin,
    final,
    id_of,
    rest_of,
    tus_post,
)
from tests.conformance.tus.client import OCTETS, Tus, connected, metadata
from tests.hook_server import JSON, HookServer, Said, said

LOCAL = pytest.mark.parametrize("make_store", ["local"], indirect=True)
BEGINS = pytest.mark.parametrize("begin", BEGINNINGS.values(), ids=BEGINNINGS)
ID = "0b5a3c1e-7d7c-4c5e-9d0e-3f1b2a4c5d6e"


async def is_empty(tus: Tus) -> bool:
    """Whether the server keeps nothing."""
    return not await tus.address.finished() and await tus.address.holding(CONTENT) == []


@BEGINS
async def test_a_rejection_is_the_answer(tus: Tus, hooks: HookServer, begin: Begin) -> None:
    """RejectUpload: the client gets the hook's answer, and nothing was created."""
    hooks.answers["pre-create"] = said(
        RejectUpload=True,
        HTTPResponse={"StatusCode": 403, "Body": '{"a":1}', "Header": {**JSON, "X-Why": "quota"}},
    )

    answer = await begin(tus)

    assert (answer.status, answer.body) == (403, b'{"a":1}')
    assert (answer.headers["Content-Type"], answer.headers["X-Why"]) == (
        JSON["Content-Type"],
        "quota",
    )
    assert await is_empty(tus)
    assert hooks.kinds() == ["pre-create"]
    assert "Location" not in answer.headers


@LOCAL
@BEGINS
async def test_a_rejection_without_words(tus: Tus, hooks: HookServer, begin: Begin) -> None:
    """RejectUpload alone is a 400 in the words of the face."""
    hooks.answers["pre-create"] = said(RejectUpload=True)

    answer = await begin(tus)

    assert answer.status == 400
    if answer.headers["Content-Type"].startswith("application/json"):
        assert json.loads(answer.body)["code"] == "rejected"
    else:
        assert answer.body == b"The main service does not accept this.\n"
    assert await is_empty(tus)


async def test_a_concatenation_is_asked_for(tus: Tus, hooks: HookServer) -> None:
    """A final upload is rejected like any other; its parts stay, and it can be tried again."""
    part = await tus.upload(CONTENT, {"Upload-Concat": "partial"})
    hooks.answers["pre-create"] = [said(RejectUpload=True), Said()]

    refused, made = await final(tus, part), await final(tus, part, part)

    assert (refused.status, made.status) == (400, 201)
    asked = hooks.of("pre-create")[-1]
    assert asked.part("Upload", "IsFinal") is True
    assert asked.part("Upload", "PartialUploads") == [part.rpartition("/")[2]] * 2
    assert asked.part("Upload", "Size") == 2 * len(CONTENT)
    assert await tus.address.file("42", id_of(made), NAME) == CONTENT * 2


@LOCAL
@BEGINS
async def test_nobody_is_let_in_unasked(
    make_steered: MakeSteered, hooks: HookServer, begin: Begin
) -> None:
    """A hook that cannot be reached is a refusal, for the client to try again."""
    nowhere = hooks.url.replace("/hooks", "/nowhere")
    tus = await make_steered(HOOKS_HTTP_URL=nowhere)

    answer = await begin(tus)

    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert await is_empty(tus)


BAD = {
    "empty": Said(body=b""),
    "no content": Said(status=204, body=b""),
    "html": Said(body=b"<html>ok</html>", headers={"Content-Type": "text/html"}),
    "json of another type": Said(body=b"{}", headers={"Content-Type": "text/plain"}),
    "broken": Said(body=b'{"RejectUpload":'),
    "list": Said(body=b"[]"),
    "text": Said(body=b'"ok"'),
    "no utf-8": Said(body=b'{"a":"\xff"}'),
    "deep": Said(body=b"[" * 60_000),
    "huge": Said(body=b'{"a":"' + b"x" * (1 << 20) + b'"}'),
    "nan": Said(body=b'{"a":NaN}'),
    "long number": Said(body=b'{"HTTPResponse":{"StatusCode":' + b"9" * 5000 + b"}}"),
    "redirect": Said(status=302, headers={"Location": "http://127.0.0.1:9/", **JSON}),
    "not found": Said(status=404),
    "compressed": Said(body=b"\x1f\x8b\x08", headers={**JSON, "Content-Encoding": "gzip"}),
    "flag is a text": said(RejectUpload="false"),
    "flag is a number": said(RejectUpload=0),
    "answer is a text": said(HTTPResponse="no"),
    "status is a text": said(HTTPResponse={"StatusCode": "403"}),
    "status is true": said(HTTPResponse={"StatusCode": True}),
    "status is a fraction": said(HTTPResponse={"StatusCode": 200.5}),
    "status 100": said(HTTPResponse={"StatusCode": 100}),
    "status 999": said(HTTPResponse={"StatusCode": 999}),
    "status -1": said(HTTPResponse={"StatusCode": -1}),
    "body is an object": said(HTTPResponse={"Body": {}}),
    "body is half a character": Said(body=b'{"HTTPResponse":{"Body":"\\ud800"}}'),
    "header is a list": said(HTTPResponse={"Header": ["a"]}),
    "header has lists": said(HTTPResponse={"Header": {"X-A": ["a"]}}),
    "header has a line": said(HTTPResponse={"Header": {"X-A": "a\r\nSet-Cookie: b=c"}}),
    "header has a zero": said(HTTPResponse={"Header": {"X-A": "a\0"}}),
    "header has a name of two lines": said(HTTPResponse={"Header": {"X-A\r\nX-B": "a"}}),
    "header has no name": said(HTTPResponse={"Header": {"": "a"}}),
    "changes are a list": said(ChangeFileInfo=[]),
    "id is a number": said(ChangeFileInfo={"ID": 5}),
    "id is no uuid": said(ChangeFileInfo={"ID": "my-upload"}),
    "id climbs": said(ChangeFileInfo={"ID": "../../../etc/passwd"}),
    "id is in capitals": said(ChangeFileInfo={"ID": ID.upper()}),
    "metadata is a list": said(ChangeFileInfo={"MetaData": []}),
    "metadata has numbers": said(ChangeFileInfo={"MetaData": {"a": 1}}),
    "metadata key has a space": said(ChangeFileInfo={"MetaData": {"a b": "c"}}),
    "metadata key is empty": said(ChangeFileInfo={"MetaData": {"": "c"}}),
    "metadata is long": said(ChangeFileInfo={"MetaData": {"a": "b" * 16_000}}),
    "file id climbs": said(ChangeFileInfo={"MetaData": {"main_service_file_id": "../a"}}),
    "storage is a text": said(ChangeFileInfo={"Storage": "a"}),
    "path climbs": said(ChangeFileInfo={"Storage": {"Path": "../a.mp3"}}),
    "path climbs from below": said(ChangeFileInfo={"Storage": {"Path": "a/../a.mp3"}}),
    "path is absolute": said(ChangeFileInfo={"Storage": {"Path": "/etc/passwd"}}),
    "path is deep": said(ChangeFileInfo={"Storage": {"Path": "a/b/c.mp3"}}),
    "path is a folder": said(ChangeFileInfo={"Storage": {"Path": "a/"}}),
    "path is hidden": said(ChangeFileInfo={"Storage": {"Path": ".a"}}),
}


@LOCAL
async def test_what_is_no_answer_lets_nobody_in(
    tus: Tus, hooks: HookServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a hook says that cannot be obeyed whole: 503, nothing is created, and one line in
    the log says why; there is no traceback."""
    for name, bad in BAD.items():
        hooks.answers["pre-create"] = bad
        caplog.clear()

        answer = await tus_post(tus)

        assert (answer.status, answer.headers["Retry-After"]) == (503, "1"), name
        assert await is_empty(tus), name
        lines = [line for line in caplog.records if line.getMessage().startswith("hook_")]
        assert [(line.levelname, line.exc_info) for line in lines] == [("ERROR", None)], name
        assert vars(lines[0])["hook"] == "pre-create", name
    assert "post-create" not in hooks.kinds()


@BEGINS
async def test_the_id_is_the_hooks(tus: Tus, hooks: HookServer, begin: Begin) -> None:
    """ChangeFileInfo.ID is the id of the upload on every face."""
    hooks.answers["pre-create"] = said(ChangeFileInfo={"ID": ID})

    answer = await begin(tus)

    assert answer.status in {200, 201}
    assert id_of(answer) == ID
    assert (await tus.head(tus.address.files + ID)).status == 200
    [told] = await hooks.called("post-create")
    assert told.part("Upload", "ID") == ID


async def test_an_id_that_is_taken(
    tus: Tus, hooks: HookServer, caplog: pytest.LogCaptureFixture
) -> None:
    """An upload that is there is not overwritten, not even one that was terminated; another user
    may have one of the same id."""
    hooks.answers["pre-create"] = said(ChangeFileInfo={"ID": ID})
    url = await tus.upload(CONTENT)

    answers = [await begin(tus) for begin in BEGINNINGS.values()]
    content = await tus.download(url)
    await tus.delete(url)
    answers.append(await tus_post(tus))
    other = await tus_post(tus.of("43"))

    assert {answer.status for answer in answers} == {503}
    assert content == CONTENT
    assert other.status == 201
    refused = [line for line in caplog.records if line.getMessage() == "hook_answer_refused"]
    assert len(refused) == 5


@pytest.mark.parametrize("name", ["tus", "with-upload"])
async def test_metadata_is_the_hooks(tus: Tus, hooks: HookServer, name: str) -> None:
    """ChangeFileInfo.MetaData takes the place of all that the client said: name, type and file id
    are those of the hook."""
    values = {"filename": "ответ.txt", "filetype": "text/plain", "main_service_file_id": "7"}
    hooks.answers["pre-create"] = said(ChangeFileInfo={"MetaData": {**values, "empty": ""}})
    url = tus.url((await BEGINNINGS[name](tus)).headers["Location"])
    head = await tus.head(url)
    if head.headers["Upload-Offset"] == "0":
        await tus.patch(url, 0, CONTENT)

    shown = await tus.get(url)

    assert head.headers["Upload-Metadata"] == metadata(**values, empty="")["Upload-Metadata"]
    assert await tus.address.finished() == {"42/7/ответ.txt": len(CONTENT)}
    assert shown.headers["Content-Type"].startswith("text/plain")
    [told] = await hooks.called("post-finish")
    assert told.part("Upload", "MetaData") == {**values, "empty": ""}


@LOCAL
async def test_metadata_of_a_rest_session(tus: Tus, hooks: HookServer) -> None:
    """Over REST name and type are those of the hook; the file id stays the client's, who names it
    again in the end."""
    changes = {"MetaData": {"filename": "b.txt", "main_service_file_id": "7"}}
    hooks.answers["pre-create"] = said(ChangeFileInfo=changes)
    rest = rest_of(tus)

    await rest.uploaded(CONTENT)

    assert await tus.address.finished() == {"42/123/b.txt": len(CONTENT)}


@LOCAL
async def test_no_metadata_at_all(tus: Tus, hooks: HookServer) -> None:
    """An empty MetaData takes everything away: the file has the id of its upload as its name."""
    hooks.answers["pre-create"] = said(ChangeFileInfo={"MetaData": {}})

    url = await tus.upload(CONTENT, metadata(filename=NAME))

    upload_id = url.rpartition("/")[2]
    assert await tus.address.finished() == {f"42/{upload_id}/{upload_id}": len(CONTENT)}
    assert "Upload-Metadata" not in (await tus.head(url)).headers


@LOCAL
@pytest.mark.parametrize(
    ("path", "place"),
    [("b.txt", "1/b.txt"), ("./b.txt", "1/b.txt"), ("7/b.txt", "7/b.txt")],
    ids=["name", "dot", "file-id"],
)
async def test_the_place_is_the_hooks(tus: Tus, hooks: HookServer, path: str, place: str) -> None:
    """ChangeFileInfo.Storage.Path is a name, or a file id and a name, below the user's folder."""
    hooks.answers["pre-create"] = said(ChangeFileInfo={"Storage": {"Path": path}})

    await tus.upload(CONTENT, metadata(filename=NAME, main_service_file_id="1"))

    assert await tus.address.finished() == {f"42/{place}": len(CONTENT)}


@LOCAL
async def test_a_rest_session_keeps_its_file_id(tus: Tus, hooks: HookServer) -> None:
    """A path with another file id is refused over REST: its client could not complete it."""
    hooks.answers["pre-create"] = [
        said(ChangeFileInfo={"Storage": {"Path": path}}) for path in ("7/b.txt", "123/b.txt")
    ]
    first, second = [await BEGINNINGS["rest"](tus) for _ in range(2)]

    assert (first.status, second.status) == (503, 200)


@LOCAL
@BEGINS
async def test_a_reply_is_added(tus: Tus, hooks: HookServer, begin: Begin) -> None:
    """HTTPResponse of a hook that agrees: its header fields, status and body are in the answer."""
    hooks.answers["pre-create"] = said(
        HTTPResponse={"StatusCode": 202, "Body": "later", "Header": {"X-Job": "9"}}
    )

    answer = await begin(tus)

    assert (answer.status, answer.body, answer.headers["X-Job"]) == (202, b"later", "9")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@LOCAL
async def test_pages_can_read_what_is_added(tus: Tus, hooks: HookServer) -> None:
    """A browser shows a page the header fields of a hook, too, also of a rejection."""
    reply = {"Header": {"X-Job": "9"}}
    hooks.answers["pre-create"] = [
        said(HTTPResponse=reply),
        said(HTTPResponse=reply, RejectUpload=True),
    ]
    headers = {"Upload-Length": "5", "Origin": "https://example.org"}

    answers = [await tus.post(headers) for _ in range(2)]

    for answer in answers:
        exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"X-Job", "Upload-Offset", "Location"} <= set(exposed)
    assert [answer.status for answer in answers] == [201, 400]


OURS = {
    "Connection": "close",
    "Keep-Alive": "timeout=1",
    "Transfer-Encoding": "chunked",
    "Content-Length": "99999",
    "Content-Encoding": "gzip",
    "Trailer": "X-A",
    "Upgrade": "h2c",
    "Location": "https://evil.example/",
    "Upload-Offset": "4",
    "upload-expires": "never",
    "Tus-Resumable": "9.9.9",
    "Access-Control-Allow-Origin": "https://evil.example",
    "Proxy-Authenticate": "Basic",
    "Server": "other",
}


@LOCAL
@pytest.mark.parametrize("rejects", [False, True], ids=["agrees", "rejects"])
async def test_the_protocol_stays_ours(tus: Tus, hooks: HookServer, rejects: bool) -> None:
    """Header fields of the framing, of tus and of CORS are not the hook's to set; others are."""
    hooks.answers["pre-create"] = said(
        RejectUpload=rejects, HTTPResponse={"Header": {**OURS, "X-Job": "9"}}
    )

    answer = await tus.post({"Upload-Length": "5"})

    assert answer.status == (400 if rejects else 201)
    assert answer.headers["X-Job"] == "9"
    for name, value in OURS.items():
        assert answer.headers.get(name) != value
    again = await tus.send("OPTIONS", tus.address.files)
    assert again.status == 200


@LOCAL
@pytest.mark.parametrize("status", [204, 205, 304])
async def test_a_status_without_a_body(tus: Tus, hooks: HookServer, status: int) -> None:
    """A body that the status cannot have is left out, and the connection is good for the next."""
    hooks.answers["pre-create"] = [
        said(HTTPResponse={"StatusCode": status, "Body": "surplus"}, RejectUpload=True),
        Said(),
    ]

    first, second = await tus.post({"Upload-Length": "5"}), await tus.post({"Upload-Length": "5"})

    assert (first.status, first.body, second.status) == (status, b"", 201)


@LOCAL
async def test_names_in_any_case(tus: Tus, hooks: HookServer) -> None:
    """Go reads names in any case: a rejection in small letters is one, and null is nothing."""
    hooks.answers["pre-create"] = [
        said(rejectupload=True, httpResponse={"STATUSCODE": 418, "header": None}),
        said(RejectUpload=None, HTTPResponse=None, ChangeFileInfo=None, Other={"a": 1}),
        said(HTTPResponse={"StatusCode": 0, "Body": ""}, ChangeFileInfo={"ID": ""}),
    ]

    statuses = [(await tus_post(tus)).status for _ in range(3)]

    assert statuses == [418, 201, 201]


@LOCAL
async def test_a_rejected_body_is_not_asked_for(tus: Tus, hooks: HookServer) -> None:
    """A client that waits for 100 Continue is told no before it sends a byte."""
    hooks.answers["pre-create"] = said(RejectUpload=True)
    headers = {
        "Upload-Length": "1000000",
        "Content-Length": "1000000",
        "Content-Type": OCTETS,
        "Expect": "100-continue",
    }

    async with connected(tus.address) as connection:
        await connection.send(tus.wire("POST", tus.address.files, headers))
        answer = await connection.head()

    assert answer.status == 400


@LOCAL
async def test_bad_requests_are_not_asked_about(
    make_steered: MakeSteered, hooks: HookServer
) -> None:
    """What is refused anyway disturbs no hook: no token, too large, bad metadata."""
    tus = await make_steered(MAX_UPLOAD_SIZE="10")

    statuses = [
        (await tus.post(headers)).status
        for headers in (
            {"Upload-Length": "5", "Authorization": "Bearer a.b.c"},
            {"Upload-Length": "11"},
            {"Upload-Length": "5", "Upload-Metadata": "filename !"},
            {"Upload-Concat": f"final;{tus.address.files}{uuid.uuid4()}"},
        )
    ]

    assert statuses == [401, 413, 400, 400]
    assert hooks.calls == []


@LOCAL
async def test_time_of_a_hook_is_no_silence(make_steered: MakeSteered, hooks: HookServer) -> None:
    """A client whose body waits for a hook for longer than BODY_TIMEOUT is not cut."""
    tus = await make_steered(BODY_TIMEOUT="0.3s", HOOKS_ENABLED_EVENTS="pre-create")
    hooks.held.add("pre-create")
    headers = {"Upload-Length": str(len(CONTENT)), "Content-Type": OCTETS}
    own = {**headers, "Content-Length": str(len(CONTENT))}

    async with connected(tus.address) as connection:
        await connection.send(tus.wire("POST", tus.address.files, own) + CONTENT[:5])
        await hooks.called("pre-create")
        with pytest.raises(TimeoutError):
            await connection.rest(within=0.6)
        await hooks.release("pre-create")
        await connection.send(CONTENT[5:])
        [answer] = await connection.answers()

    assert answer.status == 201
    assert answer.headers["Upload-Offset"] == str(len(CONTENT))


@LOCAL
async def test_without_hooks_nobody_is_asked(
    make_steered: MakeSteered, hooks: HookServer, http: aiohttp.ClientSession
) -> None:
    """Only the hooks that HOOKS_ENABLED_EVENTS names are called."""
    tus = await make_steered(HOOKS_ENABLED_EVENTS="post-finish")

    await tus.upload(CONTENT)

    await hooks.called("post-finish")
    assert hooks.kinds() == ["post-finish"]
