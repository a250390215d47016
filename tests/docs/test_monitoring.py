"""examples/grafana.json and examples/alerts.yaml ask for what a server tells."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import promql_parser
import pytest
import yaml

from tests.docs.generated import DOCS, REPOSITORY
from tests.docs.markdown import rows, section
from tests.exposition import Exposition, exposition
from tests.servers import Address

DASHBOARD = json.loads((REPOSITORY / "examples/grafana.json").read_text())
RULES = yaml.safe_load((REPOSITORY / "examples/alerts.yaml").read_text())
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
PANELS = {
    f"{panel['id']}-{panel['title']}": panel
    for panel in DASHBOARD["panels"]
    if panel["type"] != "row"
}

OF_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus adds when it reads the metrics of a server."""


@dataclass(frozen=True)
class Asked:
    """A metric that a query names, and what its labels have to be."""

    name: str
    labels: tuple[tuple[str, str, str], ...]


def asked(expression: str) -> list[Asked]:
    """The metrics of a query. What Grafana puts in is put in."""
    text = expression.replace("$__rate_interval", "5m").replace("$__range", "1h")
    found: list[Asked] = []

    def visit(each: promql_parser.Expr) -> None:
        if isinstance(each, promql_parser.VectorSelector):
            assert each.name is not None
            matchers = each.matchers.matchers
            labels = [(one.name, str(one.op).rpartition(".")[2], one.value) for one in matchers]
            found.append(Asked(each.name, tuple(labels)))

    promql_parser.walk(promql_parser.parse(text), visit)
    return found


def queries() -> Iterator[str]:
    """All that the dashboard asks for."""
    for panel in PANELS.values():
        yield from (target["expr"] for target in panel["targets"])
    yield from (each["expr"] for each in DASHBOARD["annotations"]["list"] if "expr" in each)
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), \w+\)", variable["query"]["query"])
            assert match is not None
            yield match[1]


def is_there(wanted: Asked, found: Exposition) -> bool:
    """Whether a server has series of that name, and whether some of them are chosen, before
    anything happened."""
    series = [dict(labels) for name, labels in found.series if name == wanted.name]
    for name, kind, value in wanted.labels:
        if name in OF_PROMETHEUS:
            continue
        if kind == "Equal":
            series = [labels for labels in series if labels.get(name, "") == value]
        elif kind == "NotEqual":
            series = [labels for labels in series if labels.get(name, "") != value]
        elif kind == "Re":
            words = {labels.get(name, "") for labels in series}
            if not set(value.split("|")) <= words:
                return False
        else:
            raise AssertionError(kind)
    return bool(series)


@pytest.mark.parametrize("make_store", ["s3"], indirect=True)
async def test_what_is_asked_for_is_there(server: Address) -> None:
    """Every name, label and value of a label in all queries is that of a series of a server to
    which nothing has happened yet."""
    found = await exposition(server)
    wanted = {
        each
        for query in [*queries(), *(rule["expr"] for rule in ALERTS.values())]
        for each in asked(query)
    }

    assert len({each.name for each in wanted}) > 25
    assert sorted(each.name for each in wanted if not is_there(each, found)) == []


@pytest.mark.parametrize("make_store", ["s3"], indirect=True)
async def test_all_that_is_told_is_documented(server: Address) -> None:
    """The table of metrics has each of them, with its kind and its labels, and no other."""
    found = await exposition(server)
    table = rows(section((DOCS / "operations.md").read_text(), "## Metrics"))
    listed = {row[0].strip("`"): (row[1], set(re.findall(r"`(\w+)`", row[2]))) for row in table}
    told = {}
    for name, kind in found.kinds.items():
        whole = f"{name}_total" if kind == "counter" else name
        labels = {
            label
            for each, has in found.series
            if re.fullmatch(rf"{name}(_total|_bucket|_sum|_count)?", each)
            for label, _ in has
        }
        told[whole] = (kind, labels - {"le"})

    assert told == listed


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_to_do(name: str) -> None:
    """Each has a severity, a summary, what happens and what to do, and values that are there."""
    rule = ALERTS[name]
    texts = rule["annotations"]
    aggregated = re.findall(r"by \(([^)]*)\)", rule["expr"])
    used = set(re.findall(r"\$labels\.(\w+)", " ".join(texts.values())))

    assert re.fullmatch(r"TusdPy[A-Z]\w+", name)
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert texts.keys() == {"summary", "description", "action"}
    assert all(text.endswith(".") for text in texts.values())
    assert re.fullmatch(r"\d+[mh]", rule.get("for", "0m"))
    assert all(used <= set(labels.split(", ")) for labels in aggregated)


def test_what_an_operator_must_hear_of_has_an_alert() -> None:
    """Disk, outbox, storage, S3, errors, stuck uploads, records, completions."""
    named = {each.name for rule in ALERTS.values() for each in asked(rule["expr"])}

    assert named >= {
        "tusd_py_disk_free_bytes",
        "tusd_py_outbox_oldest_seconds",
        "tusd_py_outbox_dead",
        "tusd_py_refusals_total",
        "tusd_py_s3_calls_total",
        "tusd_py_received_bytes_total",
        "tusd_py_last_sweep_timestamp_seconds",
        "tusd_py_unreadable_records",
        "tusd_py_uploads_total",
    }


def test_the_dashboard_can_be_imported() -> None:
    """It has no id of another Grafana, chooses its source by a variable, and no panels overlap."""
    kinds = {each["name"]: each["type"] for each in DASHBOARD["templating"]["list"]}
    places = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert "id" not in DASHBOARD
    assert DASHBOARD["schemaVersion"] >= 38
    assert kinds == {"datasource": "datasource", "job": "query", "instance": "query"}
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) == 23
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_is_whole(name: str) -> None:
    """Each says what it shows, has a unit, and asks the chosen source for the chosen servers."""
    panel = PANELS[name]
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]

    assert panel["description"].endswith(".")
    assert panel["type"] == "table" or panel["fieldConfig"]["defaults"]["unit"]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    for target in panel["targets"]:
        for each in asked(target["expr"]):
            chosen = {label for label, _, _ in each.labels}
            assert chosen >= OF_PROMETHEUS
