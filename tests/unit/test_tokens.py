"""Key pairs and tokens for trying things."""

import stat
from pathlib import Path

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from tests.tokens import PUBLIC_PEM
from tusd_py.errors import Unauthorized
from tusd_py.setting_types import public_key
from tusd_py.tokens import ensure_key_pair, make_token
from tusd_py.web.auth import Authenticator


def owner(token: str, public: str) -> str:
    """Whose token that is for a server with this key."""
    authenticator = Authenticator(
        public_key=public, issuer="iss", audience="aud", user_id_claim=None
    )
    headers = CIMultiDict({"Authorization": f"Bearer {token}"})
    return authenticator.owner(CIMultiDictProxy(headers))


def token_of(private: str, user: str | int = "7", seconds: int = 60) -> str:
    """A token of the private key."""
    return make_token(private, user=user, issuer="iss", audience="aud", seconds=seconds)


def test_a_key_pair_is_made(tmp_path: Path) -> None:
    """The pair is good for the server, and the private key is its owner's only."""
    folder = tmp_path / "new" / "folder"
    private, public = ensure_key_pair(folder)

    assert public_key(public) == public.strip()
    assert (folder / "public.pem").read_text() == public
    assert (folder / "private.pem").read_text() == private
    assert stat.S_IMODE((folder / "private.pem").stat().st_mode) == 0o600


def test_a_key_pair_is_kept(tmp_path: Path) -> None:
    """Tokens of yesterday still work, also when only the private key was kept."""
    pair = ensure_key_pair(tmp_path)
    (tmp_path / "public.pem").unlink()

    assert ensure_key_pair(tmp_path) == pair


@pytest.mark.parametrize("user", ["7", 7, "ü"])
def test_a_token_opens_the_uploads_of_its_user(user: str | int, tmp_path: Path) -> None:
    """A token is believed by the server that has the public key."""
    private, public = ensure_key_pair(tmp_path)

    assert owner(token_of(private, user), public) == str(user)


def test_a_token_expires(tmp_path: Path) -> None:
    """It is valid for as long as it was made for."""
    private, public = ensure_key_pair(tmp_path)

    with pytest.raises(Unauthorized, match="expired"):
        owner(token_of(private, seconds=-60), public)


@pytest.mark.parametrize("key", ["", "secret", PUBLIC_PEM], ids=["empty", "text", "public"])
def test_a_key_that_is_none(key: str) -> None:
    """Something that is no private key is told, without showing it."""
    with pytest.raises(ValueError, match="private key in PEM"):
        token_of(key)
