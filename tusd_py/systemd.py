"""Tells systemd that the server takes requests (sd_notify(3)), where systemd wants to know."""

import contextlib
import os
import socket

_ADDRESS = "NOTIFY_SOCKET"


def tell_ready() -> None:
    """Send `READY=1`, once; whoever does not listen misses it."""
    address = os.environ.pop(_ADDRESS, "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # a name in the abstract namespace (unix(7))
        address = f"\0{address[1:]}"
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
    ):
        channel.setblocking(False)
        channel.connect(address)
        channel.send(b"READY=1")
