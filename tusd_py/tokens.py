"""Key pairs and tokens for trying things: what the main service does in production."""

import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def ensure_key_pair(folder: Path) -> tuple[str, str]:
    """The private and the public key in `folder` as PEM, made if they are not there.

    The private key is readable by its owner only.
    """
    private_path, public_path = folder / "private.pem", folder / "public.pem"
    if not private_path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private_path.touch(mode=0o600)
        private_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    private = private_path.read_text()
    public = _public_of(private)
    public_path.write_text(public)
    return private, public


def make_token(
    private_key: str, *, user: str | int, issuer: str, audience: str, seconds: int
) -> str:
    """A signed token of `user`, valid for some seconds.

    Raises `ValueError` when the key is no RSA private key in PEM.
    """
    now = int(time.time())
    claims = {
        "user_id": user,
        "iss": issuer,
        "aud": audience,
        "iat": now,
        "exp": now + seconds,
    }
    try:
        return jwt.encode(claims, private_key, algorithm="RS256")
    except (jwt.InvalidKeyError, AttributeError, TypeError, ValueError) as error:
        raise ValueError("the key is no RSA private key in PEM") from error


def _public_of(private: str) -> str:
    key = serialization.load_pem_private_key(private.encode(), password=None)
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
