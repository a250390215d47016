"""What is said to a client whose request is not HTTP: aiohttp answers before any handler runs."""

from aiohttp import web

from tusd_py.web.tus_headers import VERSION

_WHY = {
    400: "The head of the request is not valid HTTP, or a field of it is too long.",
    500: "The server failed; it has logged why.",
}


class Connection(web.RequestHandler):
    """One connection. Its errors are one line of ours: aiohttp's quote the head, and log it, and
    a token may be in it."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """See aiohttp; the connection closes after the answer."""
        if request.writer.output_size > 0:
            raise ConnectionError("An answer had begun already.")
        if status != 400:
            self.logger.error("unhandled", exc_info=exc)
        response = web.Response(status=status, text=f"{_WHY.get(status, _WHY[500])}\n")
        response.headers["Server"] = "tusd_py"
        response.headers["Tus-Resumable"] = VERSION
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.force_close()
        return response
