"""Who may do what: tokens on every endpoint of every face (design.md 1.3, 1.8 Tokens)."""

import asyncio
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from multidict import CIMultiDictProxy

from tests.conftest import MakeProcess, MakeServer
from tests.servers import Address
from tests.tokens import (
    AUDIENCE,
    ISSUER,
    PRIVATE_KEY,
    PUBLIC_PEM,
    claims,
    make_token,
    new_key,
    public_pem,
    sign,
)

UNKNOWN = "00000000-0000-4000-8000-000000000000"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
TUS = {"Tus-Resumable": "1.0.0"}
OFFSET = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "5"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that would succeed with a valid token; `{id}` stands for an upload."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def about(self, upload_id: str) -> "Request":
        """The same request about one upload."""
        return Request(
            method=self.method,
            path=self.path.replace("{id}", upload_id),
            headers={name: v.replace("{id}", upload_id) for name, v in self.headers.items()},
            body=self.body.replace("{id}", upload_id),
        )


REQUESTS = [
    Request(
        method="POST",
        path="/upload/init",
        headers=JSON,
        body='{"main_service_file_id": 1, "original_file_name": "a"}',
    ),
    Request(
        method="POST",
        path="/upload/chunk",
        headers=FORM,
        body='--b\r\nContent-Disposition: form-data; name="upload_session_id"\r\n\r\n{id}\r\n'
        '--b\r\nContent-Disposition: form-data; name="chunk_index"\r\n\r\n1\r\n'
        '--b\r\nContent-Disposition: form-data; name="chunk"\r\n\r\nchunk\r\n--b--\r\n',
    ),
    Request(
        method="POST",
        path="/upload/complete",
        headers=JSON,
        body='{"upload_session_id": "{id}", "total_chunks": 1, "main_service_file_id": 1}',
    ),
    Request(
        method="DELETE",
        path="/upload/file",
        headers=JSON,
        body='{"upload_session_id": "{id}"}',
    ),
    Request(method="GET", path="/upload/files", headers={}),
    Request(method="POST", path="/files/", headers={**TUS, "Upload-Length": "5"}),
    Request(method="HEAD", path="/files/{id}", headers=TUS),
    Request(method="PATCH", path="/files/{id}", headers=OFFSET, body="chunk"),
    Request(method="GET", path="/files/{id}", headers={}),
    Request(method="DELETE", path="/files/{id}", headers=TUS),
    Request(
        method="POST",
        path="/files/{id}",
        headers={**OFFSET, "X-HTTP-Method-Override": "PATCH"},
        body="chunk",
    ),
    Request(method="POST", path="/files/{id}", headers={**TUS, "X-HTTP-Method-Override": "DELETE"}),
    Request(
        method="POST",
        path="/files/",
        headers={**TUS, "Upload-Concat": "final;/files/{id}"},
    ),
]

every_request = pytest.mark.parametrize("request_", REQUESTS, ids=str)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: str


@dataclass(frozen=True, kw_only=True)
class Client:
    """Sends requests with whatever a test puts in the place of a token."""

    http: aiohttp.ClientSession
    server: Address

    async def send(
        self,
        request: Request,
        headers: Mapping[str, str],
        upload_id: str = UNKNOWN,
        query: str = "",
    ) -> Answer:
        """Send one of the requests about an upload."""
        ready = request.about(upload_id)
        async with self.http.request(
            ready.method,
            self.server.base + ready.path + query,
            data=ready.body.encode() or None,
            headers={**ready.headers, **headers},
        ) as response:
            return Answer(
                status=response.status, headers=response.headers, body=await response.text()
            )

    async def present(self, token: str) -> Answer:
        """Present a token on the listing."""
        return await self.send(LISTING, bearer(token))

    async def upload(self, user: str | int = "42") -> str:
        """An upload of ten bytes with five of them there, for a user."""
        headers = {
            **self.server.tus(user),
            "Content-Type": "application/offset+octet-stream",
            "Upload-Length": "10",
        }
        async with self.http.post(self.server.files, data=b"hello", headers=headers) as response:
            assert response.status == 201
            return response.headers["Location"].rsplit("/", 1)[-1]

    async def offset(self, upload_id: str, user: str | int = "42") -> int:
        """How much of an upload is there."""
        url = self.server.files + upload_id
        async with self.http.head(url, headers=self.server.tus(user)) as response:
            assert response.status == 200
            return int(response.headers["Upload-Offset"])

    async def place(self, token: str) -> str:
        """Upload a file with a token and say where it was filed."""
        headers = {
            **bearer(token),
            **TUS,
            "Content-Type": "application/offset+octet-stream",
            "Upload-Length": "1",
            "Upload-Metadata": "filename YQ==,main_service_file_id MQ==",
        }
        async with self.http.post(self.server.files, data=b"x", headers=headers) as response:
            assert response.status == 201, await response.text()
        answer = await self.present(token)
        (location,) = json.loads(answer.body)["files"]
        return str(location)


