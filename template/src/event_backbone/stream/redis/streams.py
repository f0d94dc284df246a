"""Opens streams and groups on one Redis server."""

from datetime import timedelta
from typing import cast

from event_backbone.connection import RedisConnection
from event_backbone.errors import ConfigurationError, StreamError
from event_backbone.metadata import StreamName
from event_backbone.stream.redis.admin import RedisGroupAdmin
from event_backbone.stream.redis.leases import RedisGroupLeases
from event_backbone.stream.redis.reader import RedisGroupReader
from event_backbone.stream.redis.stream import RedisStream

_OLDEST_VERSION = 7


class RedisStreams:
    """Streams on Redis >= 7.0 or Valkey >= 7.2. Implements ``stream.base.Streams``.

    ``deduplicate_for`` is how long an event id is recognised, by the id's own time, and then refused; it must be the
    same in every process that writes to a stream.
    """

    def __init__(self, connection: RedisConnection, *, deduplicate_for: timedelta = timedelta(minutes=10)) -> None:
        """Use this connection, and close it with ``close``."""
        self._connection = connection
        self._deduplicate_for = deduplicate_for

    def stream(self, name: StreamName) -> RedisStream:
        """Return the stream of this name, which need not exist yet."""
        return RedisStream(self._connection, name, self._deduplicate_for)

    def group_reader(self, name: StreamName, group: str, member: str) -> RedisGroupReader:
        """Return one member's reading side; it keeps a connection from its first read until ``leave``."""
        return RedisGroupReader(self._connection, name, group, member)

    def group_leases(self, name: StreamName, group: str, member: str) -> RedisGroupLeases:
        """Return one member's leases."""
        return RedisGroupLeases(self._connection, name, group, member)

    def group_admin(self, name: StreamName, group: str) -> RedisGroupAdmin:
        """Return a group's administration."""
        return RedisGroupAdmin(self._connection, name, group)

    async def check(self) -> None:
        """Ask for the server's version and eviction policy; raise when there is no answer, or the wrong one.

        A user who may not ask for them is only asked for a sign of life.
        """
        with self._connection.errors():
            await self._connection.command("PING")
        try:
            with self._connection.errors():
                answers = [await self._connection.command("INFO", section) for section in ("server", "memory")]
        except (ConfigurationError, StreamError):
            return
        about = dict(
            line.split(":", 1) for line in b"".join(cast("list[bytes]", answers)).decode().split() if ":" in line
        )
        _refuse_old(about.get("redis_version", ""), self._connection.settings.described)
        _refuse_eviction(about.get("maxmemory_policy", ""), self._connection.settings.described)

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        await self._connection.close()


def _refuse_old(version: str, address: str) -> None:
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < _OLDEST_VERSION:
        raise ConfigurationError(f"Redis at {address} has version {version}; 7.0 is the oldest that will do.")


def _refuse_eviction(policy: str, address: str) -> None:
    if policy.startswith("allkeys-"):
        raise ConfigurationError(
            f"Redis at {address} may evict whole streams (maxmemory-policy {policy}); set it to noeviction."
        )
