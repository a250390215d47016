"""A TCP connection pumped into a file, without HTTP: what any server on this machine can hope for.

Runs as a process of its own: `pump.py WAY PORT FILE`. A connection brings eight bytes, the size, a
byte that is 1 when the file shall be synced, and then the bytes of the file; one byte answers.
"""

import fcntl
import os
import socket
import struct
import sys
from collections.abc import Callable

HEAD = struct.Struct("!QB")
BLOCK = 1 << 20
F_SETPIPE_SZ = 1031
"""From fcntl(2)."""


def with_a_buffer(connection: socket.socket, target: int, size: int) -> None:
    """recv_into and write, with a buffer of 1 MiB."""
    buffer = memoryview(bytearray(BLOCK))
    left = size
    while left:
        got = connection.recv_into(buffer[: min(left, BLOCK)])
        if not got:
            raise ConnectionError(f"{left} bytes did not come")
        written = 0
        while written < got:
            written += os.write(target, buffer[written:got])
        left -= got


def with_splice(connection: socket.socket, target: int, size: int) -> None:
    """splice from the socket into a pipe of 1 MiB, and on into the file."""
    source, sink = os.pipe()
    try:
        fcntl.fcntl(sink, F_SETPIPE_SZ, BLOCK)
        left = size
        while left:
            got = os.splice(connection.fileno(), sink, min(left, BLOCK))
            if not got:
                raise ConnectionError(f"{left} bytes did not come")
            left -= got
            while got:
                got -= os.splice(source, target, got)
    finally:
        os.close(source)
        os.close(sink)


WAYS: dict[str, Callable[[socket.socket, int, int], None]] = {
    "buffer": with_a_buffer,
    "splice": with_splice,
}


def serve(way: str, port: int, path: str) -> None:
    """One connection after the other, without end."""
    pump = WAYS[way]
    with socket.create_server(("127.0.0.1", port)) as listening:
        print("listening", flush=True)
        while True:
            connection, _ = listening.accept()
            with connection:
                head = connection.recv(HEAD.size, socket.MSG_WAITALL)
                size, is_synced = HEAD.unpack(head)
                target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
                try:
                    pump(connection, target, size)
                    if is_synced:
                        os.fsync(target)
                finally:
                    os.close(target)
                connection.sendall(b"k")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
