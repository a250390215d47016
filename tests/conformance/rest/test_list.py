"""GET /upload/files (design.md 1.4, 1.8)."""

import asyncio
from base64 import b64encode
from datetime import UTC, datetime, timedelta

from tests.conformance.rest.client import RestClient
from tests.servers import Address


async def test_empty_list_is_exactly_the_documented_one(rest: RestClient) -> None:
    """200 {"status":"success","files":[…]}; a user without files has an empty list."""
    answer = await rest.listing()

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json() == {"status": "success", "files": [], "uploads": []}


async def test_list_is_exactly_the_documented_one(rest: RestClient) -> None:
    """Paths of the finished files, and what belongs to each."""
    upload_id = await rest.uploaded(b"hello ", b"world", name="héllo.mp3")
    answer = await rest.listing()

    path = rest.server.location("42", 123, "héllo.mp3")
    uploads = answer.json()["uploads"]
    assert isinstance(uploads, list)
    (upload,) = uploads
    completed_at = datetime.fromisoformat(upload.pop("completed_at"))
    content_type = upload.pop("content_type")
    assert answer.json()["files"] == [path]
    assert upload == {
        "upload_session_id": upload_id,
        "file_name": "héllo.mp3",
        "size": 11,
        "path": path,
        "sha256": None,
    }
    assert content_type is None or "/" in content_type
    assert abs(datetime.now(UTC) - completed_at) < timedelta(minutes=1)


async def test_unfinished_uploads_are_not_listed(rest: RestClient) -> None:
    """Finished files only."""
    await rest.init(1)
    second = await rest.init(2)
    await rest.chunk(second, 0, b"x")
    await rest.create({"Upload-Length": "5"})
    await rest.uploaded(b"x", file_id=3)

    assert await rest.files() == [rest.server.location("42", 3, "audio.mp3")]


async def test_only_own_files_are_listed(rest: RestClient) -> None:
    """Finished files of this user only; a name that begins like another's is another's."""
    users: list[str | int] = ["4", "42", "421", "43"]
    clients = [RestClient(http=rest.http, server=rest.server, user=user) for user in users]
    for client in clients:
        await client.uploaded(b"x", name=f"of {client.user}.mp3")
    listings = [await client.files() for client in clients]

    expected = [[rest.server.location(user, 123, f"of {user}.mp3")] for user in users]
    assert listings == expected


async def test_a_number_and_its_digits_are_one_user(rest: RestClient) -> None:
    """The user id is a str or an int; both become the same path segment."""
    await rest.uploaded(b"x")
    number = RestClient(http=rest.http, server=rest.server, user=42)

    assert await number.files() == await rest.files()
    assert len(await number.files()) == 1


async def test_files_of_both_faces_are_listed(rest: RestClient) -> None:
    """…from both faces."""
    await rest.uploaded(b"x", file_id=1)
    name = b64encode("tus ü.mp3".encode()).decode()
    file_id = b64encode(b"2").decode()
    metadata = f"filename {name},main_service_file_id {file_id}"
    upload_id = await rest.create({"Upload-Length": "5", "Upload-Metadata": metadata})
    await rest.patch(upload_id, 0, b"hello")
    paths = sorted(str(path) for path in await rest.files())

    assert paths == [
        rest.server.location("42", 1, "audio.mp3"),
        rest.server.location("42", 2, "tus ü.mp3"),
    ]


async def test_partial_uploads_are_not_files(rest: RestClient) -> None:
    """A tus partial upload is no file; the final upload made of it is one."""
    headers = {"Upload-Length": "5", "Upload-Concat": "partial"}
    partial = await rest.create(headers)
    await rest.patch(partial, 0, b"hello")
    before = await rest.files()
    name = b64encode(b"final.txt").decode()
    final = await rest.create(
        {
            "Upload-Concat": f"final;/files/{partial} /files/{partial}",
            "Upload-Metadata": f"filename {name}",
        }
    )

    assert before == []
    assert await rest.files() == [rest.server.location("42", final, "final.txt")]


async def test_listing_while_files_come_and_go(rest: RestClient) -> None:
    """A listing beside completions and deletions is whole: finished files, each once."""

    async def churn(file_id: int) -> None:
        for _ in range(4):
            await rest.delete(await rest.uploaded(b"x", file_id=file_id))
        await rest.uploaded(b"x", file_id=file_id)

    workers = asyncio.gather(*(churn(file_id) for file_id in range(4)))
    listings = []
    while not workers.done():
        listings.append(await rest.listing())
    await workers
    last = await rest.files()

    assert {answer.status for answer in listings} == {200}
    for answer in listings:
        files = answer.json()["files"]
        assert isinstance(files, list)
        assert len(files) == len(set(files)) <= 4
    assert sorted(str(path) for path in last) == paths(rest.server, range(4))


async def test_query_and_body_change_nothing(rest: RestClient) -> None:
    """The listing takes no arguments: another user's id in the query is ignored."""
    await rest.uploaded(b"x")
    stranger = RestClient(http=rest.http, server=rest.server, user="43")
    answer = await stranger.send("GET", "/upload/files?user_id=42&user=42")

    assert answer.json() == {"status": "success", "files": [], "uploads": []}


def paths(server: Address, file_ids: range) -> list[str]:
    """Where files of these ids end."""
    return [server.location("42", file_id, "audio.mp3") for file_id in file_ids]
