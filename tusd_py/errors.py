"""The exception tree: everything the server can refuse, in words for the client.

UploadError
├── BadRequest                 the request cannot be understood
│   └── UnsupportedMediaType   its body is of a kind this address does not take
├── Unauthorized               no valid token
├── Forbidden                  the upload never takes such a request
├── Rejected                   a hook says no; carries what it wants the client to be told
├── UploadNotFound             unknown, or another user's: the two look the same
├── UploadGone                 it was here; expired, terminated or replaced
├── Conflict                   the request does not fit what is stored
│   ├── OffsetMismatch         carries the offset that would fit
│   ├── MissingChunks          carries which chunks are missing
│   ├── ChunkConflict          other bytes are already part of the file at that index
│   ├── ChunkCountMismatch     more chunks were sent than are said to exist
│   ├── IdMismatch             the file id is not the one of the upload
│   └── UploadUnfinished       only a finished upload can do this
├── TooLarge                   beyond the length of the upload or a limit of the server
│   ├── UploadTooLarge         one upload is larger than MAX_UPLOAD_SIZE
│   ├── TooManyChunks          one upload has more REST chunks than MAX_CHUNKS
│   └── QuotaExceeded          all uploads of the user are larger than USER_QUOTA
├── MetadataTooLarge           Upload-Metadata is longer than MAX_METADATA_SIZE
├── TooManyRequests            not now; carries in how many seconds to ask again
│   ├── TooManyAtOnce          the user has MAX_REQUESTS_PER_USER requests at work already
│   ├── TooManyUploads         the user has more open uploads than MAX_OPEN_UPLOADS_PER_USER
│   └── RateLimited            the user asks more often than RATE_LIMIT
├── ChecksumMismatch           the bytes are not those the client meant to send
│   └── DigestMismatch         all bytes came, but the file is not the one that was claimed
├── BodyError                  the body ended before its end; what came before it counts
│   ├── BodyInterrupted        the client went away
│   ├── BodyMalformed          its framing broke
│   ├── BodyStalled            the client fell silent
│   │   └── BodyTooSlow        it sent fewer bytes than MIN_TRANSFER_RATE
│   ├── BodyStopped            the server stopped reading: hand-over or shutdown
│   └── UploadStopped          a hook ended the upload; carries what the client is told
└── Trouble                    not the client's fault: the same request may work later
    ├── UploadLocked           another request does not let go of the upload
    ├── HookFailed             a hook that has to be asked first gives no answer
    ├── StorageError           the storage does not do its work
    └── NoSpace                the storage is full
        └── DiskTooFull        it is not, but MIN_FREE_DISK stays free for what has begun
"""

import errno

from tusd_py.verdict import Reply

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class UploadError(Exception):
    """A refusal. `str(error)` is one line that tells the client what to do."""

    code = "error"

    limit: str | None = None
    """The setting that was in the way, by its name in lower case."""


class BadRequest(UploadError):
    """The request cannot be understood; nothing was changed."""

    code = "bad_request"


class UnsupportedMediaType(BadRequest):
    """The body is of a kind this address does not take; nothing was changed."""

    code = "unsupported_media_type"


class Unauthorized(UploadError):
    """No valid token came with the request; nothing was read or changed."""

    code = "unauthorized"


class Forbidden(UploadError):
    """The upload never takes such a request; nothing was changed."""

    code = "forbidden"


class Rejected(UploadError):
    """A hook says no; nothing was changed. `reply` is what the client is told, 400 by default."""

    code = "rejected"

    def __init__(
        self, message: str = "The main service does not accept this.", *, reply: Reply | None = None
    ) -> None:
        super().__init__(message)
        self.reply = reply or Reply()


class UploadNotFound(UploadError):
    """No such upload for this user."""

    code = "not_found"

    def __init__(self) -> None:
        super().__init__("There is no such upload; create a new one.")


class UploadGone(UploadError):
    """The upload was here and will not come back."""

    code = "expired"


class Conflict(UploadError):
    """The request does not fit what is stored; nothing was changed."""

    code = "conflict"


class OffsetMismatch(Conflict):
    """The client is at another offset than the server."""

    code = "offset_mismatch"

    def __init__(self, expected: int) -> None:
        super().__init__(f"The upload is at offset {expected}; continue from there.")
        self.expected = expected


class MissingChunks(Conflict):
    """Chunks are missing. `missing` names the first of them, `count` says how many there are."""

    code = "missing_chunks"

    def __init__(self, missing: list[int], count: int) -> None:
        super().__init__(f"{count} chunk(s) are missing; send them and complete again.")
        self.missing = missing
        self.count = count


class ChunkConflict(Conflict):
    """Other bytes are already part of the file at that index; they stay."""

    code = "chunk_conflict"


class ChunkCountMismatch(Conflict):
    """More chunks were sent than the client says there are."""

    code = "chunk_count_mismatch"


class IdMismatch(Conflict):
    """The file id is not the one the upload was created with."""

    code = "id_mismatch"


class UploadUnfinished(Conflict):
    """Only a finished upload can do this."""

    code = "unfinished"


class TooLarge(UploadError):
    """Beyond the length of the upload or a limit of the server; what came before it counts."""

    code = "too_large"


