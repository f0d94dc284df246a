"""The lock of whoever builds a stream beside the live one, a restore or a migration, and the calls that build it."""

from datetime import timedelta

from event_backbone.connection import RedisConnection, Script
from event_backbone.errors import StreamError
from event_backbone.model import StreamName
from event_backbone.stream.redis.restoring_scripts import BEGIN, END, LOST, OTHER, RENEW
from event_backbone.stream.redis.script_message import milliseconds, packed


class RedisReplacing:
    """Holds the lock of one stream. Make one call of ``run`` after the other.

    Raises:
        StreamUnavailable: Redis does not answer, or refuses for now.
        StreamError: another one has the lock, or a failover has lost a part of what was built: run it again.
        ConfigurationError: Redis holds other data under a key of the stream.
    """

    def __init__(self, redis: RedisConnection, name: StreamName) -> None:
        """Build this stream again, which need not exist.

        The messages are large, so ``redis`` should be a connection that no producer or consumer shares.
        """
        self._redis = redis
        self._name = name
        self._token = ""
        self._step = 0

    async def begin(self, token: str, keep: timedelta) -> bool:
        """Take the lock for ``keep`` and begin from nothing; return False while another token has it.

        Removes what an earlier holder left behind. With the same token it begins again.
        """
        with self._redis.errors():
            reply = await self._redis.run(BEGIN, (self._name.key,), (token, milliseconds(keep)))
        self._token, self._step = token, 0
        return reply == 1

    async def restart(self, keep: timedelta) -> None:
        """Begin from nothing, with the lock that is held."""
        if not await self.begin(self._token, keep):
            self._checked(OTHER)

    async def renew(self, keep: timedelta) -> None:
        """Keep the lock for ``keep`` from now on; also while another call is under way."""
        with self._redis.errors():
            self._checked(await self._redis.run(RENEW, (self._name.key,), (self._token, milliseconds(keep))))

    async def end(self) -> None:
        """Give up the lock, and remove what was built unless it was swapped. Does nothing without the lock."""
        with self._redis.errors():
            await self._redis.run(END, (self._name.key,), (self._token,))

    async def run(self, script: Script, *items: object) -> object:
        """Run a script as the next call; after a lost answer it is run again, which changes nothing."""
        message = packed([self._token, self._step + 1, *items])
        with self._redis.errors():
            reply = await self._redis.run_pipelined(script, (self._name.key,), (message,))
        self._checked(reply)
        self._step += 1
        return reply

    def _checked(self, reply: object) -> None:
        if reply == OTHER:
            raise StreamError(
                f"Another restore or migration of stream {self._name.key} is under way, or this one was suspended for "
                "too long; run it again when no other is."
            )
        if reply == LOST:
            raise StreamError(
                f"Redis has lost a part of what was built again of stream {self._name.key}; run it again."
            )
