"""How long a store may be silent: it must take the bytes of a request, and answer it.

aiohttp's limits begin when a body is sent; they do not see a store that takes no more of it, nor
one that never says whether it wants it (100-continue).
"""

import asyncio

from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.httpsession import AIOHTTPSession
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ReadTimeoutError

from tusd_py.storage.s3.buffer import Sending


def patient(seconds: float) -> type[AIOHTTPSession]:
    """A way to send requests, each of which fails after so much silence. The client then tries it
    again, as after any other time-out."""

    class PatientSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore has no types
        """Sends with a limit that every block of a body puts off."""

        async def send(self, request: AWSPreparedRequest) -> AioAWSResponse:
            """One try of a call."""
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(seconds) as limit:
                    if isinstance(request.body, Sending):
                        request.body.on_block = lambda: limit.reschedule(loop.time() + seconds)
                    return await super().send(request)
            except TimeoutError as error:
                raise ReadTimeoutError(endpoint_url=request.url, error=error) from error

    return PatientSession
