"""Which argument of a command is its key: that of every command which this package sends."""

from __future__ import annotations

from collections.abc import Sequence

from event_backbone.connection.pool import Argument

_WITHOUT_KEY = frozenset({"CLIENT", "CLUSTER", "CONFIG", "INFO", "PING", "ROLE", "SCAN", "TIME"})
_SCRIPTS = frozenset({"EVAL", "EVALSHA"})
_BEFORE_KEYS = "STREAMS"  # of the commands that read several streams


def key_of(parts: Sequence[Argument]) -> str | None:
    """Return the first key of a command, or None if it has none."""
    name = str(parts[0]).partition(" ")[0]
    if name in _WITHOUT_KEY or len(parts) == 1:
        return None
    if name in _SCRIPTS:
        return str(parts[3]) if parts[2] else None
    if _BEFORE_KEYS in parts:
        return str(parts[parts.index(_BEFORE_KEYS) + 1])
    return str(parts[1])
