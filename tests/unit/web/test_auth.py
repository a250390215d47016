"""Authenticator: which tokens are believed, and whose uploads they open."""

import base64
import json
import time
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from multidict import CIMultiDict, CIMultiDictProxy

from tests.tokens import AUDIENCE, ISSUER, PRIVATE_KEY, PUBLIC_PEM, claims, new_key, sign
from tusd_py.errors import Unauthorized
from tusd_py.web.auth import LEEWAY, Authenticator
from tusd_py.web.known_tokens import KnownTokens

RS256 = {"alg": "RS256", "typ": "JWT"}
AUTHENTICATOR = Authenticator(
    public_key=PUBLIC_PEM, issuer=ISSUER, audience=AUDIENCE, user_id_claim=None
)


def owner(token: str, *, claim: str | None = None) -> str:
    """Whose token that is."""
    authenticator = Authenticator(
        public_key=PUBLIC_PEM, issuer=ISSUER, audience=AUDIENCE, user_id_claim=claim
    )
    return authenticator.owner(headers(f"Bearer {token}"))


def headers(*lines: str) -> CIMultiDictProxy[str]:
    """A request with these Authorization lines."""
    return CIMultiDictProxy(CIMultiDict([("Authorization", line) for line in lines]))


def encoded(part: object) -> str:
    """A part of a token."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(head: object, payload: object) -> str:
    """A token that no library would write, rightly signed."""
    text = f"{encoded(head)}.{encoded(payload)}"
    signature = PRIVATE_KEY.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{text}.{encoded(signature)}"


# --- the header line


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_the_scheme_is_bearer_in_any_case(scheme: str) -> None:
    """`Bearer` in any case, and as many spaces as there are."""
    assert AUTHENTICATOR.owner(headers(scheme + sign(claims()))) == "42"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Bearer a.b",
        "Bearer a.b.c.d",
        "Bearer a.b.c x",
        "Bearer a.b.c\x00",
        "Bearer ü.b.c",
        "Token a.b.c",
        "xBearer a.b.c",
    ],
)
def test_another_header_is_refused(line: str) -> None:
    """A header that is no token is refused with what to send."""
    with pytest.raises(Unauthorized, match="Authorization: Bearer <token>"):
        AUTHENTICATOR.owner(headers(line))


@pytest.mark.parametrize("count", [0, 2])
def test_the_header_comes_once(count: int) -> None:
    """No header, or two, is refused: nobody guesses which one counts."""
    with pytest.raises(Unauthorized, match="one header"):
        AUTHENTICATOR.owner(headers(*[f"Bearer {sign(claims())}"] * count))


# --- the signature


def test_another_key_is_refused() -> None:
    """A token that somebody else signed is not valid."""
    with pytest.raises(Unauthorized, match="not valid"):
        owner(sign(claims(), key=new_key()))


@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
def test_the_public_key_is_no_secret(algorithm: str) -> None:
    """A token signed symmetrically with the public key is not valid."""
    secret = PUBLIC_PEM.replace("PUBLIC KEY", "SECRET")
    with pytest.raises(Unauthorized):
        owner(sign(claims(), key=secret, algorithm=algorithm))


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_only_rs256_is_accepted(algorithm: str) -> None:
    """Other algorithms of the same key are not accepted."""
    with pytest.raises(Unauthorized):
        owner(sign(claims(), algorithm=algorithm))


def test_an_unsigned_token_is_refused() -> None:
    """`alg: none` is never accepted."""
    token = f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(claims())}."

    for each in (token, token + "x", signed({"alg": "none"}, claims())):
        with pytest.raises(Unauthorized):
            owner(each)


def test_a_token_by_hand_is_as_good_as_any() -> None:
    """The tokens that these tests write are refused for what is odd in them only."""
    assert owner(signed(RS256, claims())) == "42"


def test_changed_claims_are_refused() -> None:
    """Claims that were not signed are not valid."""
    head, _, signature = sign(claims()).split(".")

    with pytest.raises(Unauthorized):
        owner(f"{head}.{encoded(claims(user_id='1'))}.{signature}")


@pytest.mark.parametrize(
    "extra",
    [
        {"kid": "../../etc/passwd"},
        {"jku": "http://127.0.0.1:1/keys"},
        {"x5u": "http://127.0.0.1:1/cert"},
        {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}},
    ],
    ids=lambda extra: next(iter(extra)),
)
def test_nothing_in_a_header_is_followed(extra: dict[str, object]) -> None:
    """`kid`, `jku`, `x5u` and `jwk` neither help a forged token nor harm a true one."""
    assert owner(sign(claims(), headers=extra)) == "42"
    with pytest.raises(Unauthorized):
        owner(sign(claims(), key=new_key(), headers=extra))


def test_an_unknown_critical_header_is_refused() -> None:
    """`crit` says that who does not understand must not accept (RFC 7515, 4.1.11)."""
    with pytest.raises(Unauthorized):
        owner(sign(claims(), headers={"crit": ["exp"]}))


@pytest.mark.parametrize(
    "head",
    [
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"[" * 50_000,
        {"alg": 7},
        {"alg": ["RS256"]},
        {"alg": "RS256", "kid": 7},
        {"alg": "RS256", "crit": "exp"},
        {},
    ],
    ids=lambda head: str(head)[:30],
)
def test_a_broken_header_is_refused(head: object) -> None:
    """Whatever a token's header is, the answer is `Unauthorized`, although rightly signed."""
    with pytest.raises(Unauthorized):
        owner(signed(head, claims()))


