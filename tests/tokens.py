"""The main service's part of the tests: a key pair and the tokens it signs."""

import time
from functools import cache

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "main-service"
AUDIENCE = "upload-service"


def new_key() -> rsa.RSAPrivateKey:
    """A fresh RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_pem(key: rsa.RSAPrivateKey) -> str:
    """The PEM of a key's public half."""
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


PRIVATE_KEY = new_key()
PUBLIC_PEM = public_pem(PRIVATE_KEY)


@cache
def make_token(user: str | int = "42") -> str:
    """A valid token of `user`."""
    return sign(claims(user_id=user))


def claims(**changes: object) -> dict[str, object]:
    """The claims of a valid token, changed; a claim set to None is left out."""
    now = int(time.time())
    full: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 3600,
        "user_id": "42",
        **changes,
    }
    return {name: value for name, value in full.items() if value is not None}


def sign(
    payload: dict[str, object],
    *,
    key: rsa.RSAPrivateKey | str = PRIVATE_KEY,
    algorithm: str = "RS256",
    headers: dict[str, object] | None = None,
) -> str:
    """Sign claims as they are."""
    return jwt.encode(payload, key, algorithm=algorithm, headers=headers)
