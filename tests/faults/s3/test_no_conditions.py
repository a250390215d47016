"""A store that knows no conditional writes."""

from pathlib import Path

from tests.faults.s3.conftest import MakeScene
from tests.faults.s3.scene import (
    MIB,
    PART,
    content_of,
    file_of,
    is_same,
    record_of,
)
from tests.store_calls import Call, Kind
from tests.store_proxy import Refuse, StoreProxy

NOT_IMPLEMENTED = Refuse(status=501, code="NotImplemented")


def is_conditional(call: Call) -> bool:
    """Whether a call puts an object on a condition."""
    return call.is_conditional


async def test_store_without_conditional_writes(
    make_scene: MakeScene, proxy: StoreProxy, tmp_path: Path
) -> None:
    """A store that answers 501 to conditions is found out at the start, and everything works."""
    with proxy.rule(NOT_IMPLEMENTED, Kind.PUT, also=is_conditional) as rule:
        one = await make_scene(root=tmp_path / "one")
        two = await make_scene(root=tmp_path / "two")
        at_start = len(rule.calls)
        content = content_of(2 * PART + 100)
        upload_id = await one.created(len(content))
        await one.sent(upload_id, 0, content[:PART])
        await two.sent(upload_id, PART, content[PART : PART + MIB])
        await one.sent(upload_id, PART + MIB, content[PART + MIB :])
        rest_id = await one.client.init(7)
        for index in (1, 0):
            answer = await two.client.chunk(rest_id, index, content[:MIB])
            assert answer.status == 200, answer
        completed = await one.client.complete(rest_id, 2, 7)
        removed = await two.client.delete(rest_id)
        download = await two.client.tus("GET", upload_id)

    assert len(rule.calls) == at_start
    assert (completed.status, removed.status) == (200, 200)
    assert is_same(download.body, content)
    await one.assert_only(file_of(upload_id), record_of(upload_id), record_of(rest_id))
