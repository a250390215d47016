"""Uploads in a bucket of an S3-compatible store: opens that storage."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tusd_py.errors import StorageError
from tusd_py.storage.s3.bucket import open_bucket
from tusd_py.storage.s3.failures import StoreError
from tusd_py.storage.s3.settings import S3Settings
from tusd_py.storage.s3.storage import S3Storage
from tusd_py.watching import StoreWatch

_MEANS = {
    "NoSuchBucket": "S3_BUCKET_NAME: there is no bucket {bucket} at {endpoint}.",
    "InvalidBucketName": "S3_BUCKET_NAME: {bucket} cannot be the name of a bucket.",
    "ParamValidationError": "S3_BUCKET_NAME: {bucket} cannot be the name of a bucket.",
    "InvalidAccessKeyId": "S3_ACCESS_KEY: the store does not know this key.",
    "SignatureDoesNotMatch": "S3_SECRET_KEY: it is not the secret of this access key.",
    "NoCredentialsError": "S3_ACCESS_KEY and S3_SECRET_KEY are missing, and no other credentials of"
    " AWS were found.",
    "AccessDenied": "The key may not list, read and write the bucket {bucket}; see its policy.",
    "EndpointConnectionError": "S3_ENDPOINT_URL: nothing answers at {endpoint}.",
    "ConnectTimeoutError": "S3_ENDPOINT_URL: nothing answers at {endpoint}.",
    "AuthorizationHeaderMalformed": "S3_REGION_NAME: it is not the region of the bucket {bucket}.",
    "PermanentRedirect": "S3_REGION_NAME or S3_ENDPOINT_URL: the bucket {bucket} is elsewhere.",
    "IllegalLocationConstraintException": "S3_REGION_NAME: the bucket {bucket} is elsewhere.",
}


@asynccontextmanager
async def open_s3(
    settings: S3Settings, watches: Sequence[StoreWatch] = ()
) -> AsyncIterator[S3Storage]:
    """The storage, after the store has shown that it works.

    Raises `StorageError` with one line that names the setting that seems to be wrong.
    """
    async with open_bucket(settings, watches) as bucket:
        storage = S3Storage(bucket, settings)
        try:
            await storage.start()
        except StoreError as error:
            raise StorageError(_explained(error, settings)) from error
        yield storage


def _explained(error: StoreError, settings: S3Settings) -> str:
    known = _MEANS.get(error.reason)
    if known is None:
        known = f"S3_ENDPOINT_URL: {{endpoint}} does not work as an S3 store ({error.reason})."
    return known.format(bucket=settings.bucket, endpoint=settings.endpoint_url)