# --- the claims


@pytest.mark.parametrize("claim", ["exp", "iss", "aud"])
def test_required_claims_are_required(claim: str) -> None:
    """`exp`, `iss` and `aud` must be there; the one that is missing is named."""
    with pytest.raises(Unauthorized, match=claim):
        owner(sign(claims(**{claim: None})))


def test_leeway() -> None:
    """Clocks may differ by 30 s, not by more."""
    now = int(time.time())

    assert owner(sign(claims(exp=now - LEEWAY + 5))) == "42"
    assert owner(sign(claims(nbf=now + LEEWAY - 5))) == "42"
    with pytest.raises(Unauthorized, match="expired"):
        owner(sign(claims(exp=now - LEEWAY - 5)))
    with pytest.raises(Unauthorized):
        owner(sign(claims(nbf=now + LEEWAY + 60)))


@pytest.mark.parametrize("issuer", ["other", "", ISSUER + "/", ISSUER.upper()])
def test_another_issuer_is_refused(issuer: str) -> None:
    """`iss` is compared whole."""
    with pytest.raises(Unauthorized, match="issuer"):
        owner(sign(claims(iss=issuer)))


@pytest.mark.parametrize("audience", ["other", [], ["other"], [AUDIENCE + "x"]])
def test_another_audience_is_refused(audience: object) -> None:
    """`aud` must be or contain the one this server expects."""
    with pytest.raises(Unauthorized, match="aud"):
        owner(sign(claims(aud=audience)))


def test_the_audience_may_be_a_list() -> None:
    """`aud` may be a list."""
    assert owner(sign(claims(aud=["other", AUDIENCE]))) == "42"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": "soon"},
        {"exp": []},
        {"exp": 1e400},
        {"exp": -1},
        {"exp": True},
        {"aud": 7},
        {"aud": {"a": 1}},
        {"aud": [[AUDIENCE]]},
        {"iss": ["main-service"]},
        {"iat": "x"},
        {"nbf": {}},
        {"jti": 7, "exp": 0},
    ],
    ids=str,
)
def test_odd_claims_are_refused(changes: dict[str, object]) -> None:
    """Odd claim types are `Unauthorized`, never a failure of the server."""
    with pytest.raises(Unauthorized):
        owner(signed(RS256, claims(**changes)))


@pytest.mark.parametrize("payload", [b"null", b"[]", b"7", b"{", b"[" * 50_000, b"\xff"], ids=repr)
def test_claims_that_are_none_are_refused(payload: bytes) -> None:
    """A payload that is no JSON object is `Unauthorized`, although rightly signed."""
    with pytest.raises(Unauthorized):
        owner(signed(RS256, payload))