LISTING = REQUESTS[4]


@pytest.fixture
def client(http: aiohttp.ClientSession, server: Address) -> Client:
    """A client of the default server."""
    return Client(http=http, server=server)


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def b64(value: bytes) -> str:
    """Base64 as JWTs have it."""
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def forged(header: bytes, payload: bytes, signature: bytes = b"signature") -> str:
    """A token of any three parts."""
    return ".".join(b64(part) for part in (header, payload, signature))


def signed(payload: str, headers: dict[str, object] | None = None) -> str:
    """A properly signed token around a JSON text that no library would write."""
    header = {"alg": "RS256", "typ": "JWT", **(headers or {})}
    first = f"{b64(json.dumps(header).encode())}.{b64(payload.encode())}"
    algorithm = jwt.get_algorithm_by_name("RS256")
    return f"{first}.{b64(algorithm.sign(first.encode(), PRIVATE_KEY))}"


def with_claim(name: str, literal: str) -> str:
    """A signed token in which one claim is a JSON literal."""
    rest = json.dumps(claims(**{name: None}))
    return signed(f'{rest.removesuffix("}")}, "{name}": {literal}}}')


def symmetric(secret: str, algorithm: str = "HS256") -> str:
    """A token signed with a shared secret, which could be our public key."""
    header = {"alg": algorithm, "typ": "JWT"}
    first = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims()).encode())}"
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    return f"{first}.{b64(hmac.digest(secret.encode(), first.encode(), digest))}"


def unsigned(name: str) -> str:
    """A token that says it needs no signature."""
    return forged(json.dumps({"alg": name}).encode(), json.dumps(claims()).encode(), b"")


def assert_refused(answer: Answer, request: Request = LISTING) -> None:
    """401 + WWW-Authenticate: Bearer, with a one-line reason in the words of the face."""
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].lower().startswith("bearer")
    if request.method == "HEAD":
        assert "Upload-Offset" not in answer.headers
    elif request.path.startswith("/upload/"):
        error = json.loads(answer.body)
        assert (error["status"], error["code"]) == ("error", "unauthorized")
        assert error["message"].strip()
    else:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.body.strip()
        assert "\n" not in answer.body.strip()


# --- every endpoint and verb ------------------------------------------------------------------


AUTHORIZATIONS = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "Basic NDI6NDI=",
    "Token {token}",
    "{token}",
    "Bearer{token}",
    "Bearer {token} {token}",
    "Bearer {token},Bearer {token}",
    "Bearer not.a.token",
    "Basic {token}",
    "Bearer Bearer {token}",
    "Bearer {expired}",
    "Bearer {foreign}",
]


