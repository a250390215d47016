"""Reads the document as a client does: references followed, links resolved."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tusd_py.web.openapi.document import document

Json: TypeAlias = dict[str, object]

DOCUMENT = document(server="https://example.org/uploads", tus_base_path="/files/")
REST = "/upload/"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One request that the document describes."""

    path: str
    method: str
    value: Json

    @property
    def name(self) -> str:
        return str(self.value["operationId"])

    @property
    def body(self) -> Json | None:
        """The schema of the body; None when there is none."""
        if "requestBody" not in self.value:
            return None
        [media] = objects(entry(self.value["requestBody"], "content")).values()
        return resolved(media["schema"])

    @property
    def responses(self) -> dict[int, Json]:
        """Status -> answer."""
        found = objects(self.value["responses"])
        return {int(status): resolved(response) for status, response in found.items()}


def operations(document: object = None) -> Iterator[Operation]:
    """All requests of the document."""
    for path, methods in objects(entry(document or DOCUMENT, "paths")).items():
        for method, value in objects(methods).items():
            yield Operation(path=path, method=method.upper(), value=value)


def rest_operations() -> list[Operation]:
    """The requests of the REST face, without those of browsers."""
    return [
        each
        for each in operations()
        if each.path.startswith(REST) and each.method not in {"OPTIONS", "HEAD"}
    ]


def entry(value: object, *names: str) -> object:
    """What lies at the end of these names."""
    for name in names:
        assert isinstance(value, Mapping)
        value = value[name]
    return value


def objects(value: object) -> dict[str, Json]:
    """An object whose values are objects."""
    assert isinstance(value, dict)
    assert all(isinstance(each, dict) for each in value.values())
    return value


def resolved(value: object) -> Json:
    """An object, or the one that a reference leads to."""
    assert isinstance(value, dict)
    if "$ref" in value:
        return resolved(entry(DOCUMENT, *str(value["$ref"]).removeprefix("#/").split("/")))
    return value


def told(expression: object, request: object, answer: object) -> object:
    """What a runtime expression of a link stands for (OpenAPI 3.1, 4.8.20.4)."""
    if not isinstance(expression, str) or not expression.startswith("$"):
        return expression
    source, _, pointer = expression.partition("#/")
    body = {"$request.body": request, "$response.body": answer}[source]
    return entry(body, *pointer.split("/"))
