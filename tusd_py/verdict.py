"""What hooks there are, and what they may say: values that are safe to act on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BROKEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""What ends a header field before its end, or cannot be sent."""


class Hook(Enum):
    """When hooks are asked (pre) or told (post); named as tusd names them."""

    PRE_CREATE = "pre-create"
    POST_CREATE = "post-create"
    POST_RECEIVE = "post-receive"
    PRE_FINISH = "pre-finish"
    POST_FINISH = "post-finish"
    PRE_TERMINATE = "pre-terminate"
    POST_TERMINATE = "post-terminate"

    @property
    def method(self) -> str:
        """The method of `Hooks` that is called."""
        return self.value.replace("-", "_")

    @property
    def is_asked(self) -> bool:
        """Whether it is waited for, and may refuse."""
        return self.value.startswith("pre-")


def is_field_name(text: str) -> bool:
    """Whether it can be the name of a header field (RFC 9110, 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a hook puts into an answer: the parts that are not None take the place of ours.

    Raises `ValueError` for what cannot be sent, a line break in a header field above all.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None

    def __post_init__(self) -> None:
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("the status of an answer is 200 to 599")
        for name, value in self.headers.items():
            if not is_field_name(name):
                raise ValueError("the name of a header field is not one")
            if _BROKEN.search(value):
                raise ValueError("a header field has a control character")
        if self.body is not None:
            self.body.encode()  # a lone surrogate is a ValueError, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A new upload is welcome, with these changes; what is None stays as the client said.

    `upload_id`: a UUID in small letters that the user has no upload of yet. `metadata`
    takes the place of all of the client's. `path` is where the finished file goes below the
    folder of the user: `name`, or `file id/name`.
    """

    upload_id: str | None = None
    metadata: Mapping[str, str] | None = None
    path: str | None = None
    reply: Reply | None = None
