"""Spares the tests of S3 waiting, and making the same again: behaviour stays as it is."""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import botocore
import pytest
from aiobotocore.client import AioClientCreator
from aiobotocore.session import AioSession, get_session
from botocore.client import ClientCreator
from botocore.endpoint_provider import EndpointProvider
from botocore.hooks import EventAliaser
from botocore.loaders import create_loader
from botocore.retries.standard import ExponentialBackoff

T = TypeVar("T")

PAUSE = 0.001
"""Seconds before a call is made again."""


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients of the store try again almost at once."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda _self, _context: PAUSE)


@cache
def session() -> AioSession:
    """What all clients of a test run share."""
    return get_session()


@contextmanager
def sharing(folder: Path) -> Iterator[None]:
    """A while in which a client is made in 3 ms, not in 100: what botocore makes anew for each out
    of the description of S3, one megabyte of JSON, is made once, and of the certificates of the
    world's authorities, for which no test has a use, one is read, from a file in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_CA_BUNDLE", str(_one_certificate(folder)))
        patch.setattr("botocore.session.create_loader", cache(create_loader))
        patch.setattr("tusd_py.storage.s3.bucket.get_session", session)
        patch.setattr("botocore.regions.EndpointProvider", _made_once_of(EndpointProvider))
        for owner, name in (
            (ClientCreator, "_load_service_model"),
            (EventAliaser, "_alias_event_name"),
        ):
            patch.setattr(owner, name, _called_once_with(getattr(owner, name)))
        makes_class = AioClientCreator._create_client_class
        patch.setattr(AioClientCreator, "_create_client_class", _awaited_once_with(makes_class))
        yield


def _one_certificate(folder: Path) -> Path:
    bundle = Path(botocore.__file__).with_name("cacert.pem").read_text()
    first = re.search("-----BEGIN .*?-----END CERTIFICATE-----", bundle, re.DOTALL)
    assert first is not None
    file = folder / "one.pem"
    file.write_text(first[0])
    return file


def _called_once_with(method: Callable[..., T]) -> Callable[..., T]:
    """A method whose answer depends on its first argument only, called once for each."""
    answers: dict[str, T] = {}

    def answer(self: object, first: str, *others: object) -> T:
        if first not in answers:
            answers[first] = method(self, first, *others)
        return answers[first]

    return answer


def _awaited_once_with(method: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    """The same for a method that is awaited."""
    answers: dict[str, T] = {}

    async def answer(self: object, first: str, *others: object) -> T:
        if first not in answers:
            answers[first] = await method(self, first, *others)
        return answers[first]

    return answer


def _made_once_of(kind: Callable[..., T]) -> Callable[..., T]:
    """What is made of these rules, once for all clients; the loader keeps them where they are."""
    made: dict[int, T] = {}

    def make(*, ruleset_data: object, **others: object) -> T:
        if id(ruleset_data) not in made:
            made[id(ruleset_data)] = kind(ruleset_data=ruleset_data, **others)
        return made[id(ruleset_data)]

    return make
