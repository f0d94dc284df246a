"""Messages to scripts: one packed argument, because each argument costs (see decision 0004)."""

from datetime import timedelta
from importlib import import_module
from typing import Protocol, cast


class _Packer(Protocol):
    def packb(self, message: object, *, use_bin_type: bool) -> bytes: ...


_MILLISECOND = timedelta(milliseconds=1)
_PACKER = cast("_Packer", import_module("msgpack"))  # it has no types


def packed(message: object) -> bytes:
    """Pack for the server's cmsgpack, which has no type for bytes: text and bytes are packed alike."""
    return _PACKER.packb(message, use_bin_type=False)


def milliseconds(duration: timedelta, *, least: int = 1) -> int:
    """Return whole milliseconds, and at least ``least``."""
    return max(least, duration // _MILLISECOND)
