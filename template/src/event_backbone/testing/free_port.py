"""Ports of this machine that nothing listens on."""

import socket

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port that was free a moment ago. Another process may take it, so the caller retries when its bind fails."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def listen(port: int | None) -> socket.socket:
    """A listening socket on the loopback address, at this port or any free one, for a child to inherit."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port or 0))
    listener.listen(128)
    return listener
