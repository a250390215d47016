"""The composition root: Config -> web.Application."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from tusd_py.config import Config, require_whole
from tusd_py.hooks import Hooks
from tusd_py.interfaces import EventSink
from tusd_py.locks import open_locker
from tusd_py.metrics import Metrics
from tusd_py.notify import FanOut, LogSink
from tusd_py.notify.opening import open_notifier
from tusd_py.service import Limits, UploadService
from tusd_py.setting_types import Backend, DigestKind, SettingError
from tusd_py.steered import is_steered, open_steering
from tusd_py.storage import open_storage
from tusd_py.sweeper import sweep_forever
from tusd_py.tracing import open_tracer
from tusd_py.watched import WatchedStorage
from tusd_py.watching import StoreWatch, Tracer
from tusd_py.web import plain
from tusd_py.web.auth import Authentication, Authenticator
from tusd_py.web.cors import Cors
from tusd_py.web.demo import demo_routes
from tusd_py.web.embedded import Authenticate, OwnAuthentication
from tusd_py.web.errors import REFUSAL, Handler, refuse_expectation
from tusd_py.web.naming import HEADER, RequestNames
from tusd_py.web.openapi import openapi_routes
from tusd_py.web.origin import PublicAddress
from tusd_py.web.pace import Debts, OwnDebts, Pace
from tusd_py.web.replies import heard
from tusd_py.web.rest import BASE as REST_BASE
from tusd_py.web.rest import RestFace
from tusd_py.web.share import AtWork, OwnAtWork, Share
from tusd_py.web.tus import TusFace
from tusd_py.web.watch import Watch

TO_SEND_TRACES = 0.05
"""Part of SHUTDOWN_TIMEOUT for what was traced last."""

_SERVICE: web.AppKey[UploadService] = web.AppKey("service", UploadService)
_REST: web.AppKey[RestFace] = web.AppKey("rest", RestFace)
_TUS: web.AppKey[TusFace] = web.AppKey("tus", TusFace)
METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)
_WATCH: web.AppKey[Watch] = web.AppKey("watch", Watch)

FIRST = "/healthz"
"""The address that is added first: what stands before it tells where the application is mounted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What a worker has in common with the other workers of its server; alone, nothing."""

    metrics: Metrics = field(default_factory=Metrics)
    debts: Debts = field(default_factory=OwnDebts)
    at_work: AtWork = field(default_factory=OwnAtWork)
    sweeps: bool = True


def create_app(
    config: Config,
    part: Part | None = None,
    *,
    hooks: Hooks | None = None,
    authenticate: Authenticate | None = None,
) -> web.Application:
    """The whole server, or the `part` of it that is in this process; also to be mounted in another
    application. `hooks` steer its uploads; `authenticate` says who asks, instead of tokens.

    Raises `SettingError`. Its start-up raises `StorageError` when the storage cannot be used.
    """
    require_whole(config)
    part = part or Part()
    authentication = _authentication(config, authenticate)
    rest, tus = (heard(_rest), heard(_tus)) if is_steered(config, hooks) else (_rest, _tus)
    app = web.Application()
    app[METRICS] = part.metrics
    app[METRICS].watch_disk(config.local_temp_chunk_path)
    app[_WATCH] = Watch(RequestNames(), part.metrics.requests.answered)
    app[plain.LEAVING] = asyncio.Event()
    app.cleanup_ctx.append(_serving(config, part, hooks, authentication))
    app.on_shutdown.append(_drain)
    app.on_response_prepare.append(_with_headers(config, app[_WATCH].names))
    app.on_response_prepare.append(_count)
    _add(app, FIRST, plain.alive)
    if config.demo:
        app.add_routes(demo_routes(config.tus_base_path))
    _add(app, "/readyz", _ready)
    if config.api_docs:
        for path, handler in openapi_routes(config.tus_base_path, _known_address(config)).items():
            _add(app, path, handler)
    _add(app, "/metrics", _measured)
    _add(app, f"{REST_BASE}{{name:.*}}", rest, face="rest")
    _add(app, config.tus_base_path[:-1], tus, face="tus")
    _add(app, f"{config.tus_base_path}{{name:.*}}", tus, face="tus")
    _add(app, "/{path:.*}", plain.nowhere)
    return app


@contextlib.asynccontextmanager
async def open_service(
    config: Config,
    *sinks: EventSink,
    delivers: bool = False,
    metrics: Metrics | None = None,
    tracer: Tracer | None = None,
    hooks: Hooks | None = None,
) -> AsyncIterator[UploadService]:
    """The upload service on the storage and the locks that the settings name; `sinks` are told what
    happens after the main service's outbox and before the log, `metrics` and `tracer` how long it
    takes. With `delivers` this is a server: it brings what is in the outbox to the main service,
    and waits for no hook that is only told. It is steered by `hooks`, or those that the settings
    name. Raises `SettingError`, `StorageError`."""
    require_whole(config)
    watches: list[StoreWatch] = [] if tracer is None else [tracer]
    if metrics is not None:
        watches.append(metrics.store)
    locks = None if metrics is None else metrics.locks
    async with (
        open_storage(config, watches) as storage,
        open_locker(config.local_temp_chunk_path, locks) as locker,
        open_notifier(
            config,
            locate=storage.location,
            delivers=delivers,
            told=None if metrics is None else metrics.outbox,
        ) as notifier,
        open_steering(config, hooks, is_server=delivers) as steering,
    ):
        told: list[EventSink] = [] if notifier is None else [notifier]
        told += [*sinks, LogSink()]
        if steering is not None:
            told.append(steering)
        yield UploadService(
            storage=WatchedStorage(storage, metrics.uploads, tracer) if metrics else storage,
            locker=locker,
            events=FanOut(told),
            limits=Limits(
                max_size=config.max_upload_size,
                expires_after=config.upload_expires_after,
                max_chunks=config.max_chunks,
                max_metadata=config.max_metadata_size,
                max_open=config.max_open_uploads_per_user,
                quota=config.user_quota,
            ),
            now=lambda: datetime.now(UTC),
            notice=None if notifier is None else notifier.notice,
            digests_all=config.digest is DigestKind.SHA256,
            steering=steering,
        )


def _authentication(config: Config, authenticate: Authenticate | None) -> Authentication:
    if authenticate is not None:
        return OwnAuthentication(authenticate)
    key = config.main_service_jwt_public_key
    issuer, audience = config.expected_jwt_issuer, config.expected_jwt_audience
    if key is None or issuer is None or audience is None:
        raise SettingError(
            "MAIN_SERVICE_JWT_PUBLIC_KEY, EXPECTED_JWT_ISSUER or EXPECTED_JWT_AUDIENCE is missing: "
            "give all of them, or create_app(config, authenticate=...)."
        )
    claim = config.jwt_user_id_claim
    return Authenticator(public_key=key, issuer=issuer, audience=audience, user_id_claim=claim)


def _prefix(app: web.Application) -> str:
    """Where another application has mounted this one; empty where it stands alone."""
    path = next(iter(app.router.routes())).resource
    assert path is not None
    prefix = path.canonical.removesuffix(FIRST)
    if re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)*", prefix) is None:
        raise SettingError(f"{prefix}: mount the uploads at a path of plain characters.")
    return prefix


def _serving(
    config: Config, part: Part, hooks: Hooks | None, authentication: Authentication
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Opens the service before the first request and closes it after the last."""

    async def serving(app: web.Application) -> AsyncIterator[None]:
        metrics = app[METRICS]
        if config.storage_backend is Backend.S3:
            metrics.store.begin()
        async with (
            open_tracer(
                config.otel_exporter_otlp_endpoint,
                warns=part.sweeps,
                grace=config.shutdown_timeout.total_seconds() * TO_SEND_TRACES,
            ) as tracer,
            open_service(
                config, metrics, delivers=True, metrics=metrics, tracer=tracer, hooks=hooks
            ) as service,
        ):
            app[_WATCH].tracer = tracer
            _make_faces(app, config, service, part, authentication)
            if not part.sweeps:
                yield
                return
            interval = config.sweep_interval.total_seconds()
            sweeping = asyncio.create_task(sweep_forever(service, interval=interval))
            yield
            sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sweeping

    return serving