@pytest.mark.decided_early
@every_request
async def test_no_valid_token_is_401_everywhere(client: Client, request_: Request) -> None:
    """All need `Authorization: Bearer`; 401 (+ `WWW-Authenticate: Bearer`), nothing is done."""
    upload_id = await client.upload()
    tokens = {
        "token": make_token(),
        "expired": sign(claims(exp=int(time.time()) - 60)),
        "foreign": sign(claims(), key=FOREIGN_KEY),
    }
    for each in AUTHORIZATIONS:
        headers = {} if each is None else {"Authorization": each.format(**tokens)}
        answer = await client.send(request_, headers, upload_id)

        assert_refused(answer, request_)
        assert await client.offset(upload_id) == 5, each


@every_request
async def test_scheme_in_any_case_is_accepted(client: Client, request_: Request) -> None:
    """`Bearer` in any case."""
    for scheme in ("Bearer", "bearer", "BEARER", "bEaReR"):
        upload_id = await client.upload()
        headers = {"Authorization": f"{scheme} {make_token()}"}
        answer = await client.send(request_, headers, upload_id)

        assert answer.status != 401, scheme
        assert answer.status < 500, scheme


@pytest.mark.decided_early
@every_request
async def test_token_elsewhere_is_401(client: Client, request_: Request) -> None:
    """Tokens: only in the Authorization header, not in the query or a cookie."""
    upload_id = await client.upload()
    token = make_token()
    names = ("token", "access_token", "jwt", "authorization")
    answers = [
        *[await client.send(request_, {}, upload_id, f"?{name}={token}") for name in names],
        *[await client.send(request_, {"Cookie": f"{n}={token}"}, upload_id) for n in names],
        await client.send(request_, {"X-Access-Token": token}, upload_id),
    ]

    for answer in answers:
        assert_refused(answer, request_)
    assert await client.offset(upload_id) == 5


@pytest.mark.parametrize("path", ["/upload/files", "/files/{id}"])
async def test_two_authorization_lines_are_refused(client: Client, path: str) -> None:
    """Two Authorization lines leave open who asks: refused."""
    upload_id = await client.upload()
    request = (
        f"GET {path.format(id=upload_id)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {make_token('43')}\r\n"
        f"Authorization: Bearer {make_token('42')}\r\n\r\n"
    )
    answer = await client.server.raw(request.encode())

    assert answer.split()[1] in {b"400", b"401"}


@pytest.mark.parametrize("request_", [r for r in REQUESTS if r.about(UNKNOWN) != r], ids=str)
async def test_foreign_id_looks_like_an_unknown_one(client: Client, request_: Request) -> None:
    """Another's id gives the same body and headers as an unknown one, also inside Upload-Concat."""
    upload_id = await client.upload("43")
    foreign = await client.send(request_, client.server.auth(), upload_id)
    unknown = await client.send(request_, client.server.auth(), UNKNOWN)

    assert foreign.status in {400, 404}
    assert foreign.status == unknown.status
    assert foreign.body == unknown.body
    assert without_date(foreign) == without_date(unknown)
    assert await client.offset(upload_id, "43") == 5


@pytest.mark.parametrize("request_", [r for r in REQUESTS if r.about(UNKNOWN) != r], ids=str)
async def test_path_to_a_foreign_upload_is_unknown(client: Client, request_: Request) -> None:
    """An id is an id and never a path: what leads to another's folder is unknown."""
    await client.upload("42")
    upload_id = await client.upload("43")
    paths = ["../43/{}", "43/{}", "../../uploads/43/{}", "..%2F43%2F{}"]
    auth = client.server.auth()
    answers = {each: await client.send(request_, auth, each.format(upload_id)) for each in paths}

    for path, answer in answers.items():
        assert answer.status in {400, 404, 405}, path
    assert await client.offset(upload_id, "43") == 5


def without_date(answer: Answer) -> dict[str, str]:
    """The headers that may be compared: all but those that name the moment, or the request."""
    own = {"date", "x-request-id"}
    return {name: value for name, value in answer.headers.items() if name.lower() not in own}


PATHS = ["/upload/init", "/upload/chunk", "/upload/complete", "/upload/file", "/upload/files"]


