"""One command to an embedded server, over its unix socket: for starting and testing it without a Redis client."""

import socket
from io import BufferedReader
from pathlib import Path
from typing import TypeAlias

Reply: TypeAlias = "bytes | int | list[Reply] | None"


class RefusedCommand(Exception):
    """The server answered with an error; the text is the server's."""


def ask(path: Path, *parts: str | int, timeout_seconds: float) -> Reply:
    """Send one command and return the reply.

    Raises:
        OSError: nobody answers at this socket, or not in time.
        RefusedCommand: the reply is an error.
    """
    words = [str(part).encode() for part in parts]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_seconds)
        connection.connect(str(path))
        connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
        with connection.makefile("rb") as stream:
            return _read(stream)


def lines_of(reply: Reply) -> list[str]:
    """The lines of a text, such as that of INFO."""
    return reply.decode().splitlines() if isinstance(reply, bytes) else []


def items_of(reply: Reply) -> list[Reply]:
    """The items of a list."""
    return reply if isinstance(reply, list) else []


def texts_of(reply: Reply) -> list[str]:
    """The items of a list of texts and numbers, as texts."""
    return [each.decode() if isinstance(each, bytes) else str(each) for each in items_of(reply)]


def named_values_of(reply: Reply) -> dict[str, str]:
    """A list of names and values in turn."""
    texts = texts_of(reply)
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _read(stream: BufferedReader) -> Reply:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("The connection was closed within a reply.")
    kind, value = line[:1], line[1:-2]
    if kind == b"-":
        raise RefusedCommand(value.decode(errors="replace"))
    if kind == b"+":
        return value
    length = int(value)
    if kind == b":":
        return length
    if length < 0:
        return None
    if kind == b"*":
        return [_read(stream) for _ in range(length)]
    return stream.read(length + 2)[:-2]