def _make_faces(
    app: web.Application,
    config: Config,
    service: UploadService,
    part: Part,
    authenticator: Authentication,
) -> None:
    prefix = _prefix(app)
    pace = Pace(config.rate_limit, part.debts)
    share = Share(config.max_requests_per_user, pace, part.at_work)
    app[_SERVICE] = service
    app[_REST] = RestFace(
        service=service,
        authenticator=authenticator,
        spool=config.local_temp_chunk_path,
        idle=config.body_timeout.total_seconds(),
        rate=config.min_transfer_rate,
        share=share,
        base=prefix + REST_BASE,
    )
    app[_TUS] = TusFace(
        service=service,
        authenticator=authenticator,
        address=PublicAddress(public_url=config.public_url, trusted=config.trusted_proxies),
        base=prefix + config.tus_base_path,
        idle=config.body_timeout.total_seconds(),
        rate=config.min_transfer_rate,
        direct=config.direct_io_size,
        share=share,
        met=app[METRICS].limit_hit,
    )


def _known_address(config: Config) -> PublicAddress | None:
    """How clients see this server; None when nobody said so."""
    if config.public_url is None and not config.trusted_proxies:
        return None
    return PublicAddress(public_url=config.public_url, trusted=config.trusted_proxies)


def _with_headers(
    config: Config, names: RequestNames
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """The headers of all answers, those of aiohttp itself included."""
    cors = Cors(config.cors_allow_origins)

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = "tusd_py"
        response.headers[HEADER] = names.name(request).id
        # A cache between a careless proxy's users must keep nothing, a refusal or a preflight that
        # X-HTTP-Method-Override asked for with GET included.
        response.headers.setdefault("Cache-Control", "no-store")
        cors.add_headers(request, response)
        face = request.app[_TUS]
        if face.serves(request.path):
            face.add_headers(request, response)

    return add


async def _count(request: web.Request, _response: web.StreamResponse) -> None:
    if (error := request.get(REFUSAL)) is not None:
        request.app[METRICS].refused(error)


async def _drain(app: web.Application) -> None:
    app[_SERVICE].drain()


async def _ready(request: web.Request) -> web.StreamResponse:
    return await plain.ready(request, request.app[_SERVICE], request.app[plain.LEAVING])


async def _measured(request: web.Request) -> web.StreamResponse:
    return await plain.measured(request, await request.app[METRICS].exposition())


async def _rest(request: web.Request) -> web.StreamResponse:
    return await request.app[_REST].handle(request)


async def _tus(request: web.Request) -> web.StreamResponse:
    return await request.app[_TUS].handle(request)


def _add(app: web.Application, path: str, handler: Handler, face: str = "other") -> None:
    """Every method comes to the handler, and no body is asked for before it says so. It is counted
    as of that face."""
    watched = app[_WATCH].over(face, handler)
    app.router.add_route("*", path, watched, expect_handler=refuse_expectation)