@pytest.mark.decided_early
@pytest.mark.parametrize("path", [*PATHS, "/files/", f"/files/{UNKNOWN}"])
async def test_preflight_needs_no_token(client: Client, path: str) -> None:
    """CORS preflight needs no token."""
    headers = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    async with client.http.options(client.server.base + path, headers=headers) as response:
        allowed = response.headers["Access-Control-Allow-Headers"].lower()

        assert response.status in {200, 204}
        assert response.headers["Access-Control-Allow-Origin"] in {"*", "https://app.example"}
        assert "authorization" in allowed


@pytest.mark.decided_early
@every_request
async def test_refusal_can_be_read_by_a_browser(client: Client, request_: Request) -> None:
    """A 401 carries the CORS headers like every answer."""
    answer = await client.send(request_, {"Origin": "https://app.example"})

    assert answer.status == 401
    assert answer.headers["Access-Control-Allow-Origin"] in {"*", "https://app.example"}


# --- the body waits for the token -------------------------------------------------------------


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "request_", [r for r in REQUESTS if r.body and "Override" not in str(r.headers)], ids=str
)
@pytest.mark.parametrize("token", ["", "expired"])
async def test_expect_gets_401_without_100(client: Client, request_: Request, token: str) -> None:
    """The body is never read before the token is verified: Expect gets the 401 and no 100."""
    upload_id = await client.upload()
    value = sign(claims(exp=int(time.time()) - 60)) if token else ""
    fields = {
        "Host": "x",
        "Connection": "close",
        "Expect": "100-continue",
        "Content-Length": "1000000000",
        "Authorization": f"Bearer {value}",
        **request_.headers,
    }
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    writer.write(head(request_, fields, upload_id))
    async with asyncio.timeout(5):
        first = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert first.startswith(b"HTTP/1.1 401 ")


async def test_expect_gets_100_with_a_valid_token(client: Client) -> None:
    """Only once the token is verified is the body asked for."""
    upload_id = await client.upload()
    request = REQUESTS[7]
    fields = {
        "Host": "x",
        "Connection": "close",
        "Expect": "100-continue",
        "Content-Length": "5",
        **client.server.auth(),
        **request.headers,
    }
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    writer.write(head(request, fields, upload_id))
    async with asyncio.timeout(10):
        interim = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"world")
        final = await reader.read()
    writer.close()

    assert interim.startswith(b"HTTP/1.1 100 ")
    assert final.startswith(b"HTTP/1.1 204 ")
    assert (await client.present(make_token())).status == 200


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "request_", [r for r in REQUESTS if r.body and "Override" not in str(r.headers)], ids=str
)
async def test_refusal_does_not_wait_for_the_body(client: Client, request_: Request) -> None:
    """A client that sends a token which is not valid gets its 401 while its body still comes."""
    upload_id = await client.upload()
    fields = {"Host": "x", "Content-Length": "1000000000", **request_.headers}
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    writer.write(head(request_, fields, upload_id) + b"some of the body")
    async with asyncio.timeout(5):
        status_line = await reader.readline()
    writer.close()

    assert status_line.startswith(b"HTTP/1.1 401 ")
    assert await client.offset(upload_id) == 5


def head(request: Request, fields: Mapping[str, str], upload_id: str) -> bytes:
    """The head of a request as it goes over the wire."""
    lines = [f"{request.method} {request.about(upload_id).path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


# --- signature --------------------------------------------------------------------------------

FOREIGN_KEY = new_key()


@pytest.mark.decided_early
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["pem", "pem without end", "one line"])
async def test_public_key_is_no_shared_secret(client: Client, algorithm: str, form: str) -> None:
    """RS256: only this one is accepted; HS256 with the public key as its secret is refused."""
    secret = {
        "pem": PUBLIC_PEM,
        "pem without end": PUBLIC_PEM.rstrip("\n"),
        "one line": PUBLIC_PEM.replace("\n", "\\n"),
    }[form]
    answer = await client.present(symmetric(secret, algorithm))

    assert_refused(answer)


