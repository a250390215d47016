"""JSON bodies that no endpoint accepts, and values that are no main_service_file_id."""

ANYTHING = (
    b'{"upload_session_id": "00000000-0000-4000-8000-000000000000", "total_chunks": 1, '
    b'"main_service_file_id": 1, "original_file_name": "a", "unknown": %s}'
)
"""All fields of all endpoints, and one that nobody knows."""

BAD_JSON = [
    b"",
    b" ",
    b"{",
    b"[]",
    b"null",
    b"true",
    b"7",
    b'"text"',
    b"{'upload_session_id': 1}",
    b"upload_session_id=1&total_chunks=1",
    b"[" * 30_000,
    b"[" * 100_000,
    b'{"a":' * 10_000,
    ANYTHING % (b"[" * 5000 + b"]" * 5000),
    ANYTHING % (b'{"a":' * 5000 + b"1" + b"}" * 5000),
    ANYTHING % b"NaN",
    ANYTHING % b"Infinity",
    ANYTHING % b"-Infinity",
    ANYTHING % (b"9" * 5000),
    ANYTHING % b'"\xff"',
    ANYTHING % b'"\n"',
    ANYTHING % b"01",
    b'{"upload_session_id": "' + b"[" * 1000,
    b'{"main_service_file_id": ' + b"9" * 5000 + b', "original_file_name": "a"}',
    b'{"main_service_file_id": NaN, "original_file_name": "a"}',
    b'{"main_service_file_id": Infinity, "original_file_name": "a"}',
    b'{"main_service_file_id": -Infinity, "original_file_name": "a"}',
    b'{"main_service_file_id": 1, "original_file_name": "\xff\xfe"}',
    '{"main_service_file_id": 1, "original_file_name": "a"}'.encode("utf-16"),
    b'{"main_service_file_id": 1, "original_file_name": "a"} {}',
    b'{"main_service_file_id": 1, "original_file_name": "a\nb"}',
    b"\x00",
    b"--boundary\r\n",
]

NOT_A_FILE_ID = [
    "-1",
    "1.0",
    "1.5",
    "1e3",
    '"123"',
    '""',
    "true",
    "false",
    "null",
    "[1]",
    '{"id": 1}',
    "NaN",
    "1" + "0" * 400,
    "1" + "0" * 5000,
]
