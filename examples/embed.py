"""Uploads as a part of your own aiohttp application: its users, its rules, its other pages.

    python examples/embed.py --folder /var/lib/uploads --port 8080
    curl -u alice:wonder http://127.0.0.1:8080/
    curl -u alice:wonder -H 'Tus-Resumable: 1.0.0' -H 'Upload-Length: 5' -i \
        -X POST http://127.0.0.1:8080/uploads/files/
"""

import argparse
import hmac
import logging
from pathlib import Path

from aiohttp import BasicAuth, web

from tusd_py.app import create_app
from tusd_py.config import Config
from tusd_py.hooks import Admission, HookEvent, Hooks, Rejected, Reply

PASSWORDS = {"alice": "wonder", "bob": "builder"}
MOST = 100 << 20

logger = logging.getLogger(__name__)


class Rules(Hooks):
    """What this application allows, and what it wants to know."""

    async def pre_create(self, event: HookEvent) -> Admission | None:
        """Programs are not welcome, and of the name only letters in lower case."""
        name = event.upload.filename
        if name.lower().endswith(".exe"):
            why = '{"error":"no programs, please"}\n'
            headers = {"Content-Type": "application/json"}
            raise Rejected(reply=Reply(status=415, headers=headers, body=why))
        return Admission(path=name.lower())

    async def pre_finish(self, event: HookEvent) -> Reply | None:
        """The client learns where its file will be, in a header of the last answer."""
        return Reply(headers={"Link": f"</mine/{event.upload.filename}>; rel=related"})

    async def post_finish(self, event: HookEvent) -> None:
        """Whatever else is to be done with a file; nobody waits for it."""
        logger.info("%s has %s now", event.upload.owner, event.upload.filename)


async def who(request: web.Request) -> str:
    """The user of a request, as this application knows users: by name and password."""
    try:
        login = BasicAuth.decode(request.headers.get("Authorization", ""))
    except ValueError:
        asked = {"WWW-Authenticate": 'Basic realm="uploads"'}
        raise web.HTTPUnauthorized(headers=asked, text="Log in, please.\n") from None
    known = PASSWORDS.get(login.login, "")
    if not known or not hmac.compare_digest(known.encode(), login.password.encode()):
        raise web.HTTPForbidden(text="That is not your password.\n")
    return str(login.login)


async def welcome(request: web.Request) -> web.Response:
    """A page of the application itself."""
    return web.Response(text="Hello! Send your files to /uploads/files/.\n")


def application(folder: Path) -> web.Application:
    """An application with the uploads below /uploads/."""
    config = Config(local_temp_chunk_path=folder, max_upload_size=MOST)
    app = web.Application()
    app.router.add_get("/", welcome)
    app.add_subapp("/uploads/", create_app(config, hooks=Rules(), authenticate=who))
    return app


def main() -> None:
    """Serve it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=Path("uploads"))
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    web.run_app(
        application(arguments.folder.absolute()),
        host="127.0.0.1",
        port=arguments.port,
        # bytes as they come, and long Upload-Metadata
        auto_decompress=False,
        max_field_size=64 << 10,
    )


if __name__ == "__main__":
    main()
