"""docs/operations.md tells receivers what comes, and how to verify it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.docs.generated import DOCS
from tests.docs.markdown import blocks, rows, section
from tests.e2e.commands import program, run
from tests.receiver import SECRET
from tests.uploads import NOW, UPLOAD, completed
from tusd_py.notify.message import message
from tusd_py.notify.outbox import KEPT, KEPT_MOST
from tusd_py.notify.signing import Signer
from tusd_py.notify.webhook import AT_ONCE, TO_READ
from tusd_py.setting_types import Notification, webhook_secrets

PAGE = section((DOCS / "operations.md").read_text(), "## Notifications")
BODY = b'{"type":"upload.completed","data":{"file_name":"\\u00e9"}}'


def test_the_example_has_the_fields_that_are_sent() -> None:
    """The body on the page has the keys of a real one, in their order."""
    [shown] = [json.loads(block.text) for block in blocks(PAGE, "json")]
    sent = json.loads(message(Notification.COMPLETED, completed(UPLOAD), at=NOW, location="/").body)

    assert list(shown) == list(sent)
    assert list(shown["data"]) == list(sent["data"])


def test_every_kind_of_event_is_listed() -> None:
    """The table of NOTIFY_EVENTS names all that can be told."""
    named = {row[0].strip("`") for row in rows(PAGE)}

    assert {kind.value for kind in Notification} <= named


def test_numbers_are_those_of_the_code() -> None:
    """How much is remembered, and brought at once."""
    assert KEPT.days == 7
    assert f"({KEPT_MOST:,} events at most)" in PAGE
    assert f"up to {AT_ONCE} events at once" in PAGE
    assert f"read up to {TO_READ >> 10} KiB" in (DOCS / "security.md").read_text()


def test_the_python_lines_verify() -> None:
    """What is shown in Python takes what is sent."""
    [block] = blocks(PAGE, "python")
    headers = Signer(webhook_secrets(SECRET)).headers("id", datetime.now(UTC), BODY)
    names: dict[str, object] = {"secret": SECRET, "body": BODY, "headers": headers}
    exec(block.text, names)

    assert names["event"] == json.loads(BODY)


@pytest.mark.parametrize(
    ("change", "is_genuine"),
    [
        ({}, True),
        ({"webhook-id": "other"}, False),
        ({"webhook-timestamp": "1"}, False),
        ({"webhook-timestamp": "soon"}, False),
        ({"webhook-signature": "v1,AAAA"}, False),
        ({"webhook-signature": "nonsense v1 ,"}, False),
        ({"webhook-signature": None}, False),
    ],
    ids=["as-sent", "id", "old", "no-time", "forged", "nonsense", "missing"],
)
async def test_the_javascript_lines_verify(
    tmp_path: Path, change: dict[str, str | None], is_genuine: bool
) -> None:
    """What is shown in JavaScript takes what is sent, and nothing else."""
    [block] = blocks(PAGE, "js")
    secrets = webhook_secrets(f"{SECRET},whsec_{'QUJD' * 10}")
    headers = Signer(secrets[::-1]).headers("id", datetime.now(UTC), BODY) | change
    arguments = ", ".join(json.dumps(each) for each in (SECRET, headers, BODY.decode()))
    script = tmp_path / "verify.mjs"
    script.write_text(f"{block.text}\nconsole.log(isGenuine({arguments}))\n")

    done = await run(program("node", "apt install nodejs"), script)

    assert (done.stdout, done.stderr) == (f"{json.dumps(is_genuine)}\n", "")
