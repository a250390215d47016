"""What /metrics tells, read as Prometheus reads it."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from tests.servers import Address

_REQUEST = b"GET /metrics HTTP/1.1\r\nHost: tests\r\nConnection: close\r\n\r\n"

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Exposition:
    """All series -> value, and name of a family -> its kind."""

    series: Mapping[tuple[str, Labels], float]
    kinds: Mapping[str, str]

    @property
    def names(self) -> set[str]:
        """The names that a query can use."""
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        return {
            name + ending
            for name, kind in self.kinds.items()
            for ending in endings.get(kind, ("",))
        }

    def value(self, name: str, **labels: str) -> float:
        """The value of a series."""
        return self.series[name, frozenset(labels.items())]

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of a name that have these labels."""
        wanted = set(labels.items())
        return sum(
            value for (each, has), value in self.series.items() if each == name and wanted <= has
        )

    def labels(self, name: str, label: str) -> set[str]:
        """The values that a label has."""
        return {dict(has)[label] for each, has in self.series if each == name}


def read(text: str) -> Exposition:
    """Read the text format; a series that is there twice is an error."""
    series: dict[tuple[str, Labels], float] = {}
    kinds: dict[str, str] = {}
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created"):  # when a series began; there is none among workers
            continue
        assert family.name not in kinds, family.name
        kinds[family.name] = family.type
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in series, key
            series[key] = sample.value
    return Exposition(series, kinds)


async def exposition(address: Address) -> Exposition:
    """What a server tells now."""
    head, _, body = (await address.raw(_REQUEST)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    return read(body.decode())
