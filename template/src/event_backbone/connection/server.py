"""Which servers events can be entrusted to, judged by INFO, since managed servers forbid CONFIG."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, NamedTuple

from redis.exceptions import ResponseError

from event_backbone.connection.errors import prefix_of
from event_backbone.errors import ConfigurationError
from event_backbone.settings import REDIS_ENDPOINT_VARIABLE, RedisSettings

_OLDEST: Mapping[str, tuple[int, int]] = {"Redis": (7, 0), "Valkey": (7, 2)}
_INFO_DENIED = frozenset({"NOPERM", "ERR"})  # ERR: the command is unknown, renamed, or denied by a proxy

SERVER_LOGGER = "event_backbone.server"
_log = logging.getLogger(SERVER_LOGGER)


class ServerCheck:
    """Refuses a server that would lose events, and warns once about what may lose some."""

    def __init__(self, settings: RedisSettings) -> None:
        """Judge the servers that these settings lead to."""
        self._address = settings.described
        self._topology = settings.topology
        self._warnings: set[str] = set()

    async def examine(self, send: Callable[[str], Awaitable[object]]) -> None:
        """Send INFO and judge the reply; a server that denies INFO is not refused.

        Raises:
            ConfigurationError: the server is too old, may evict whole streams, or is not what the settings say.
        """
        try:
            reply = await send("INFO")
        except ResponseError as error:
            if prefix_of(error) in _INFO_DENIED:
                return
            raise
        if not isinstance(reply, bytes):
            return
        info = info_fields(reply)
        self._refuse_another_kind(info.get("server_mode") or info.get("redis_mode", ""))  # Valkey's name, Redis'
        self._refuse_old(version_of(info))
        policy, evicted = info.get("maxmemory_policy", ""), evicts(info)
        if evicted == "streams":
            raise ConfigurationError(
                f"Redis at {self._address} may evict whole streams (maxmemory-policy {policy}); set it to noeviction."
            )
        if evicted == "expiring keys":
            self._warn(f"may delete payloads before they expire (maxmemory-policy {policy}); set it to noeviction.")
        if info.get("aof_enabled") == "0":
            self._warn("has no append-only file: a restart may lose events; set appendonly to yes.")

    def _refuse_another_kind(self, mode: str) -> None:
        """Refuse a node of a cluster and a Sentinel where the settings name a server."""
        if mode == "sentinel":
            raise ConfigurationError(
                f"Redis at {self._address} is a Sentinel; use redis+sentinel:// with the service that it monitors in "
                f"{REDIS_ENDPOINT_VARIABLE}."
            )
        if mode == "cluster" and self._topology != "cluster":
            raise ConfigurationError(
                f"Redis at {self._address} is a node of a cluster; use redis+cluster:// in {REDIS_ENDPOINT_VARIABLE}."
            )

    def _refuse_old(self, version: "ServerVersion") -> None:
        if version.too_old:
            raise ConfigurationError(f"{version} at {self._address} is too old; run {version.oldest} or later.")

    def _warn(self, what: str) -> None:
        if what not in self._warnings:
            self._warnings.add(what)
            _log.warning("Redis at %s %s", self._address, what)


class ServerVersion(NamedTuple):
    """A server's name, Redis or Valkey, and its version as text, which is empty when the server does not say it."""

    name: str
    text: str

    def __str__(self) -> str:
        """Return both."""
        return f"{self.name} {self.text}"

    @property
    def oldest(self) -> str:
        """The oldest version of this server that is supported, with its name."""
        return f"{self.name} {'.'.join(map(str, _OLDEST[self.name]))}"

    @property
    def too_old(self) -> bool:
        """Whether the version is known, and older than the oldest that is supported."""
        numbers = tuple(int(part) for part in re.findall(r"\d+", self.text)[:2])
        return bool(numbers) and numbers < _OLDEST[self.name]


def version_of(info: Mapping[str, str]) -> ServerVersion:
    """Return the version of a server with these fields of INFO."""
    if "valkey_version" in info:
        return ServerVersion("Valkey", info["valkey_version"])
    return ServerVersion("Redis", info.get("redis_version", ""))


def info_fields(reply: bytes) -> dict[str, str]:
    """Read the reply to INFO."""
    lines = reply.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def evicts(info: Mapping[str, str]) -> Literal["streams", "expiring keys"] | None:
    """Return what a server with these fields of INFO may evict; without maxmemory that is nothing."""
    policy = info.get("maxmemory_policy", "")
    if info.get("maxmemory") == "0":
        return None
    if policy.startswith("allkeys-"):
        return "streams"
    return "expiring keys" if policy.startswith("volatile-") else None
