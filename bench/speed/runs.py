"""One run of a contestant: what is sent, measured, compared and deleted again."""

from collections.abc import Callable
from functools import partial
from itertools import count

from bench.client import Slice, client
from bench.speed import load
from bench.speed.contest import MIB, Run, measured
from bench.speed.load import Upload
from bench.speed.servers import Plain, Server
from bench.speed.setting import PARALLEL, PATCH, SMALL, Bench

SAMPLE = 16
"""Of the small files every sixteenth is read and compared; of all others the size is looked at."""

numbers = count(1)
"""Each upload of a benchmark has a number of its own."""


def one_patch(server: Server, body: Slice, *, more: int = 0, **fields: str) -> Run:
    """One PATCH; the upload goes on after it if there is `more` to come."""
    number = next(numbers)
    with client(server.port, server.headers(number)) as connection:
        path = load.create(connection, server, number, body.size + more)
        run = measured(
            server.process,
            body.size / MIB,
            lambda: load.patch(connection, path, 0, body, **fields),
        )
    upload = Upload(server=server, user=number, number=number, path=path, parts=(body,))
    if more:
        upload.delete()
    else:
        verify(upload)
    return run


def one_upload(server: Server, body: Slice, size: int) -> Run:
    """POST, and PATCHes of a size."""
    number = next(numbers)
    paths: list[str] = []

    def work() -> None:
        with client(server.port, server.headers(number)) as connection:
            paths.append(load.create(connection, server, number, body.size))
            load.patches(connection, paths[0], body, size)

    run = measured(server.process, body.size / MIB, work)
    verify(Upload(server=server, user=number, number=number, path=paths[0], parts=(body,)))
    return run


def uploads_at_once(bench: Bench, server: Server, size: int) -> Run:
    """Sixteen uploads at once, each POST and several PATCHes."""
    done: list[Upload] = []

    def one(number: int, body: Slice) -> None:
        with client(server.port, server.headers(number)) as connection:
            path = load.create(connection, server, number, size)
            load.patches(connection, path, body, PATCH)
        done.append(Upload(server=server, user=number, number=number, path=path, parts=(body,)))

    jobs = [partial(one, next(numbers), bench.part(at, size)) for at in range(PARALLEL)]
    run = measured(server.process, PARALLEL * size / MIB, lambda: load.at_once(jobs))
    for each in done:
        verify(each)
    return run


def small_uploads(
    bench: Bench,
    server: Server,
    many: int,
    *,
    parallel: int = PARALLEL,
    is_one_request: bool = False,
) -> Run:
    """Many small uploads."""
    work, done = load.small_uploads(
        server,
        [next(numbers) for _ in range(many)],
        [bench.part(at, SMALL) for at in range(many)],
        parallel=parallel,
        is_one_request=is_one_request,
    )
    run = measured(server.process, many, work)
    if len(done) != many:
        raise RuntimeError(f"{len(done)} of {many} uploads are done")
    for at, each in enumerate(done):
        if at % SAMPLE == 0:
            each.require_stored()
        elif server.stored(each.user, each.number, each.path).stat().st_size != SMALL:
            raise RuntimeError(f"{each.path} has another size")
    load.delete_all(server, done)
    return run


def one_file(server: Plain, body: Slice, send: Callable[[Plain, Slice], None]) -> Run:
    """The bytes of one file."""
    run = measured(server.process, body.size / MIB, lambda: send(server, body))
    load.require_stored(server.stored, (body,))
    server.stored.unlink()
    return run


def verify(upload: Upload) -> None:
    upload.require_stored()
    upload.delete()
