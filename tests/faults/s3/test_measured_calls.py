"""Calls to the store are counted by operation and outcome, with their time and further tries."""

import pytest

from tests.exposition import Exposition, exposition
from tests.faults.s3.conftest import MakeScene
from tests.faults.s3.scene import PART, Scene, content_of
from tests.store_calls import Kind
from tests.store_proxy import SLOW_DOWN, Cut, Refuse, Where
from tests.unit.tracing.collector import collecting
from tusd_py.storage.s3.watched import outcome_of
from tusd_py.watching import Outcome

CALLS = "tusd_py_s3_calls_total"


async def told(scene: Scene) -> Exposition:
    """What the server tells now."""
    return await exposition(scene.client.server)


async def test_calls_that_work(scene: Scene) -> None:
    """Each call counts once, and all others are there with 0."""
    before = await told(scene)
    content = content_of(2 * PART)
    upload_id = await scene.created(len(content))
    await scene.client.patch(upload_id, 0, content)
    found = await told(scene)

    counted = found.value(CALLS, operation="UploadPart", outcome="ok")
    assert before.value(CALLS, operation="UploadPart", outcome="ok") == 0
    assert before.value(CALLS, operation="PutObject", outcome="failed") == 0
    assert counted == 2
    assert found.value("tusd_py_s3_call_duration_seconds_count", operation="UploadPart") == 2
    assert found.value(CALLS, operation="CompleteMultipartUpload", outcome="ok") == 1
    assert found.total("tusd_py_s3_retries_total") == 0
    assert found.labels(CALLS, "outcome") == {outcome.value for outcome in Outcome}


async def test_further_tries_are_one_call(scene: Scene) -> None:
    """A store that is busy twice: one call that worked, two further tries."""
    content = content_of(2 * PART)
    upload_id = await scene.created(len(content))
    with scene.proxy.rule(SLOW_DOWN, Kind.PART, times=2):
        await scene.client.patch(upload_id, 0, content)
    found = await told(scene)

    assert found.value(CALLS, operation="UploadPart", outcome="ok") == 2
    assert found.value("tusd_py_s3_retries_total", operation="UploadPart") == 2


@pytest.mark.parametrize(
    ("trouble", "outcome"),
    [
        (SLOW_DOWN, "failed"),
        (Refuse(status=403, code="AccessDenied"), "refused"),
        (Cut(where=Where.BEFORE), "unreachable"),
    ],
    ids=["busy", "forbidden", "cut"],
)
async def test_calls_that_fail(scene: Scene, trouble: Refuse | Cut, outcome: str) -> None:
    """What was given up counts once, by how it ended; no other part is on its way meanwhile."""
    content = content_of(2 * PART)
    upload_id = await scene.created(len(content))
    with scene.proxy.rule(trouble, Kind.PART, part=1):
        answer = await scene.client.patch(upload_id, 0, content[:PART])
        found = await told(scene)

    assert answer.status == 503
    assert found.value(CALLS, operation="UploadPart", outcome=outcome) >= 1
    assert found.value(CALLS, operation="UploadPart", outcome="ok") == 0


async def test_absence_is_no_failure(scene: Scene) -> None:
    """Asking for what is not there is part of the work."""
    await scene.client.tus("HEAD", "00000000-0000-4000-8000-000000000000")
    found = await told(scene)

    assert found.value(CALLS, operation="GetObject", outcome="absent") >= 1
    assert found.total(CALLS, outcome="failed") == 0


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.OK),
        (206, Outcome.OK),
        (304, Outcome.OK),
        (403, Outcome.REFUSED),
        (404, Outcome.ABSENT),
        (409, Outcome.CHANGED),
        (412, Outcome.CHANGED),
        (416, Outcome.ABSENT),
        (500, Outcome.FAILED),
        (503, Outcome.FAILED),
    ],
)
def test_outcomes(status: int, outcome: Outcome) -> None:
    """Each status of the store has its outcome."""
    assert outcome_of(status) is outcome


async def test_calls_are_traced(make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the step that makes them, with the name of the call, and how often it was tried; never
    with the key, which names the user."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    content = content_of(2 * PART)
    async with collecting() as collector:
        scene = await make_scene(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        upload_id = await scene.created(len(content))
        with scene.proxy.rule(SLOW_DOWN, Kind.PART, part=1, times=1):
            await scene.client.patch(upload_id, 0, content)
        await collector.has("tus PATCH", "append", "assemble", "S3 CompleteMultipartUpload")
    [append], [assemble] = collector.named("append"), collector.named("assemble")
    parts = collector.named("S3 UploadPart")

    assert {part.parent for part in parts} == {append.id}
    assert sorted(str(part.attributes["tusd_py.tries"]) for part in parts) == ["1", "2"]
    assert {part.kind for part in parts} == {"CLIENT"}
    assert "S3 CompleteMultipartUpload" in {span.name for span in collector.below(assemble)}
    assert not [span for span in collector.spans if "42/" in repr(span.attributes)]