# --- the user id


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"user_id": "42"}, "42"),
        ({"user_id": 42}, "42"),
        ({"user_id": 0}, "0"),
        ({"user_id": "a@b.c"}, "a@b.c"),
        ({"user_id": "ü"}, "ü"),
        ({"user_id": None, "sub": "7"}, "7"),
        ({"user_id": None, "sub": 7}, "7"),
        ({"user_id": "42", "sub": "7"}, "42"),
    ],
    ids=str,
)
def test_the_user_id(changes: dict[str, object], expected: str) -> None:
    """user_id, then sub; a string or an integer."""
    assert owner(sign(claims(**changes))) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "../../etc",
        "a\\b",
        "a\nb",
        "a\x00b",
        "\ud800",
        "x" * 256,
        True,
        False,
        1.5,
        [],
        ["42"],
        {},
        10**400,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_user_id_that_is_no_folder_is_refused(value: object) -> None:
    """A user id that is no safe path segment is refused with the reason."""
    with pytest.raises(Unauthorized, match="user_id"):
        owner(sign(claims(user_id=value)))


def test_a_token_without_a_user_is_refused() -> None:
    """Some claim must tell the user."""
    with pytest.raises(Unauthorized, match="user_id or sub"):
        owner(sign(claims(user_id=None)))


def test_the_claim_can_be_chosen() -> None:
    """JWT_USER_ID_CLAIM names the only claim that counts."""
    assert owner(sign(claims(uid="9")), claim="uid") == "9"
    with pytest.raises(Unauthorized, match="uid"):
        owner(sign(claims()), claim="uid")


def test_no_reason_repeats_the_token() -> None:
    """What a client sent is in no message."""
    token = sign(claims(user_id="../secret"))
    with pytest.raises(Unauthorized) as caught:
        owner(token)

    assert "secret" not in str(caught.value)
    assert token not in str(caught.value)


def test_tokens_of_other_key_types_are_refused() -> None:
    """A signature with an elliptic curve is not verified with an RSA key."""
    key = ec.generate_private_key(ec.SECP256R1())

    with pytest.raises(Unauthorized):
        owner(jwt.encode(claims(), key, algorithm="ES256"))


# --- tokens that come again


def knowing(clock: Callable[[], float] = time.time) -> tuple[Authenticator, KnownTokens]:
    """An authenticator, and what it knows."""
    known = KnownTokens(clock=clock)
    authenticator = Authenticator(
        public_key=PUBLIC_PEM, issuer=ISSUER, audience=AUDIENCE, user_id_claim=None, known=known
    )
    return authenticator, known


def test_a_token_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before is not verified again; another token is."""
    authenticator, _ = knowing()
    token, other = sign(claims(user_id="42")), sign(claims(user_id="43"))
    verified = [authenticator.owner(headers(f"Bearer {token}"))]

    def refuse(*_args: object, **_options: object) -> None:
        raise jwt.InvalidSignatureError

    monkeypatch.setattr(jwt, "decode", refuse)
    verified.append(authenticator.owner(headers(f"Bearer {token}")))

    assert verified == ["42", "42"]
    with pytest.raises(Unauthorized):
        authenticator.owner(headers(f"Bearer {other}"))


def test_a_token_is_known_until_it_expires() -> None:
    """`exp` and the leeway hold for every request, not only for the first one."""
    now = int(time.time())
    moments = [float(now)]
    authenticator, known = knowing(lambda: moments[-1])
    line = f"Bearer {sign(claims(exp=now + 60))}"
    authenticator.owner(headers(line))
    owners = []
    for later in (0, 59.9 + LEEWAY, 60.0 + LEEWAY):
        moments.append(now + later)
        owners.append(known.owner(line))

    assert owners == ["42", "42", None]


@pytest.mark.parametrize(
    "token",
    [
        sign(claims(exp=int(time.time()) - LEEWAY - 1)),
        sign(claims(aud="another")),
        sign(claims(user_id="../42")),
        sign(claims(), key=new_key()),
    ],
    ids=["expired", "another audience", "no folder", "another key"],
)
def test_a_refused_token_is_not_known(token: str) -> None:
    """It is refused each time, and takes no room."""
    authenticator, known = knowing()
    for _ in range(2):
        with pytest.raises(Unauthorized):
            authenticator.owner(headers(f"Bearer {token}"))

    assert len(known) == 0
