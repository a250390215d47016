"""What /metrics tells of a server."""

import re

from tests.servers import Address

_REQUEST = b"GET /metrics HTTP/1.1\r\nHost: tests\r\nConnection: close\r\n\r\n"
_LINE = re.compile(r'^tusd_py_limit_hits_total\{limit="(\w+)"\} ([0-9]+)', re.M)


async def limits_met(address: Address) -> dict[str, int]:
    """The limits that were met, each with how often."""
    answer = (await address.raw(_REQUEST)).decode()
    assert answer.startswith("HTTP/1.1 200 "), answer
    return {limit: int(count) for limit, count in _LINE.findall(answer) if int(count)}
