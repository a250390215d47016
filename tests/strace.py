"""A real server process under strace(1), which shows its system calls, or lets them fail."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.commands import program

_TRACED = "fsync,fdatasync,rename,renameat,renameat2,sendto,sendmsg,write,writev"
_LINE = re.compile(r"(\d+) +(.*)")
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")
_FSYNC = re.compile(r"f(?:data)?sync\(\d+<(.*?)>")
_RENAME = re.compile(r'rename(?:at2?)?\(.*"(?P<source>.*?)".*"(?P<target>.*?)"')
_ANSWER = re.compile(r'(?:sendto|sendmsg|writev?)\(.*?"HTTP/1\.1 ([2-9]\d\d)')


def recording(trace: Path) -> tuple[str, ...]:
    """The command under which a server writes into a file what it puts on the medium."""
    strace = program("strace", "strace")
    # -D: the server is our child, not strace's; --seccomp-bpf: no other call is slower for it
    return (
        strace,
        "-D",
        "-f",
        "-q",
        "-y",
        "--seccomp-bpf",
        "-e",
        f"trace={_TRACED}",
        "-o",
        str(trace),
    )


def failing(call: str, error: str) -> tuple[str, ...]:
    """The command under which all calls of a kind fail in a server."""
    strace = program("strace", "strace")
    inject = f"inject={call}:error={error}"
    return (strace, "-D", "-f", "-qqq", "-e", f"trace={call}", "-e", inject, "-o", "/dev/null")


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An answer, and what had been done by then since the answer before it."""

    status: int
    done: tuple[str, ...]


async def answers(trace: Path) -> list[Answered]:
    """All answers of a server that has ended, in order."""
    async with asyncio.timeout(30):
        while not (text := await asyncio.to_thread(_whole, trace)):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)
    found: list[Answered] = []
    done: list[str] = []
    for call in _calls(text):
        if match := _ANSWER.match(call):
            found.append(Answered(status=int(match[1]), done=tuple(done)))
            done = []
        elif call.endswith(" = 0"):
            done.append(_deed(call))
    return found


def _whole(trace: Path) -> str:
    """What strace has written, once that is all."""
    text = trace.read_text() if trace.exists() else ""
    first = text.partition(" ")[0]
    return text if re.search(rf"^{first} +\+\+\+ ", text, re.MULTILINE) and first else ""


def _calls(text: str) -> Iterator[str]:
    """The calls: an answer when it begins, all others when they end."""
    begun: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        assert match is not None, line
        process, call = match.groups()
        if _RESUMED.match(call):
            call = begun.pop(process) + _RESUMED.sub("", call)
            if _ANSWER.match(call):
                continue
        elif call.endswith(_UNFINISHED):
            call = call.removesuffix(_UNFINISHED)
            begun[process] = call
            if not _ANSWER.match(call):
                continue
        yield call


def _deed(call: str) -> str:
    if match := _FSYNC.match(call):
        return f"fsync {_short(match[1])}"
    match = _RENAME.match(call)
    assert match is not None, call
    return f"rename {_short(match['target'])}"


def _short(path: str) -> str:
    """A path from the data folder on, without what differs from upload to upload."""
    path = path.rpartition("/data/")[2]
    path = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", path)
    return re.sub(r"[0-9a-f]{32}", "*", path)
