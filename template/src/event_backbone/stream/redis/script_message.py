"""Messages to scripts: one packed argument, because the cost of a call is the number of its arguments."""

from datetime import timedelta
from importlib import import_module
from typing import Protocol, cast


class _Packer(Protocol):
    def packb(self, message: object, *, use_bin_type: bool) -> bytes: ...


_PACKER = cast("_Packer", import_module("msgpack"))  # it brings no types


def packed(message: object) -> bytes:
    """Pack for the server's cmsgpack, which does not know the type for bytes: text and bytes travel alike."""
    return _PACKER.packb(message, use_bin_type=False)


def milliseconds(duration: timedelta, *, least: int = 1) -> int:
    """Return a duration as scripts take it: what is shorter than a millisecond is ``least``."""
    return max(least, duration // timedelta(milliseconds=1))
