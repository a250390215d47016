"""A client that knows nothing of the server but its document."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from tests.openapi.reading import Operation, entry, objects, operations, resolved, told
from tests.openapi.test_document import json_of, mistakes
from tests.servers import Address


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request that was answered as the document says."""

    operation: Operation
    body: Mapping[str, object]
    status: int
    answer: object

    def link(self, name: str) -> tuple[str, dict[str, object]]:
        """The request that a link leads to, and the fields that it knows."""
        link = entry(self.operation.responses[self.status], "links", name)
        fields = link.get("requestBody", {}) if isinstance(link, dict) else {}
        known = {key: told(value, self.body, self.answer) for key, value in fields.items()}
        return str(entry(link, "operationId")), known


@dataclass(frozen=True, kw_only=True)
class Client:
    """Sends what the document describes, and looks whether the answers are described, too."""

    http: aiohttp.ClientSession
    base: str
    headers: Mapping[str, str]

    async def send(self, name: str, fields: Mapping[str, object]) -> Exchange:
        """The example of a request, with these fields in it."""
        [operation] = [each for each in operations() if each.name == name]
        kind, body = self._body(operation, fields)
        is_json = kind == "application/json"
        headers = {**self.headers, **({"Content-Type": str(kind)} if is_json else {})}
        data = json.dumps(body) if is_json else form(body) if kind else None
        url = f"{self.base}{operation.path}"
        async with self.http.request(operation.method, url, data=data, headers=headers) as response:
            answer = await response.json()
        described = json_of(operation.responses[response.status])
        assert mistakes(answer, described["schema"]) == []
        return Exchange(operation=operation, body=body, status=response.status, answer=answer)

    def _body(
        self, operation: Operation, fields: Mapping[str, object]
    ) -> tuple[str | None, dict[str, object]]:
        if operation.body is None:
            return None, {}
        [(kind, media)] = objects(entry(operation.value["requestBody"], "content")).items()
        return kind, {**resolved(media["example"]), **fields}


def form(fields: Mapping[str, object]) -> aiohttp.FormData:
    """A form with these fields, and the chunk as a file."""
    made = aiohttp.FormData()
    for name, value in fields.items():
        text = str(value)
        made.add_field(name, io.BytesIO(text.encode()) if name == "chunk" else text)
    return made


async def test_links_lead_through_the_whole_life_of_a_file(
    server: Address, http: aiohttp.ClientSession
) -> None:
    """From the session over chunk, completion and list to its removal: each request is made of the
    example in the document and of what the link from the answer before tells."""
    client = Client(http=http, base=server.base, headers=server.auth())

    opened = await client.send("initUpload", {"main_service_file_id": 7})
    chunk = await client.send(*opened.link("sendChunk"))
    missing = await client.send(*chunk.link("completeUpload"))
    done = await client.send(*opened.link("completeUpload"))
    stored = await server.finished()
    listed = await client.send(*done.link("listFiles"))
    deleted = await client.send(*done.link("deleteUpload"))
    gone = await client.send(*done.link("deleteUpload"))

    assert [each.status for each in (opened, chunk, done, listed, deleted)] == [200] * 5
    assert (missing.status, gone.status) == (409, 410)
    assert stored == {"42/7/audio.mp3": len("the first half, ")}
    assert entry(listed.answer, "files") == [
        entry(done.answer, "data", "file_path_on_upload_service")
    ]
    assert await server.finished() == {}


async def test_examples_have_what_answers_have(
    server: Address, http: aiohttp.ClientSession
) -> None:
    """An example of a success has the fields of a real answer, and its words."""
    client = Client(http=http, base=server.base, headers=server.auth())
    opened = await client.send("initUpload", {})
    chunk = await client.send(*opened.link("sendChunk"))
    done = await client.send(*opened.link("completeUpload"))
    listed = await client.send(*done.link("listFiles"))
    deleted = await client.send(*done.link("deleteUpload"))

    for exchange in (opened, chunk, done, listed, deleted):
        examples = objects(json_of(exchange.operation.responses[200])["examples"])
        answers = [outline(each["value"]) for each in examples.values()]
        assert outline(exchange.answer) in answers


def outline(value: object, name: str = "") -> object:
    """A value with its names and the sentences in it, without what is of one upload only."""
    if isinstance(value, dict):
        return {key: outline(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [outline(each) for each in value]
    return value if name in {"status", "message"} else type(value)