@pytest.mark.decided_early
@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
async def test_unsigned_token_is_refused(client: Client, name: str) -> None:
    """`none` in any case is no algorithm."""
    answer = await client.present(unsigned(name))

    assert_refused(answer)


@pytest.mark.decided_early
@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS512"])
async def test_other_algorithm_with_the_right_key_is_refused(
    client: Client, algorithm: str
) -> None:
    """RS256: only this one is accepted."""
    answer = await client.present(sign(claims(), algorithm=algorithm))

    assert_refused(answer)


async def test_other_key_is_refused(client: Client) -> None:
    """A token that another key signed is refused."""
    answer = await client.present(sign(claims(), key=FOREIGN_KEY))

    assert_refused(answer)


async def test_changed_payload_is_refused(client: Client) -> None:
    """The signature covers the claims."""
    first, _, third = make_token("42").split(".")
    _, second, _ = make_token("43").split(".")
    answers = [
        await client.present(f"{first}.{second}.{third}"),
        await client.present(f"{first}.{second}."),
        await client.present(f"{first}.{second}"),
        await client.present(f"{make_token()}.{third}"),
        await client.present(f"{make_token()[:-20]}"),
    ]

    for answer in answers:
        assert_refused(answer)


ODD_TOKENS = {
    "dots": "..",
    "many dots": "." * 1000,
    "no base64": "a!b.c!d.e!f",
    "header is no JSON": forged(b"{", b"{}"),
    "header is a list": forged(b"[]", b"{}"),
    "header is a number": forged(b"1", b"{}"),
    "header is null": forged(b"null", b"{}"),
    "header is not UTF-8": forged(b'{"alg":"\xff"}', b"{}"),
    "header is UTF-16": forged('{"alg":"RS256"}'.encode("utf-16"), b"{}"),
    "header without alg": forged(b"{}", b"{}"),
    "alg is a list": forged(b'{"alg":["RS256"]}', b"{}"),
    "alg is an object": forged(b'{"alg":{"RS256":1}}', b"{}"),
    "alg is null": forged(b'{"alg":null}', b"{}"),
    "alg is a number": forged(b'{"alg":256}', b"{}"),
    "deep header": forged(b"[" * 3000, b"{}"),
    "deep header object": forged(b'{"alg":"RS256","a":' + b'{"a":' * 1200, b"{}"),
    "deep header that ends": forged(b'{"alg":"RS256","a":' + b"[" * 1500 + b"]" * 1500 + b"}", b""),
    "huge number in the header": forged(b'{"alg":"RS256","a":' + b"9" * 5000 + b"}", b"{}"),
    "NaN in the header": forged(b'{"alg":"RS256","a":NaN}', b"{}"),
    "kid is a number": forged(b'{"alg":"RS256","kid":1}', b"{}"),
    "b64 false": forged(b'{"alg":"RS256","b64":false,"crit":["b64"]}', b"{}"),
    "long": "a" * 5000,
    "comma": "a,b,c",
    "latin-1": "é.é.é",
}


@pytest.mark.decided_early
@pytest.mark.parametrize("name", ODD_TOKENS)
async def test_odd_token_is_401(client: Client, name: str) -> None:
    """What is no token is 401, never 500."""
    answer = await client.present(ODD_TOKENS[name])

    assert_refused(answer)


@pytest.mark.decided_early
@pytest.mark.parametrize("value", [b"\xff\xfe", b"\x80.\x80.\x80", b"a\tb", b"a.b.c\xc3", b"\x0b"])
async def test_bytes_that_are_no_text_are_refused(client: Client, value: bytes) -> None:
    """Control characters and broken UTF-8 in the header: 401 (or 400 where HTTP forbids them)."""
    request = (
        b"GET /upload/files HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Authorization: Bearer " + value + b"\r\n\r\n"
    )
    answer = await client.server.raw(request)

    assert answer.split()[1] in {b"400", b"401"}


