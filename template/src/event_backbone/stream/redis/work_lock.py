"""Who does a piece of work on a stream that any process may do, and one at a time should."""

from datetime import timedelta

from event_backbone.connection import ALLOW_OOM, RedisConnection, Script
from event_backbone.model import StreamName
from event_backbone.stream.redis.script_message import milliseconds

_HOLD = Script(
    ALLOW_OOM
    + """
-- Takes or renews a lock. KEYS: lock. ARGV: token, milliseconds.
-- Returns 1 if it is renewed, 2 if it was free; 0 if another token has it.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return holder and 1 or 2
"""
)

_LET_GO = Script(
    ALLOW_OOM
    + """
-- Gives up a lock. KEYS: lock. ARGV: token.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""
)


_TAKEN = 2


class WorkLock:
    """A lock that its holder renews. It saves work; who needs more than that compares the token in a script.

    Both methods may be called twice, and raise StreamUnavailable when Redis does not answer.
    """

    def __init__(self, redis: RedisConnection, name: StreamName, purpose: str, token: str) -> None:
        """Prepare the lock of a stream under this purpose, for whoever has this token."""
        self._redis = redis
        self._key = name.key_of(purpose)
        self.token = token
        self.was_free = False
        """Whether nobody had the lock when it was last taken: another process may have had it in between."""

    async def hold(self, keep: timedelta) -> bool:
        """Take the lock for ``keep``, or keep it for so long; return False if another process has it."""
        with self._redis.errors():
            held = await self._redis.run(_HOLD, (self._key,), (self.token, milliseconds(keep)))
        self.was_free = held == _TAKEN
        return held != 0

    async def let_go(self) -> None:
        """Give up the lock, if it is held."""
        with self._redis.errors():
            await self._redis.run(_LET_GO, (self._key,), (self.token,))
