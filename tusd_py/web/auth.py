"""Who asks: the JWT of the main service -> the owner of uploads."""

import re
from collections.abc import Mapping
from typing import Protocol

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from multidict import CIMultiDictProxy

from tusd_py.errors import Unauthorized
from tusd_py.names import is_segment
from tusd_py.web.known_tokens import KnownTokens

LEEWAY = 30
"""Seconds by which the clocks of the main service and of this server may differ."""

_BEARER = re.compile(r"bearer +([A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+) *", re.I)
_BROKEN = (
    jwt.PyJWTError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RecursionError,
)
"""What a token that is no token can raise in the parsers behind PyJWT."""


class Authentication(Protocol):
    """Knows who asks."""

    async def owner_of(self, request: web.Request) -> str:
        """The user id as a path segment. Raises `Unauthorized` with the reason."""


class Authenticator:
    """Verifies RS256 tokens with one public key. Nothing in a token's header is ever followed."""

    def __init__(
        self,
        *,
        public_key: str,
        issuer: str,
        audience: str,
        user_id_claim: str | None,
        known: KnownTokens | None = None,
    ) -> None:
        key = load_pem_public_key(public_key.encode())
        assert isinstance(key, RSAPublicKey)
        self._key = key
        self._issuer = issuer
        self._audience = audience
        self._claims = (user_id_claim,) if user_id_claim else ("user_id", "sub")
        self._known = KnownTokens() if known is None else known

    async def owner_of(self, request: web.Request) -> str:
        """See `Authentication.owner_of`."""
        return self.owner(request.headers)

    def owner(self, headers: CIMultiDictProxy[str]) -> str:
        """The user id of the token in `Authorization`, as a path segment.

        Raises `Unauthorized` with the reason.
        """
        lines = headers.getall("Authorization", [])
        if len(lines) != 1:
            raise Unauthorized("Send one header: Authorization: Bearer <token>.")
        owner = self._known.owner(lines[0])
        if owner is None:
            match = _BEARER.fullmatch(lines[0])
            if match is None:
                raise Unauthorized("Send the token as: Authorization: Bearer <token>.")
            claims = self._verified(match[1])
            owner = self._user_id(claims)
            self._known.note(lines[0], owner, until=_expiry(claims) + LEEWAY)
        return owner

    def _verified(self, token: str) -> Mapping[str, object]:
        try:
            if "crit" in jwt.get_unverified_header(token):
                raise Unauthorized("The token has a critical header this server does not know.")
            claims: Mapping[str, object] = jwt.decode(
                token,
                self._key,
                algorithms=["RS256"],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud"], "verify_sub": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized("The token expired; get a new one.") from error
        except jwt.InvalidIssuerError as error:
            raise Unauthorized("The token is of another issuer.") from error
        except jwt.InvalidAudienceError as error:
            raise Unauthorized("The token is for another audience.") from error
        except jwt.MissingRequiredClaimError as error:
            raise Unauthorized(f"The token lacks the claim {error.claim}.") from error
        except _BROKEN as error:
            raise Unauthorized("The token is not valid; get a new one.") from error
        return claims

    def _user_id(self, claims: Mapping[str, object]) -> str:
        for claim in self._claims:
            if claim in claims:
                break
        else:
            raise Unauthorized(f"The token lacks the claim {' or '.join(self._claims)}.")
        value = claims[claim]
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise Unauthorized(f"The claim {claim} must be a string or an integer.")
        if isinstance(value, int) and value.bit_length() > 256:
            raise Unauthorized(f"The claim {claim} is too large.")
        user_id = str(value)
        if not is_segment(user_id):
            raise Unauthorized(f"The claim {claim} cannot be the name of a folder.")
        return user_id


def _expiry(claims: Mapping[str, object]) -> int:
    """`exp` of verified claims, in seconds since 1970."""
    value = claims["exp"]
    assert isinstance(value, int | float | str)  # nothing else passes `jwt.decode`
    return int(value)