@asynccontextmanager
async def listener() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that only notes who calls: its address and the list of calls."""
    calls: list[str] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(str(writer.get_extra_info("peername")))
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys", calls


def jwk(key: rsa.RSAPrivateKey) -> dict[str, object]:
    """The public half of a key as a JWK."""
    value: dict[str, object] = json.loads(
        jwt.get_algorithm_by_name("RS256").to_jwk(key.public_key())
    )
    return {**value, "kid": "evil"}


@pytest.mark.parametrize("is_ours", [False, True])
async def test_header_never_makes_the_server_fetch_or_trust(client: Client, is_ours: bool) -> None:
    """`kid`, `jku`, `jwk`, `x5u` in a token's header never make the server fetch or trust
    anything."""
    async with listener() as (url, calls):
        headers: list[dict[str, object]] = [
            {"kid": "evil"},
            {"kid": "../../../../dev/null"},
            {"kid": url},
            {"jku": url},
            {"jku": url, "kid": "evil"},
            {"x5u": url},
            {"jwk": jwk(FOREIGN_KEY), "kid": "evil"},
            {"x5c": [public_pem(FOREIGN_KEY)], "x5t": "evil"},
            {"jku": url, "x5u": url, "jwk": jwk(FOREIGN_KEY), "kid": "evil"},
        ]
        answers = [
            await client.present(
                sign(claims(), headers=header)
                if is_ours
                else sign(claims(), key=FOREIGN_KEY, headers=header)
            )
            for header in headers
        ]

    assert [answer.status for answer in answers] == [200 if is_ours else 401] * len(headers)
    assert calls == []


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "crit", [["exp"], ["unknown"], [], "exp", 1, {"a": 1}, [1], ["b64"], [None]]
)
async def test_unknown_crit_is_401(client: Client, crit: object) -> None:
    """Unknown `crit`: 401."""
    token = signed(json.dumps(claims()), {"crit": crit, "unknown": 1, "exp": 1})
    answer = await client.present(token)

    assert_refused(answer)


# --- claims -----------------------------------------------------------------------------------


@pytest.mark.decided_early
@pytest.mark.parametrize("name", ["exp", "iss", "aud", "user_id"])
async def test_required_claim(client: Client, name: str) -> None:
    """`exp`, `iss`, `aud` required, and a user."""
    answer = await client.present(sign(claims(**{name: None})))

    assert_refused(answer)


@pytest.mark.parametrize(("seconds", "status"), [(20, 200), (40, 401), (3600, 401), (10**9, 401)])
async def test_leeway_is_thirty_seconds(client: Client, seconds: int, status: int) -> None:
    """30 s leeway."""
    answer = await client.present(sign(claims(exp=int(time.time()) - seconds)))

    assert answer.status == status


@pytest.mark.parametrize(("seconds", "status"), [(20, 200), (60, 401)])
async def test_token_of_the_future_is_refused(client: Client, seconds: int, status: int) -> None:
    """A token is not valid before its `nbf` (RFC 7519 4.1.5), with the same leeway."""
    answer = await client.present(sign(claims(nbf=int(time.time()) + seconds)))

    assert answer.status == status


@pytest.mark.decided_early
@pytest.mark.parametrize("issuer", ["other", ISSUER.upper(), ISSUER + "x", ISSUER + "/", ""])
async def test_other_issuer_is_refused(client: Client, issuer: str) -> None:
    """`iss` is exactly the expected one."""
    answer = await client.present(sign(claims(iss=issuer)))

    assert_refused(answer)


@pytest.mark.decided_early
@pytest.mark.parametrize("audience", ["other", AUDIENCE.upper(), AUDIENCE + "x", "", [], ["other"]])
async def test_other_audience_is_refused(client: Client, audience: object) -> None:
    """`aud` holds exactly the expected one."""
    answer = await client.present(sign(claims(aud=audience)))

    assert_refused(answer)


@pytest.mark.decided_early
@pytest.mark.parametrize("audience", [[AUDIENCE], ["other", AUDIENCE], [AUDIENCE, AUDIENCE]])
async def test_audience_may_be_a_list(client: Client, audience: list[str]) -> None:
    """`aud` may be a list."""
    answer = await client.present(sign(claims(aud=audience)))

    assert answer.status == 200


ODD = ["null", "true", "false", "1.5", "[]", "{}", '[["a"]]', '{"a": {"b": 1}}', "NaN", "Infinity"]


@pytest.mark.parametrize("name", ["exp", "iss", "aud", "user_id", "nbf"])
async def test_odd_claim_is_401(client: Client, name: str) -> None:
    """Odd claim types: 401, never 500."""
    literals = [*ODD, '"x"', "1e400", "-1e400", "9" * 400, "9" * 5000]
    answers = {each: await client.present(with_claim(name, each)) for each in literals}

    for literal, answer in answers.items():
        right = {200, 401} if (name, literal) in MEANINGFUL else {401}
        assert answer.status in right, literal


MEANINGFUL = {
    ("user_id", '"x"'),
    ("exp", "9" * 400),
    *(("nbf", literal) for literal in ("1.5", "-1e400", "null", "false", "true")),
}
"""Odd and yet with a meaning that may be honoured."""


@pytest.mark.parametrize("name", ["iat", "jti", "sub", "nbf", "scope", "__proto__"])
async def test_odd_extra_claim_is_never_a_500(client: Client, name: str) -> None:
    """A claim nobody asked for is ignored or refused, never a 500."""
    literals = [*ODD, '"x"', "9" * 400]
    answers = {each: await client.present(with_claim(name, each)) for each in literals}

    for literal, answer in answers.items():
        assert answer.status in {200, 401}, literal


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "payload",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "1",
        "[" * 1500,
        '{"a":' * 1200 + "1" + "}" * 1200,
        "\ufeff{}",
        "{}",
        '{"exp": 1}',
        "9" * 5000,
        "\x00",
    ],
)
async def test_odd_payload_is_401(client: Client, payload: str) -> None:
    """A payload that is no JSON object of claims is 401, never 500."""
    answer = await client.present(signed(payload))

    assert_refused(answer)


async def test_deep_extra_claim_is_never_a_500(client: Client) -> None:
    """Nesting that exhausts a parser's recursion is 401."""
    answer = await client.present(with_claim("deep", "[" * 1500 + "]" * 1500))

    assert answer.status == 401


