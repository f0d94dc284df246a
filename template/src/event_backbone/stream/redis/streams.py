"""Opens streams and groups on one Redis server."""

from datetime import timedelta

from event_backbone.connection import RedisConnection
from event_backbone.model import StreamName
from event_backbone.stream.redis.admin import RedisGroupAdmin
from event_backbone.stream.redis.group_reader import RedisGroupReader
from event_backbone.stream.redis.leases import RedisGroupLeases
from event_backbone.stream.redis.stream import RedisStream


class RedisStreams:
    """Streams on Redis >= 7.0 or Valkey >= 7.2. Implements ``stream.base.Streams``.

    ``deduplicate_for`` is how long, from the time in the id, an event id is recognised; after that it is refused. It
    must be the same in every process that writes to a stream. With ``min_replicas``, appending waits for as many.
    """

    def __init__(
        self, connection: RedisConnection, *, deduplicate_for: timedelta = timedelta(minutes=10), min_replicas: int = 0
    ) -> None:
        """Use this connection, which ``close`` closes."""
        self._connection = connection
        self._deduplicate_for = deduplicate_for
        self._min_replicas = min_replicas

    def stream(self, name: StreamName) -> RedisStream:
        """Return the stream of this name, which need not exist yet."""
        return RedisStream(self._connection, name, self._deduplicate_for, self._min_replicas)

    def group_reader(self, name: StreamName, group: str, member: str) -> RedisGroupReader:
        """Return one member's reader; it keeps a connection from its first read until ``leave``."""
        return RedisGroupReader(self._connection, name, group, member)

    def group_leases(self, name: StreamName, group: str, member: str) -> RedisGroupLeases:
        """Return one member's leases."""
        return RedisGroupLeases(self._connection, name, group, member)

    def group_admin(self, name: StreamName, group: str) -> RedisGroupAdmin:
        """Return a group's administration."""
        return RedisGroupAdmin(self._connection, name, group)

    async def check(self) -> None:
        """Check that the server answers, or every primary of a cluster, and its version and eviction policy.

        Without the right to INFO only the first is checked.
        """
        with self._connection.errors():
            await self._connection.command_on_each("PING")
            await self._connection.examine()

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        await self._connection.close()
