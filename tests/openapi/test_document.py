"""The document says what the code does."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from referencing import Registry
from referencing.jsonschema import DRAFT202012, Schema

import tusd_py
import tusd_py.errors
import tusd_py.web.errors
from tests.docs.generated import DOCS
from tests.docs.markdown import rows, section
from tests.docs.test_rest_doc import KINDS_OF_TUS, PLAIN, kinds
from tests.openapi.reading import (
    DOCUMENT,
    Operation,
    entry,
    objects,
    operations,
    resolved,
    rest_operations,
)
from tests.unit.web.test_errors import sample
from tusd_py.errors import UploadError
from tusd_py.web.errors import MethodNotAllowed, NoSuchAddress, headers_of, status_of
from tusd_py.web.openapi.refusals import REFUSALS
from tusd_py.web.rest import refusal_fields

REST_DOC = (DOCS / "rest.md").read_text()
TABLE = {(int(row[0]), row[1].strip("`")) for row in rows(section(REST_DOC, "## Errors"))}
"""Status and code of every error that docs/rest.md lists."""

KINDS = [
    kind
    for kind in kinds(UploadError)
    if kind.__module__ in {tusd_py.errors.__name__, tusd_py.web.errors.__name__}
]
"""All refusals but those that a backend has for itself."""

EACH = pytest.mark.parametrize("operation", rest_operations(), ids=lambda each: each.name)

_REGISTRY: Registry[Schema] = Registry().with_resource(
    "urn:document", DRAFT202012.create_resource(DOCUMENT)
)


def absolute(schema: object) -> Schema:
    """A schema whose references lead into the document, wherever it stands itself."""
    text = json.dumps(schema).replace('"$ref": "#', '"$ref": "urn:document#')
    made: dict[str, object] = json.loads(text)
    return made


def mistakes(value: object, schema: object) -> list[str]:
    """What a schema of the document finds wrong with a value."""
    checker = Draft202012Validator.FORMAT_CHECKER
    validator = Draft202012Validator(absolute(schema), registry=_REGISTRY, format_checker=checker)
    return [error.message for error in validator.iter_errors(value)]


def json_of(response: object) -> dict[str, object]:
    """What the document says of the JSON of an answer; nothing when it has none."""
    content = objects(resolved(response).get("content", {}))
    return content.get("application/json", {})


def codes(operation: Operation) -> set[tuple[int, str]]:
    """Status and code of every refusal that a request is said to have."""
    return {
        (status, str(entry(example, "value", "code")))
        for status, response in operation.responses.items()
        for example in objects(json_of(response).get("examples", {})).values()
        if entry(example, "value", "status") == "error"
    }


def test_document_is_openapi() -> None:
    """It is a valid document of OpenAPI 3.1 and of this version of the package."""
    validate(json.loads(json.dumps(DOCUMENT)), cls=OpenAPIV31SpecValidator)

    assert str(DOCUMENT["openapi"]).startswith("3.1.")
    assert entry(DOCUMENT, "info", "version") == tusd_py.__version__


def test_every_component_is_used() -> None:
    """No component stands there unused, and no reference leads to nothing."""
    named = set(re.findall(r'"\$ref": "#/components/([^"]+)"', json.dumps(DOCUMENT)))
    there = {
        f"{kind}/{name}"
        for kind in ("schemas", "responses")
        for name in objects(entry(DOCUMENT, "components", kind))
    }

    assert named == there


def test_every_request_has_a_name_of_its_own() -> None:
    """Programs that are made from the document need a different name for each request."""
    names = [each.name for each in operations()]

    assert len(names) == len(set(names)) >= 16


def test_errors_are_those_of_the_table() -> None:
    """The document and docs/rest.md have the same statuses and codes."""
    said = set[tuple[int, str]]().union(*map(codes, rest_operations()))

    assert said == TABLE


def test_every_error_of_the_face_is_documented() -> None:
    """Each kind of refusal that is not of the tus face is one of some request: name it in
    `REFUSALS`. An address that is none is not in the document."""
    elsewhere = KINDS_OF_TUS | PLAIN
    leaves = {kind for kind in KINDS if kind.code not in elsewhere and not kind.__subclasses__()}

    said = {type(error) for errors in REFUSALS.values() for error in errors}

    assert leaves - said == {MethodNotAllowed, NoSuchAddress}


@EACH
def test_refusals_stand_where_the_table_of_errors_puts_them(operation: Operation) -> None:
    """A refusal is described under the status of its class, with its fields and its headers."""
    for error in REFUSALS[operation.name]:
        response = operation.responses[status_of(error)]
        described = objects(response.get("headers", {}))
        required = {name for name, each in described.items() if each["required"]}

        assert mistakes(refusal_fields(error), json_of(response)["schema"]) == []
        assert required <= headers_of(error).keys() <= described.keys()
        for name, text in headers_of(error).items():
            value: object = int(text) if text.isdigit() else text
            assert mistakes(value, described[name]["schema"]) == []


@EACH
def test_no_other_refusal_fits(operation: Operation) -> None:
    """Under a status only the codes that are named there are allowed."""
    samples = [(status_of(error), error) for error in map(sample, KINDS)]
    fitting = {
        (status, error.code)
        for status, error in samples
        if (status in operation.responses)
        and "schema" in (described := json_of(operation.responses[status]))
        and not mistakes(refusal_fields(error), described["schema"])
    }

    assert fitting == codes(operation)


@EACH
def test_examples_fit(operation: Operation) -> None:
    """Every example has the shape that is described beside it."""
    described = [json_of(response) for response in operation.responses.values()]
    described = [media for media in described if media]
    count = 0
    for media in described:
        for example in objects(media["examples"]).values():
            assert mistakes(example["value"], media["schema"]) == []
            count += 1
    if operation.body is not None:
        [media] = objects(entry(operation.value["requestBody"], "content")).values()
        assert mistakes(media["example"], media["schema"]) == []

    assert count >= len(described) >= 6


@cache
def messages() -> re.Pattern[str]:
    """What the texts of the package can say, but for those of the document itself."""
    package = Path(tusd_py.__file__).parent
    found = set()
    for path in package.rglob("*.py"):
        if "openapi" not in path.relative_to(package).parts:
            found |= {said(node) for node in ast.walk(ast.parse(path.read_text()))}
    return re.compile("|".join(text for text in found if text is not None))


def said(node: ast.AST) -> str | None:
    """The pattern of a text that has a few words in it; None for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return re.escape(text)
        case ast.JoinedStr(values=parts):
            texts = [str(part.value) if isinstance(part, ast.Constant) else None for part in parts]
            if sum(len(text or "") for text in texts) > 15:
                return "".join(".+" if text is None else re.escape(text) for text in texts)
    return None


@EACH
def test_messages_of_examples_are_real(operation: Operation) -> None:
    """An example says what the server says."""
    invented = [
        str(error) for error in REFUSALS[operation.name] if messages().fullmatch(str(error)) is None
    ]

    assert invented == []


@EACH
def test_fields_are_those_of_the_page(operation: Operation) -> None:
    """docs/rest.md has the fields of a body in a table of its section, the same ones."""
    page = section(REST_DOC, f"## {operation.method} {operation.path}")
    named = {row[0].strip("`") for row in rows(page) if re.fullmatch(r"`[a-z0-9_]+`", row[0])}
    body = operation.body or {"properties": {}}
    shown = set(re.findall(r'"?([a-z0-9_]+)\\?"?(?::|=)', page))

    assert named in (set(), set(objects(body["properties"])))
    assert set(objects(body["properties"])) <= named | shown