# --- the user id ------------------------------------------------------------------------------


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "user",
    [
        "..",
        ".",
        "",
        "a/b",
        "/",
        "/etc",
        "../43",
        "a/../43",
        ".hidden",
        ".uploads",
        "\x00",
        "a\nb",
        "a\x00",
        "\r\n",
        "\x7f",
        "\x1b[31m",
        "\x85",
        "a" * 300,
        "é" * 128,
        "..\\43",
        "\ud800",
    ],
)
async def test_user_id_that_is_no_path_segment_is_401(client: Client, user: str) -> None:
    """A user id that is no safe path segment: 401 with the reason."""
    answer = await client.present(with_claim("user_id", json.dumps(user)))

    assert_refused(answer)
    assert "user" in json.loads(answer.body)["message"].lower()


@pytest.mark.parametrize(
    ("literal", "segment"),
    [
        ('"7"', "7"),
        ("7", "7"),
        ("0", "0"),
        ("123456789012345678", "123456789012345678"),
        ('"auth0|5f7c8ec7c33c6c004bbafe82"', "auth0|5f7c8ec7c33c6c004bbafe82"),
        ('"user@example.com"', "user@example.com"),
        ('"日本語"', "日本語"),
        ('"b3b1f9e0-6c7f-4b8e-9a53-0d6f3f1a2b3c"', "b3b1f9e0-6c7f-4b8e-9a53-0d6f3f1a2b3c"),
        ('"%2e%2e"', "%2e%2e"),
        (f'"{"a" * 200}"', "a" * 200),
    ],
)
async def test_user_id_becomes_one_path_segment(client: Client, literal: str, segment: str) -> None:
    """str or int; becomes one path segment."""
    path = await client.place(with_claim("user_id", literal))

    assert path == client.server.location(segment, 1, "a")


