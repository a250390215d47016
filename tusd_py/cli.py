"""The command line: serve, dev, token, sweep, check, events, import-tusd."""

import argparse
import asyncio
import os
import shlex
import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path

from tusd_py import __version__, undelivered
from tusd_py.app import open_service
from tusd_py.config import Config, add_flags, load_config
from tusd_py.errors import UploadError
from tusd_py.events import Swept
from tusd_py.listeners import AddressUnavailable
from tusd_py.log import configure_logging
from tusd_py.run import run_server
from tusd_py.setting_types import Backend, SettingError
from tusd_py.sweeper import sweep
from tusd_py.systemd import tell_ready
from tusd_py.tokens import ensure_key_pair, make_token
from tusd_py.workers import CannotServe

DEV_FOLDER = Path(".tusd-dev")
DEV_ISSUER = "main-service"
DEV_AUDIENCE = "upload-service"
DEV_USER = "42"
WEEK = 7 * 24 * 3600
_IMPORT = "take over the uploads of a tusd, finished and unfinished, from its folder"

COMMANDS = ("serve", "dev", "token", "sweep", "check", "events", "import-tusd")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 when it failed, 2 for a wrong setting."""
    arguments = _parsed(_with_command(sys.argv[1:] if argv is None else argv))
    try:
        code: int = arguments.run(arguments)
    except (SettingError, UploadError) as error:
        return _complain(f"{error}", 2)
    except AddressUnavailable as error:
        return _complain(f"{error}", 1)
    except CannotServe as error:
        return _complain(f"{error}", error.code)
    return code


def _with_command(argv: Sequence[str]) -> list[str]:
    """`tusd-py --port 80` is `tusd-py serve --port 80`."""
    if not argv or (argv[0].startswith("-") and argv[0] not in {"-h", "--help", "--version"}):
        return ["serve", *argv]
    return list(argv)


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    """What was asked for. Python before 3.13 does not know words that stand behind a flag."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and (arguments.run is not _events or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.words += rest
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tusd-py",
        description="Resumable upload server. tusd-py without a command is tusd-py serve.",
        epilog="The settings: tusd-py serve --help",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tusd-py {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, run, meaning in (
        ("serve", _serve, "start the server"),
        ("dev", _dev, "start a server for trying things, without any configuration"),
        ("sweep", _sweep, "one pass of the sweeper: remove expired uploads"),
        ("check", _check, "verify the settings and the storage, then exit"),
        ("events", _events, "what the main service did not get yet: list, retry, discard"),
    ):
        command = commands.add_parser(name, help=meaning, description=meaning, allow_abbrev=False)
        if run is _events:
            undelivered.add_arguments(command)
        add_flags(command)
        command.set_defaults(run=run)
    token = commands.add_parser("token", help="print a signed token for trying things")
    token.add_argument("--user", required=True, help="the user id")
    token.add_argument("--key", type=Path, help="private key, PEM (the one of tusd-py dev)")
    token.add_argument("--issuer", help="`iss` (EXPECTED_JWT_ISSUER, else that of tusd-py dev)")
    token.add_argument("--audience", help="`aud` (EXPECTED_JWT_AUDIENCE, else that of dev)")
    token.add_argument("--seconds", type=int, default=WEEK, help="how long it is valid (a week)")
    token.set_defaults(run=_token)
    _add_import(commands.add_parser("import-tusd", help=_IMPORT, description=_IMPORT))
    return parser


def _add_import(command: argparse.ArgumentParser) -> None:
    command.allow_abbrev = False
    command.add_argument("folder", metavar="DIR", type=Path, help="tusd's -upload-dir")
    user = command.add_mutually_exclusive_group(required=True)
    user.add_argument("--user-from", metavar="KEY", help="their metadata has the user id under KEY")
    user.add_argument("--user", metavar="ID", help="they all belong to this user")
    command.add_argument("--dry-run", action="store_true", help="say what would be done, only")
    command.add_argument("--move", action="store_true", help="remove there what is here")
    add_flags(command)
    command.set_defaults(run=_import)


def _config(arguments: argparse.Namespace) -> Config:
    return load_config(vars(arguments), os.environ, Path(".env"))


def _serve(arguments: argparse.Namespace) -> int:
    return _run(_config(arguments), lambda _port: tell_ready())


def _dev(arguments: argparse.Namespace) -> int:
    folder = DEV_FOLDER.absolute()
    private, public = ensure_key_pair(folder)
    config = load_config(
        {
            "host": "127.0.0.1",
            "local_temp_chunk_path": str(folder / "data"),
            "demo": "true",
            "workers": "1",  # one process to watch and to debug
            **{name: value for name, value in vars(arguments).items() if value is not None},
            "main_service_jwt_public_key": public,
            "expected_jwt_issuer": DEV_ISSUER,
            "expected_jwt_audience": DEV_AUDIENCE,
        },
        {},
        None,
    )
    token = make_token(
        private, user=DEV_USER, issuer=DEV_ISSUER, audience=DEV_AUDIENCE, seconds=WEEK
    )
    return _run(config, lambda port: print(_welcome(config, port, token), flush=True))


def _token(arguments: argparse.Namespace) -> int:
    path = arguments.key or DEV_FOLDER / "private.pem"
    if not path.is_file():
        return _complain(f"{path} is not there: give --key, or run tusd-py dev once.", 2)
    try:
        token = make_token(
            path.read_text(),
            user=arguments.user,
            issuer=arguments.issuer or os.environ.get("EXPECTED_JWT_ISSUER", DEV_ISSUER),
            audience=arguments.audience or os.environ.get("EXPECTED_JWT_AUDIENCE", DEV_AUDIENCE),
            seconds=arguments.seconds,
        )
    except ValueError as error:
        return _complain(f"{path}: {error}", 2)
    print(token)
    return 0


def _sweep(arguments: argparse.Namespace) -> int:
    async def once(config: Config) -> Swept:
        async with open_service(config) as service:
            return await sweep(service)

    config = _config(arguments)
    configure_logging(config.log_format, config.log_level)
    report = asyncio.run(once(config))
    print(
        f"{report.expired} expired, {report.finished} finished, {report.forgotten} forgotten, "
        f"{report.cleaned} cleaned, {report.quarantined} quarantined, {report.failed} failed"
    )
    return 1 if report.failed else 0


def _import(arguments: argparse.Namespace) -> int:
    from tusd_py.tusd.command import run_import  # no other command needs it

    config = _config(arguments)
    configure_logging(config.log_format, config.log_level)
    return run_import(
        config,
        arguments.folder,
        user=arguments.user,
        user_key=arguments.user_from,
        is_dry=arguments.dry_run,
        moves=arguments.move,
    )


def _check(arguments: argparse.Namespace) -> int:
    async def once(config: Config) -> None:
        async with open_service(config) as service:
            await service.storage.check()

    config = _config(arguments)
    asyncio.run(once(config))
    print(f"The settings are right, and {_kept_in(config)} can be written to.")
    return 0


def _events(arguments: argparse.Namespace) -> int:
    return undelivered.run(arguments, _config(arguments).local_temp_chunk_path)


def _kept_in(config: Config) -> str:
    if config.storage_backend is Backend.S3:
        return f"the bucket {config.s3_bucket_name} at {config.s3_endpoint_url}"
    return str(config.local_temp_chunk_path)


def _folder_of_files(config: Config) -> str:
    if config.storage_backend is Backend.S3:
        return f"{config.s3_endpoint_url}/{config.s3_bucket_name}"
    return f"{config.local_temp_chunk_path}/final"


def _run(config: Config, announce: Callable[[int], None] = lambda _port: None) -> int:
    configure_logging(config.log_format, config.log_level)
    run_server(config, announce)
    return 0


def _welcome(config: Config, port: int, token: str) -> str:
    host = "127.0.0.1" if config.host in {"0.0.0.0", "::"} else config.host
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    metadata = f"filename {b64encode(b'hello.txt').decode()}"
    curl = shlex.join(
        [
            *("curl", "-i", "-X", "POST", f"{address}{config.tus_base_path}"),
            *("-H", f"Authorization: Bearer {token}"),
            *("-H", "Tus-Resumable: 1.0.0"),
            *("-H", "Upload-Length: 14"),
            *("-H", f"Upload-Metadata: {metadata}"),
            *("-H", "Content-Type: application/offset+octet-stream"),
            *("--data-binary", "Hello, upload!"),
        ]
    )
    reference = f"REST reference:\n  {address}/docs\n\n" if config.api_docs else ""
    return (
        f"\ntusd-py {__version__} for trying things, with its data in {DEV_FOLDER}/\n\n"
        f"Demo page:\n  {address}/#token={token}\n\n"
        f"{reference}"
        f"Token of user {DEV_USER}, valid for a week:\n  {token}\n\n"
        f"Upload a file of 14 bytes:\n  {curl}\n\n"
        f"It will lie in {_folder_of_files(config)}/{DEV_USER}/. Ctrl-C stops.\n"
    )


def _complain(message: str, code: int) -> int:
    print(f"tusd-py: {message}", file=sys.stderr)
    return code
