"""Is a server one that events can be entrusted to? Asked by INFO, since managed servers forbid CONFIG."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from redis.exceptions import ResponseError

from event_backbone.connection.errors import word_of
from event_backbone.errors import ConfigurationError

_OLDEST_MAJOR = 7
_NOT_TO_BE_ASKED = frozenset({"NOPERM", "ERR"})  # ERR: the command is unknown, renamed, or denied by a proxy

_log = logging.getLogger("event_backbone")


class ServerCheck:
    """Refuses a server that would lose events, and warns once of what may lose some."""

    def __init__(self, address: str) -> None:
        """Judge the server at this address, which must hold no password."""
        self._address = address
        self._warnings: set[str] = set()

    async def examine(self, ask: Callable[[str], Awaitable[object]]) -> None:
        """Send INFO by ``ask`` and judge the answer; a server that may not be asked is not refused.

        Raises:
            ConfigurationError: the server is too old, or may evict whole streams.
        """
        try:
            answer = await ask("INFO")
        except ResponseError as error:
            if word_of(error) in _NOT_TO_BE_ASKED:
                return
            raise
        if not isinstance(answer, bytes):
            return
        info = info_fields(answer)
        self._refuse_old(info.get("redis_version", ""))
        policy, evicted = info.get("maxmemory_policy", ""), evicts(info)
        if evicted == "streams":
            raise ConfigurationError(
                f"Redis at {self._address} may evict whole streams (maxmemory-policy {policy}); set it to noeviction."
            )
        if evicted == "expiring keys":
            self._warn(f"may delete payloads before they expire (maxmemory-policy {policy}); set it to noeviction.")
        if info.get("aof_enabled") == "0":
            self._warn("has no append-only file: a restart may lose events; set appendonly to yes.")

    def _refuse_old(self, version: str) -> None:
        major = version.partition(".")[0]
        if major.isdigit() and int(major) < _OLDEST_MAJOR:
            raise ConfigurationError(f"Redis at {self._address} has version {version}; 7.0 is the oldest that will do.")

    def _warn(self, what: str) -> None:
        if what not in self._warnings:
            self._warnings.add(what)
            _log.warning("Redis at %s %s", self._address, what)


def info_fields(answer: bytes) -> dict[str, str]:
    """Read the answer to INFO."""
    lines = answer.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def evicts(info: Mapping[str, str]) -> Literal["streams", "expiring keys"] | None:
    """Return what a server with these fields of INFO may evict; without maxmemory that is nothing."""
    policy = info.get("maxmemory_policy", "")
    if info.get("maxmemory") == "0":
        return None
    if policy.startswith("allkeys-"):
        return "streams"
    return "expiring keys" if policy.startswith("volatile-") else None