async def test_sub_is_the_user_when_there_is_no_user_id(client: Client) -> None:
    """JWT_USER_ID_CLAIM: user_id, then sub."""
    only_sub = await client.place(sign(claims(user_id=None, sub="77")))
    both = await client.place(sign(claims(user_id="42", sub="77")))

    assert only_sub == client.server.location("77", 1, "a")
    assert both == client.server.location("42", 1, "a")


async def test_odd_user_id_does_not_fall_back_to_sub(client: Client) -> None:
    """A user_id that is none is refused rather than replaced by another claim."""
    rest = json.dumps(claims(user_id=None, sub="77")).removesuffix("}")
    answers = [
        await client.present(signed(f'{rest}, "user_id": {literal}}}'))
        for literal in ('"../43"', "true", "[]", '""', "{}", "1.5")
    ]

    for answer in answers:
        assert_refused(answer)


async def test_user_id_claim_can_be_chosen(
    http: aiohttp.ClientSession, make_server: MakeServer
) -> None:
    """JWT_USER_ID_CLAIM names the claim; the others are no users then."""
    client = Client(http=http, server=await make_server(JWT_USER_ID_CLAIM="https://x.example/uid"))
    place = await client.place(sign(claims(user_id="1", sub="2", **{"https://x.example/uid": 3})))
    answer = await client.present(sign(claims(user_id="1", sub="2")))

    assert place == client.server.location("3", 1, "a")
    assert_refused(answer)


# --- the log ----------------------------------------------------------------------------------


async def test_no_token_in_the_log(
    http: aiohttp.ClientSession, make_process: MakeProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    """LOG_LEVEL=debug logs no token either (also not from header lines that HTTP forbids)."""
    process = await make_process(LOG_LEVEL="debug")
    client = Client(http=http, server=process.address)
    tokens = [
        make_token(),
        sign(claims(exp=1)),
        sign(claims(), key=FOREIGN_KEY),
        symmetric(PUBLIC_PEM),
        sign(claims(user_id="../43")),
        with_claim("exp", '"x"'),
        unsigned("none"),
    ]
    upload_id = await client.upload()
    for token in tokens:
        for request in REQUESTS:
            await client.send(request, bearer(token), upload_id)
        await client.send(LISTING, {}, query=f"?access_token={token}")
        await client.send(LISTING, {"Cookie": f"token={token}"})
    for request_bytes in malformed(tokens[0].encode()):
        await process.address.raw(request_bytes, seconds=2)
    await process.end()
    captured = capfd.readouterr()

    log = captured.out + captured.err
    assert log
    assert [part for token in tokens for part in pieces(token) if part in log] == []


def pieces(token: str) -> list[str]:
    """What would give a token away: ends of its payload and of its signature."""
    parts = [part for part in token.split(".")[1:] if part]
    return [part[:40] for part in parts] + [part[-40:] for part in parts]


def malformed(token: bytes) -> list[bytes]:
    """Requests with a token in a place that a parser complains about."""
    first = b"GET /upload/files HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    lines = [
        b"Authorization : Bearer " + token,
        b"Authorization: Bearer " + token + b"\x00",
        b"Authorization: Bearer\r\n " + token,
        b": Bearer " + token,
        b"Bearer " + token,
        b"Authori\xffzation: Bearer " + token,
        b"X: \r" + token,
        b"Authorization: Bearer " + token + b"a" * 200_000,
        b"Content-Length: " + token,
        b"Transfer-Encoding: " + token,
        b"Expect: " + token,
    ]
    return [
        *(first + line + b"\r\n\r\n" for line in lines),
        token + b" /upload/files HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /upload/files " + token + b"\r\nHost: x\r\n\r\n",
        b"GET http://[" + token + b"/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        token,
    ]
