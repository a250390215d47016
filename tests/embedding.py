"""An aiohttp application that uploads are a part of, served as its own programs would be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from tests.servers import Address
from tests.stores import Folder
from tusd_py.app import create_app
from tusd_py.config import Config
from tusd_py.errors import Unauthorized
from tusd_py.hooks import Hooks
from tusd_py.web.embedded import Authenticate


@dataclass(frozen=True, kw_only=True)
class MountedAddress(Address):
    """Where the uploads of an application are."""

    prefix: str = "/uploads"

    @property
    def base(self) -> str:
        return f"http://{self.host}:{self.port}{self.prefix}"

    def auth(self, user: str | int = "42") -> dict[str, str]:
        """How this application knows a user."""
        return {"X-User": str(user)}


async def who(request: web.Request) -> str:
    """The user that a header names."""
    if (user := request.headers.get("X-User")) is None:
        raise Unauthorized("Say who you are.")
    return user


@dataclass(kw_only=True)
class Program:
    """What runs: the application itself, and the address of its uploads."""

    address: MountedAddress
    runner: web.AppRunner
    seen: list[str]


@asynccontextmanager
async def program(
    root: Path,
    *,
    authenticate: Authenticate = who,
    hooks: Hooks | None = None,
    prefix: str = "/uploads",
    config: Config | None = None,
    patience: float = 0.1,
) -> AsyncIterator[Program]:
    """The application, with a page, a middleware and a signal of its own, on a port of its own.
    When it ends, requests have `patience` seconds."""
    seen: list[str] = []

    @web.middleware
    async def note(
        request: web.Request,
        handler: web.RequestHandler,
    ) -> web.StreamResponse:
        seen.append(f"{request.method} {request.path}")
        response: web.StreamResponse = await handler(request)  # type: ignore[operator]
        return response

    async def sign(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Program"] = "ours"

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="a page")

    config = config or Config(local_temp_chunk_path=root)
    inner: web.Application = create_app(config, hooks=hooks, authenticate=authenticate)
    first, *deeper = [part for part in prefix.split("/") if part]
    app = web.Application(middlewares=[note])  # type: ignore[list-item]
    for part in reversed(deeper):
        outer = web.Application()
        outer.add_subapp(f"/{part}/", inner)
        inner = outer
    app.add_subapp(f"/{first}/", inner)
    app.router.add_get("/page", page)
    app.on_response_prepare.append(sign)
    runner = web.AppRunner(app, shutdown_timeout=patience)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        address = MountedAddress(
            host="127.0.0.1", port=port, root=root, store=Folder(root=root), prefix=prefix
        )
        yield Program(address=address, runner=runner, seen=seen)
    finally:
        await runner.cleanup()
