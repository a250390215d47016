"""How a hook is asked: signed, again when it fails, never elsewhere."""

import base64
import hmac
import time

import pytest

from tests.conformance.hooks.conftest import MakeSteered
from tests.conformance.hooks.faces import CONTENT, tus_post
from tests.conformance.tus.client import metadata
from tests.hook_server import HookServer, Said, said
from tusd_py import __version__

pytestmark = pytest.mark.parametrize("make_store", ["local"], indirect=True)
KEYS = (b"first key of 24 bytes ok", b"second key of 25 bytes ok")


async def test_questions_are_signed(make_steered: MakeSteered, hooks: HookServer) -> None:
    """Each question has the headers of Standard Webhooks, a signature for every secret."""
    secrets = ",".join(f"whsec_{base64.b64encode(key).decode()}" for key in KEYS)
    tus = await make_steered(MAIN_SERVICE_NOTIFY_SECRET=secrets)

    await tus_post(tus)

    [call] = await hooks.called("pre-create")
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode()
    expected = [
        "v1," + base64.b64encode(hmac.digest(key, signed + call.body, "sha256")).decode()
        for key in KEYS
    ]
    assert call.headers["webhook-signature"].split(" ") == expected
    assert abs(int(call.headers["webhook-timestamp"]) - time.time()) < 60


async def test_questions_say_who_asks(make_steered: MakeSteered, hooks: HookServer) -> None:
    """A hook can see that this server asks, and in which version."""
    await tus_post(await make_steered())

    [call] = await hooks.called("pre-create")
    assert call.headers["User-Agent"] == f"tusd_py/{__version__}"


async def test_without_a_secret_nothing_is_signed(
    make_steered: MakeSteered, hooks: HookServer
) -> None:
    """Who has set no secret gets plain questions, as tusd sends them."""
    await tus_post(await make_steered())

    [call] = await hooks.called("pre-create")
    assert "webhook-signature" not in call.headers


async def test_a_failing_hook_is_asked_again(make_steered: MakeSteered, hooks: HookServer) -> None:
    """5xx is tried HOOKS_HTTP_RETRY times more, under the same id, so that it can be told apart
    from another question; then the answer counts."""
    secret = f"whsec_{base64.b64encode(KEYS[0]).decode()}"
    tus = await make_steered(HOOKS_HTTP_RETRY="2", MAIN_SERVICE_NOTIFY_SECRET=secret)
    hooks.answers["pre-create"] = [Said(status=500), Said(status=503), said(RejectUpload=True)]

    answer = await tus_post(tus)

    assert answer.status == 400
    asked = hooks.of("pre-create")
    assert len(asked) == 3
    assert len({call.headers["webhook-id"] for call in asked}) == 1
    assert len({call.body for call in asked}) == 1


async def test_it_is_asked_no_more_than_that(make_steered: MakeSteered, hooks: HookServer) -> None:
    """After HOOKS_HTTP_RETRY more tries the client hears that it did not work."""
    tus = await make_steered(HOOKS_HTTP_RETRY="1")
    hooks.answers["pre-create"] = Said(status=500)

    answer = await tus_post(tus)

    assert (answer.status, len(hooks.calls)) == (503, 2)


@pytest.mark.parametrize("status", [302, 307, 400, 401, 404, 429])
async def test_other_answers_are_final(
    make_steered: MakeSteered, hooks: HookServer, status: int
) -> None:
    """Whatever is neither 2xx nor 5xx is not tried again, and a redirect is not followed."""
    tus = await make_steered()
    hooks.answers["pre-create"] = Said(status=status, headers={"Location": hooks.url})

    answer = await tus_post(tus)

    assert (answer.status, len(hooks.calls)) == (503, 1)


async def test_retries_end_in_time(make_steered: MakeSteered, hooks: HookServer) -> None:
    """HOOKS_HTTP_TIMEOUT is for all tries together, pauses included."""
    tus = await make_steered(
        HOOKS_HTTP_RETRY="100", HOOKS_HTTP_TIMEOUT="0.3s", HOOKS_HTTP_BACKOFF="0.1s"
    )
    hooks.answers["pre-create"] = Said(status=500)

    started = time.monotonic()
    answer = await tus_post(tus)

    assert answer.status == 503
    assert time.monotonic() - started < 3
    assert 2 <= len(hooks.calls) <= 4


async def test_post_hooks_are_asked_again_too(make_steered: MakeSteered, hooks: HookServer) -> None:
    """A hook that only hears of things gets its tries as well, and may answer with nothing."""
    tus = await make_steered()
    hooks.answers["post-finish"] = [Said(status=502), Said(status=204, body=b"", headers={})]

    await tus.upload(CONTENT, metadata(filename="a"))

    assert len(await hooks.called("post-finish", 2)) == 2


async def test_a_silent_hook_is_asked_once(make_steered: MakeSteered, hooks: HookServer) -> None:
    """A try that takes all the time leaves none for another one."""
    tus = await make_steered(HOOKS_HTTP_RETRY="3", HOOKS_HTTP_TIMEOUT="0.3s")
    hooks.held.add("pre-create")

    answer = await tus_post(tus)

    assert (answer.status, len(hooks.calls)) == (503, 1)
