"""Checksums and the digest that verifies itself."""

import pytest

from tusd_py.checksum import ALGORITHMS, Checksum, Digest
from tusd_py.errors import BadRequest, ChecksumMismatch

OF_HELLO_WORLD = {
    "sha1": "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed",
    "sha256": "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
    "sha512": (
        "309ecc489c12d6eb4cc40f50c902f2b4d0ed77ee511a7c7a9bcd3ca86d4cd86f"
        "989dd35bc5ff499670da34255b45b0cfd830e81f605dcf7dc5542e93ae9cd76f"
    ),
    "md5": "5eb63bbbe01eeed093cb22bb8f5acdc3",
    "crc32": "0d4a1185",
}


def test_every_algorithm_is_offered() -> None:
    """sha1, sha256, sha512, md5 and crc32 are offered."""
    assert set(ALGORITHMS) == set(OF_HELLO_WORLD)


@pytest.mark.parametrize("algorithm", OF_HELLO_WORLD)
def test_the_right_bytes_verify(algorithm: str) -> None:
    """A digest of the claimed bytes verifies, in whatever blocks they come."""
    digest = Digest(Checksum(algorithm=algorithm, digest=bytes.fromhex(OF_HELLO_WORLD[algorithm])))
    digest.update(b"hello ")
    digest.update(b"")
    digest.update(b"world")

    digest.verify()


@pytest.mark.parametrize("algorithm", OF_HELLO_WORLD)
def test_other_bytes_do_not_verify(algorithm: str) -> None:
    """Other bytes than the claimed ones are a `ChecksumMismatch`."""
    digest = Digest(Checksum(algorithm=algorithm, digest=bytes.fromhex(OF_HELLO_WORLD[algorithm])))
    digest.update(b"hello worle")

    with pytest.raises(ChecksumMismatch):
        digest.verify()


@pytest.mark.parametrize("algorithm", ["foo", "SHA1", "", "sha-1"])
def test_an_unknown_algorithm_is_refused(algorithm: str) -> None:
    """An unknown algorithm is refused, and the known ones are named."""
    with pytest.raises(BadRequest, match="sha1, sha256, sha512, md5, crc32"):
        Checksum(algorithm=algorithm, digest=bytes(20))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_digest_of_the_wrong_size_is_refused(algorithm: str) -> None:
    """A digest that is too short or too long is refused before any byte is read."""
    size = len(OF_HELLO_WORLD[algorithm]) // 2
    for wrong in (size - 1, size + 1):
        with pytest.raises(BadRequest, match=f"{size} bytes"):
            Checksum(algorithm=algorithm, digest=bytes(wrong))
