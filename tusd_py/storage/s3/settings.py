"""What the S3 storage has to be told."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tusd_py.storage.s3.sizes import MAX_PARTS


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Sizes in bytes. Without keys the credentials come from where AWS's own tools find them.

    `part_size` is what a part has unless its upload needs larger ones or sends in such pieces;
    `memory` is for the parts of all uploads together, and `spill` the folder for what is beyond
    it. `presigned` is the life of the URLs that users are told, None for plain URLs; `redirected`
    is that of the URL a download is sent to, None to send the bytes ourselves.
    """

    bucket: str
    endpoint_url: str
    region: str | None
    access_key: str | None
    secret_key: str | None
    part_size: int
    memory: int
    presigned: timedelta | None
    redirected: timedelta | None
    spill: Path
    max_parts: int = MAX_PARTS
