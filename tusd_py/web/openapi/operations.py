"""The requests of the REST face: what each takes, and what it answers when all is well."""

from collections.abc import Mapping

from tusd_py.web.openapi.refusals import refusals
from tusd_py.web.openapi.schemas import COMPLETED, EXAMPLE_ID, HEADERS, Json, ref
from tusd_py.web.rest import BASE

_PATH = "/data/final/42/123/audio.mp3"
_ID = "$response.body#/data/upload_session_id"
_SAME_ID = "$request.body#/upload_session_id"


def rest_paths() -> Json:
    """Every address below /upload/."""
    return {
        f"{BASE}init": _address("post", _init()),
        f"{BASE}chunk": _address("post", _chunk()),
        f"{BASE}complete": _address("post", _complete()),
        f"{BASE}files": _address("get", _files()),
        f"{BASE}file": _address("delete", _delete()),
    }


def _address(method: str, operation: Json) -> Json:
    """An address with its one method, and OPTIONS."""
    name = str(operation["operationId"])
    allowed = (method.upper(), "OPTIONS")
    success = operation["responses"]
    assert isinstance(success, dict)
    return {
        method: {**operation, "responses": success | refusals(name, allowed)},
        "options": {
            "operationId": f"{name}Options",
            "summary": "Which methods this address knows",
            "description": "A browser asks this before a page of another origin may use it (CORS).",
            "tags": ["Preflight"],
            "x-scalar-ignore": True,
            "security": [],
            "responses": {
                "200": {
                    "description": "The methods.",
                    "headers": {"Allow": {**HEADERS["Allow"], "required": True}},
                }
            },
        },
    }


def _init() -> Json:
    return {
        "operationId": "initUpload",
        "summary": "Open a session",
        "description": "Begins an upload. Its id names it in every request that follows.",
        "tags": ["Upload"],
        "requestBody": _json(
            "NewUpload", {"main_service_file_id": 123, "original_file_name": "audio.mp3"}
        ),
        "responses": {
            "200": _success(
                "The session is open.",
                "Opened",
                {
                    "opened": {
                        "status": "success",
                        "message": "Upload session initialized.",
                        "data": {"upload_session_id": EXAMPLE_ID},
                    }
                },
                {
                    "sendChunk": _link(
                        "sendChunk",
                        "Send its first chunk.",
                        {"upload_session_id": _ID, "chunk_index": 0},
                    ),
                    "completeUpload": _link(
                        "completeUpload",
                        "Make the file, here of one chunk.",
                        {
                            "upload_session_id": _ID,
                            "total_chunks": 1,
                            "main_service_file_id": "$request.body#/main_service_file_id",
                        },
                    ),
                    "deleteUpload": _link(
                        "deleteUpload", "Give the upload up.", {"upload_session_id": _ID}
                    ),
                },
            )
        },
    }


def _chunk() -> Json:
    example = {"upload_session_id": EXAMPLE_ID, "chunk_index": 0, "chunk": "the first half, "}
    return {
        "operationId": "sendChunk",
        "summary": "Send one chunk",
        "description": (
            "Chunks may have any sizes, come in any order and in parallel, and come again when an "
            "answer was lost: the same bytes again are a success. A chunk that came early waits, "
            "and may be replaced while it does. A form that breaks off is not stored."
        ),
        "tags": ["Upload"],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": ref("schemas", "Chunk"),
                    "encoding": {"chunk": {"contentType": "application/octet-stream"}},
                    "example": example,
                }
            },
        },
        "responses": {
            "200": _success(
                "The chunk is stored.",
                "Done",
                {"stored": {"status": "success", "message": "Chunk uploaded successfully."}},
                {
                    "completeUpload": _link(
                        "completeUpload",
                        "Make the file, when all chunks were sent.",
                        {"upload_session_id": _SAME_ID},
                    ),
                    "deleteUpload": _link(
                        "deleteUpload", "Give the upload up.", {"upload_session_id": _SAME_ID}
                    ),
                },
            )
        },
    }


def _complete() -> Json:
    example = {"upload_session_id": EXAMPLE_ID, "total_chunks": 10, "main_service_file_id": 123}
    return {
        "operationId": "completeUpload",
        "summary": "Make the file of the chunks",
        "description": (
            "When the answer is there so is the file, on the medium. The same call again gives the "
            "same answer. When chunks are missing the answer names them and nothing is lost: send "
            "them and call again."
        ),
        "tags": ["Upload"],
        "requestBody": _json("Completion", example),
        "responses": {
            "200": _success(
                "The file is finished.",
                "Completed",
                {
                    name: {
                        "status": "success",
                        "message": message,
                        "data": {"file_path_on_upload_service": _PATH},
                    }
                    for name, message in zip(
                        ("notified", "queued", "finished"), COMPLETED, strict=True
                    )
                },
                {
                    "listFiles": {
                        "operationId": "listFiles",
                        "description": "The file is in the list.",
                    },
                    "deleteUpload": _link(
                        "deleteUpload", "Remove the file.", {"upload_session_id": _SAME_ID}
                    ),
                },
            )
        },
    }


def _files() -> Json:
    example: Json = {
        "status": "success",
        "files": [_PATH],
        "uploads": [
            {
                "upload_session_id": EXAMPLE_ID,
                "file_name": "audio.mp3",
                "size": 31,
                "content_type": None,
                "path": _PATH,
                "completed_at": "2026-11-23T09:30:00.000000+00:00",
                "sha256": None,
            }
        ],
    }
    return {
        "operationId": "listFiles",
        "summary": "List the finished files",
        "description": (
            "The finished files of the token's user, oldest upload first, those that came over tus "
            "included."
        ),
        "tags": ["Files"],
        "responses": {
            "200": _success(
                "The files.",
                "Files",
                {"files": example, "none": {"status": "success", "files": [], "uploads": []}},
            )
        },
    }


def _delete() -> Json:
    return {
        "operationId": "deleteUpload",
        "summary": "Remove an upload or a file",
        "description": (
            "Removes a finished file or an unfinished upload, of either face. Afterwards the id is "
            "gone: 410."
        ),
        "tags": ["Files"],
        "requestBody": _json("Which", {"upload_session_id": EXAMPLE_ID}),
        "responses": {
            "200": _success(
                "It is gone.",
                "Done",
                {"deleted": {"status": "success", "message": "Upload deleted."}},
            )
        },
    }


def _json(schema: str, example: Json) -> Json:
    """A body that must be sent, as JSON."""
    return {
        "required": True,
        "content": {"application/json": {"schema": ref("schemas", schema), "example": example}},
    }


def _success(
    description: str, schema: str, examples: Mapping[str, Json], links: Json | None = None
) -> Json:
    """An answer to what was done, and what may be done next."""
    response: Json = {
        "description": description,
        "content": {
            "application/json": {
                "schema": ref("schemas", schema),
                "examples": {name: {"value": value} for name, value in examples.items()},
            }
        },
    }
    return response | ({"links": links} if links else {})


def _link(operation: str, description: str, body: Json) -> Json:
    """A request that may follow, with these fields in its body."""
    return {"operationId": operation, "description": description, "requestBody": body}
