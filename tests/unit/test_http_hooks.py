"""What hooks at a URL are asked, what may be answered, and what that may change."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.uploads import UPLOAD
from tusd_py.admitting import CannotChange, admitted
from tusd_py.hooks import HookEvent
from tusd_py.http_hooks.answer import Answer, BadAnswer, answer
from tusd_py.http_hooks.client import _proxy
from tusd_py.http_hooks.question import canonical, question
from tusd_py.metadata import encoded, values_of
from tusd_py.request import RequestInfo
from tusd_py.upload import Final, NewUpload
from tusd_py.verdict import Admission, Hook, Reply


def asked(hook: Hook, event: HookEvent, *forwarded: str) -> dict[str, object]:
    """The event of a question."""
    body = question(hook, event, lambda upload: {"Path": upload.place}, forwarded)
    value: dict[str, object] = json.loads(body)["Event"]
    return value


def test_a_question_of_a_final_upload() -> None:
    """Parts are named by id; the place is told when there is one."""
    upload = replace(UPLOAD, concat=Final(partials=("a", "b"), header="final;x"), offset=10)

    event = asked(Hook.POST_FINISH, HookEvent(upload=upload, request=None))

    assert event["Upload"] == {
        "ID": upload.id,
        "Size": 10,
        "SizeIsDeferred": False,
        "Offset": 10,
        "MetaData": {"filename": "audio.mp3", "main_service_file_id": "123"},
        "IsPartial": False,
        "IsFinal": True,
        "PartialUploads": ["a", "b"],
        "Storage": {"Path": "42/123/audio.mp3"},
    }


def test_a_question_with_odd_bytes() -> None:
    """Bytes of a client that are no UTF-8 do not break the JSON of the question."""
    headers = {"x-odd": ("a\udcff", "b"), "AUTHORIZATION": ("Bearer x",)}
    request = RequestInfo(id="", method="GET", uri="/\udcff", remote="", headers=headers)

    event = asked(Hook.PRE_CREATE, HookEvent(upload=UPLOAD, request=request))

    shown = event["HTTPRequest"]
    assert isinstance(shown, Mapping)
    assert (shown["URI"], shown["Header"]) == ("/?", {"X-Odd": ["a?", "b"]})


@pytest.mark.parametrize(
    ("name", "written"),
    [("x-request-id", "X-Request-Id"), ("ETAG", "Etag"), ("a--b", "A--B")],
)
def test_names_as_go_writes_them(name: str, written: str) -> None:
    """Header fields have the names that Go gives them."""
    assert canonical(name) == written


def test_an_answer_with_all_there_is() -> None:
    """Every part that tusd knows is read."""
    text = {
        "HTTPResponse": {"StatusCode": 202, "Body": "b", "Header": {"X-A": "a"}},
        "RejectUpload": True,
        "RejectTermination": True,
        "StopUpload": True,
        "ChangeFileInfo": {"ID": "i", "MetaData": {"k": "v"}, "Storage": {"Path": "p"}},
    }

    assert answer(json.dumps(text).encode()) == Answer(
        reply=Reply(status=202, body="b", headers={"X-A": "a"}),
        rejects_upload=True,
        rejects_termination=True,
        stops=True,
        upload_id="i",
        metadata={"k": "v"},
        path="p",
    )


@pytest.mark.parametrize("data", [b"{}", b'{"HTTPResponse":{}}', b'{"ChangeFileInfo":null}'])
def test_an_answer_with_nothing(data: bytes) -> None:
    """What is left out is nothing."""
    assert answer(data) == Answer()


@pytest.mark.parametrize("data", [b"", b"null", b"1", b"[{}]", b"{", b"\xff", b"[" * 99_999])
def test_no_answer(data: bytes) -> None:
    """What is no object is no answer; an empty one is not taken for consent."""
    with pytest.raises(BadAnswer):
        answer(data)


@pytest.mark.parametrize(
    "reply",
    [
        {"status": 199},
        {"status": 600},
        {"headers": {"a b": "c"}},
        {"headers": {"a": "b\nc"}},
        {"headers": {"a": "b\x7f"}},
        {"headers": {"a": "\udcff"}},
        {"body": "\udcff"},
    ],
    ids=str,
)
def test_a_reply_can_be_sent(reply: dict[str, object]) -> None:
    """A reply that could not be sent cannot be made, by no hook."""
    with pytest.raises(ValueError):
        Reply(**reply)  # type: ignore[arg-type]


NEW = NewUpload(owner="42", filename="a", metadata="filename YQ==", declared_file_id="1")


def test_what_is_not_changed_stays() -> None:
    """An admission without changes changes nothing."""
    assert admitted(NEW, Admission(), max_metadata=10) == NEW


@pytest.mark.parametrize(
    "admission",
    [
        Admission(upload_id="x"),
        Admission(metadata={"a,b": "c"}),
        Admission(metadata={"filename": "x" * 100}),
        Admission(path=""),
        Admission(path="a/b/c"),
    ],
    ids=["id", "key", "long", "nowhere", "deep"],
)
def test_what_cannot_be_changed(admission: Admission) -> None:
    """What would not be safe to store is refused."""
    with pytest.raises(CannotChange):
        admitted(NEW, admission, max_metadata=20)


@pytest.mark.parametrize("values", [{}, {"a": ""}, {"a": "é", "b": "c,d e"}], ids=str)
def test_metadata_there_and_back(values: dict[str, str]) -> None:
    """What a hook says is what it is shown later."""
    upload = replace(UPLOAD, metadata=encoded(values), filename=UPLOAD.id, declared_file_id=None)

    assert values_of(upload) == values


def test_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY and NO_PROXY count for hooks."""
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "inside.example")

    assert _proxy("https://outside.example/hooks") == "http://proxy:3128"
    assert _proxy("https://inside.example:8443/hooks") is None
    assert _proxy("http://outside.example/hooks") is None


@pytest.mark.parametrize("given", ["user:secret@", "us%40er:se%3Acret@", "user@"])
def test_no_proxy_with_a_password(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """Who NO_PROXY names is asked without a proxy, also with a password in the URL."""
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "inside.example,port.example:8443")

    assert _proxy(f"https://{given}inside.example/hooks") is None
    assert _proxy(f"https://{given}port.example:8443/hooks") is None
    assert _proxy(f"https://{given}outside.example/hooks") == "http://proxy:3128"
