"""Tokens: the owner that was signed, or a refusal, whatever comes instead."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from tests.properties.texts import fields, names, segments
from tests.tokens import AUDIENCE, ISSUER, PRIVATE_KEY, PUBLIC_PEM, claims, make_token, sign
from tusd_py.errors import Unauthorized
from tusd_py.names import is_segment
from tusd_py.web.auth import Authenticator

AUTHENTICATOR = Authenticator(
    public_key=PUBLIC_PEM, issuer=ISSUER, audience=AUDIENCE, user_id_claim=None
)
RS256 = jwt.get_algorithm_by_name("RS256")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | names | segments,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
parts = st.binary(max_size=40).map(lambda data: urlsafe_b64encode(data).rstrip(b"=").decode())


def owner(*lines: str) -> str:
    """The owner in some Authorization lines."""
    pairs = [("Authorization", line) for line in lines]
    return AUTHENTICATOR.owner(CIMultiDictProxy(CIMultiDict(pairs)))


def signed(header: object, payload: object) -> str:
    """A rightly signed token around any two JSON values."""
    texts = [json.dumps(part).encode() for part in (header, payload)]
    first = ".".join(urlsafe_b64encode(text).rstrip(b"=").decode() for text in texts)
    signature = urlsafe_b64encode(RS256.sign(first.encode(), PRIVATE_KEY)).rstrip(b"=").decode()
    return f"{first}.{signature}"


marked = st.builds("{}s3cr3t{}".format, fields, fields)


@given(st.lists(marked | st.builds("Bearer {}".format, marked), max_size=2))
def test_anything_else_is_refused(lines: list[str]) -> None:
    """Whatever stands in the header, without a signature nobody gets in; no reason quotes it."""
    with pytest.raises(Unauthorized) as refusal:
        owner(*lines)

    assert "s3cr3t" not in str(refusal.value)


@given(st.lists(parts, max_size=5).map(".".join))
def test_any_parts_are_refused(token: str) -> None:
    """Base64 with any number of dots is no token."""
    with pytest.raises(Unauthorized):
        owner(f"Bearer {token}")


@given(st.integers(0, 2), st.integers(0), st.integers(1, 255))
def test_every_changed_byte_is_noticed(part: int, at: int, by: int) -> None:
    """A token in which one byte is another one is not valid any more."""
    pieces = [urlsafe_b64decode(each + "==") for each in make_token().split(".")]
    changed = bytearray(pieces[part])
    changed[at % len(changed)] ^= by
    pieces[part] = bytes(changed)
    token = ".".join(urlsafe_b64encode(each).rstrip(b"=").decode() for each in pieces)
    with pytest.raises(Unauthorized):
        owner(f"Bearer {token}")


@given(
    st.dictionaries(
        st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "user_id", "jti"]),
        values,
        min_size=1,
    )
)
def test_any_signed_claims(changes: dict[str, object]) -> None:
    """Claims of any type, though rightly signed, give a harmless owner or a refusal."""
    token = signed({"alg": "RS256", "typ": "JWT"}, {**claims(), **changes})
    try:
        found = owner(f"Bearer {token}")
    except Unauthorized:
        return

    assert is_segment(found)
    assert found == str(changes.get("user_id", "42"))


@given(
    st.dictionaries(
        st.sampled_from(["alg", "typ", "kid", "jku", "x5u", "x5c", "jwk", "crit", "b64", "zip"]),
        values | st.sampled_from(["RS256", "none", "HS256"]),
    )
    | values
)
def test_any_header_around_good_claims(header: object) -> None:
    """A token's header changes nobody's name, though rightly signed."""
    try:
        found = owner(f"Bearer {signed(header, claims())}")
    except Unauthorized:
        return

    assert found == "42"
    assert isinstance(header, dict)
    assert header["alg"] == "RS256"


@given(names)
def test_every_name_is_a_folder_or_refused(name: str) -> None:
    """A user id that was rightly signed is one path segment, or nobody's."""
    try:
        found = owner(f"Bearer {sign(claims(user_id=name))}")
    except Unauthorized:
        assert not is_segment(name)
        return

    assert found == name
    assert is_segment(found)


@given(segments)
def test_every_harmless_name_gets_in(name: str) -> None:
    """A user id that can be a folder is the owner, to the letter."""
    assert owner(f"Bearer {sign(claims(user_id=name))}") == name