class UploadTooLarge(TooLarge):
    """One upload would be larger than MAX_UPLOAD_SIZE."""

    limit = "max_upload_size"


class TooManyChunks(TooLarge):
    """One upload would have more REST chunks than MAX_CHUNKS."""

    limit = "max_chunks"


class QuotaExceeded(TooLarge):
    """The finished and the open uploads of the user would be larger than USER_QUOTA."""

    code = "quota_exceeded"
    limit = "user_quota"

    def __init__(self, quota: int) -> None:
        super().__init__(f"Your files may have {quota} bytes in all; delete some of them first.")


class MetadataTooLarge(UploadError):
    """Upload-Metadata is longer than MAX_METADATA_SIZE; nothing was created."""

    code = "metadata_too_large"
    limit = "max_metadata_size"

    def __init__(self, most: int) -> None:
        super().__init__(f"Upload-Metadata: send at most {most} bytes.")


class TooManyRequests(UploadError):
    """Not now: the same request may work in `retry_after` seconds. Nothing was changed."""

    code = "too_many_requests"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyAtOnce(TooManyRequests):
    """The user has as many requests at work at once as MAX_REQUESTS_PER_USER allows."""

    limit = "max_requests_per_user"

    def __init__(self, most: int) -> None:
        message = f"You have {most} requests at work at once; wait until one of them has ended."
        super().__init__(message, retry_after=1)


class TooManyUploads(TooManyRequests):
    """The user has as many open uploads as MAX_OPEN_UPLOADS_PER_USER allows."""

    code = "too_many_uploads"
    limit = "max_open_uploads_per_user"

    def __init__(self, most: int) -> None:
        message = f"You have {most} unfinished uploads; finish or delete one, then create another."
        super().__init__(message, retry_after=60)


class RateLimited(TooManyRequests):
    """The user asks more often than RATE_LIMIT allows."""

    code = "rate_limited"
    limit = "rate_limit"

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"You ask too often; wait {retry_after} s.", retry_after)


class ChecksumMismatch(UploadError):
    """The bytes are not those the client meant to send; they were discarded."""

    code = "checksum_mismatch"


class DigestMismatch(ChecksumMismatch):
    """The whole file has another SHA-256 than the client claimed. It stays unfinished for ever:
    nothing will change its bytes."""

    code = "digest_mismatch"

    def __init__(self) -> None:
        super().__init__(
            "Checksum Mismatch: the file does not have the sha256 that was claimed;"
            " delete the upload and send the file again."
        )


class BodyError(UploadError):
    """The body ended before its end."""

    code = "body_interrupted"


class BodyInterrupted(BodyError):
    """The client went away in the middle of a body."""

    def __init__(self) -> None:
        super().__init__("The connection broke before the body was complete; send it again.")


class BodyMalformed(BodyError):
    """The framing of a body in chunked transfer coding broke."""

    code = "bad_request"

    def __init__(self) -> None:
        super().__init__("The chunked coding of the body is broken; ask for the offset and go on.")


class BodyStalled(BodyError):
    """The client sent nothing for BODY_TIMEOUT."""

    limit = "body_timeout"

    def __init__(
        self, why: str = "The body fell silent; ask for the offset and continue from there."
    ) -> None:
        super().__init__(why)


class BodyTooSlow(BodyStalled):
    """The client sent fewer bytes a second than MIN_TRANSFER_RATE for too long."""

    limit = "min_transfer_rate"

    def __init__(self) -> None:
        super().__init__("The body came too slowly; ask for the offset and continue from there.")


class BodyStopped(BodyError):
    """The server stopped reading, for a newer request or because it shuts down."""

    code = "locked"

    def __init__(self) -> None:
        super().__init__("The server let go of this request; ask for the offset and continue.")


class UploadStopped(BodyError):
    """A hook ended the upload while its bytes came: it is gone. `reply` is what the client is
    told, 400 by default."""

    code = "stopped"

    def __init__(
        self, message: str = "The main service stopped this upload.", *, reply: Reply | None = None
    ) -> None:
        super().__init__(message)
        self.reply = reply or Reply()


class Trouble(UploadError):
    """Not the client's fault: the same request may work later. Acknowledged bytes stay."""

    code = "unavailable"


class UploadLocked(Trouble):
    """Another request is at work on the upload and does not let go of it."""

    code = "locked"

    def __init__(self) -> None:
        super().__init__("Another request is at work on this upload; try again in a second.")


class HookFailed(Trouble):
    """A hook that has to be asked first gave no answer, or none that can be understood; nothing was
    changed."""

    code = "hook_failed"

    def __init__(self) -> None:
        super().__init__("The main service could not be asked; try again later.")


class StorageError(Trouble):
    """The storage does not do its work; acknowledged bytes stay."""


class NoSpace(Trouble):
    """The storage is full; acknowledged bytes stay."""

    code = "no_space"

    def __init__(self) -> None:
        super().__init__("The server has no space left; try again later.")


class DiskTooFull(NoSpace):
    """A new upload would leave less free space than MIN_FREE_DISK; it was not created."""

    limit = "min_free_disk"


def from_os(error: OSError) -> StorageError | NoSpace:
    """An error of the operating system in our words."""
    if error.errno in _NO_SPACE:
        return NoSpace()
    return StorageError(f"The storage cannot do this now ({error.strerror}); try again later.")
