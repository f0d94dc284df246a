"""Appending what a link forwards, each event once, together with how far the link is."""

from collections.abc import Sequence
from typing import NamedTuple, cast

from event_backbone.connection import RedisConnection, Script, error_prefix
from event_backbone.errors import StreamError, StreamUnavailable
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.redis.append import WRITE_ENTRY, entry_items, id_parts
from event_backbone.stream.redis.entry_ids import ABOVE
from event_backbone.stream.redis.replies import event_key
from event_backbone.stream.redis.script_message import packed
from event_backbone.stream.values import NewEntry
from event_backbone.wire.keys import FORWARDS_KEY
from event_backbone.wire.lua import with_names

_WHOLE_ANSWER = 4  # items

FORWARD = Script(
    with_names(
        """
-- Appends the events of a batch that the link has not forwarded, in order, and moves its checkpoint in the same step.
-- KEYS: stream. Message, flat: name of the link; what it forwards; key after which the batch begins; last key that the
-- batch covers; deduplication window in milliseconds; number of events; for each event its key in the source, and the
-- second and the rest of its id; then for each event the items of it, as APPEND takes them.
-- Returns {checkpoint, appended, known by their event id, error ("": none)}; {""} without a checkpoint; {checkpoint,
-- what the link forwards} if it forwards something else, or the checkpoint is before the batch: then nothing changed.
--
-- Events whose key is not above the checkpoint are skipped: they were appended by a call whose answer was lost, or by
-- another process. So each event is appended once, however old it is. Its id is remembered as APPEND does, and one that
-- the stream remembers is not appended: it came another way. At the first error the checkpoint stays before that event.
local stream = KEYS[1]
local base = '{' .. stream .. '}:'
local call, pcall, unpack, find, sub = redis.call, redis.pcall, unpack, string.find, string.sub
local message = cmsgpack.unpack(ARGV[1])
local name, link, begins, covers, window, events = unpack(message, 1, 6)
$ABOVE
local forwards = base .. '$FORWARDS_KEY'
local noted = call('HGET', forwards, name)
if not noted then return {''} end
local space = find(noted, ' ', 1, true)
local checkpoint = sub(noted, 1, space - 1)
if sub(noted, space + 1) ~= link or above(begins, checkpoint) then return {checkpoint, sub(noted, space + 1)} end
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at, appended, known, failed, is_new, expiring = 3 * events + 7, 0, 0, '', false, nil
local reached = checkpoint
for i = 1, events do
  local key, second, id = message[3 * i + 4], message[3 * i + 5], message[3 * i + 6]
  local from, last, answer = at + 2, at + message[at], nil
  local to = at + 1 + message[at + 1]
  is_new = is_new or above(key, checkpoint)
  if is_new then
    local seen = base .. '$SEEN_KEY:' .. second
    if call('HEXISTS', seen, id) == 1 then
      known = known + 1
    else
      $WRITE_ENTRY
      if type(answer) == 'table' then
        failed = answer[1]
        break
      end
      appended = appended + 1
      if now < (second + 1) * 1000 + window then
        local length = find(answer, '-', 1, true)
        local after, sequence = sub(answer, 1, length - 1) - second * 1000, sub(answer, length)
        call('HSET', seen, id, sequence == '-0' and after or after .. sequence)
        if expiring ~= second then
          local expires = (second + 2) * 1000 + window
          if call('PEXPIRETIME', seen) < expires then call('PEXPIREAT', seen, expires) end
          expiring = second
        end
      end
    end
    reached = key
  end
  at = last + 1
end
if failed == '' and above(covers, reached) then reached = covers end
if reached ~= checkpoint then call('HSET', forwards, name, reached .. ' ' .. link) end
return {reached, appended, known, failed}
""".replace("$WRITE_ENTRY", WRITE_ENTRY).replace("$ABOVE", ABOVE)
    )
)


class LinkState(NamedTuple):
    """How far a link is, and what it forwards.

    Attributes:
        name: the link's name.
        checkpoint: the last key of the source that it has passed; ``EventKey(0)`` before the first.
        forwards: what it forwards, as JSON.
    """

    name: str
    checkpoint: EventKey
    forwards: str


class Appended(NamedTuple):
    """What a batch did.

    Attributes:
        checkpoint: the link's checkpoint after it.
        appended: how many events were appended.
        known: how many the stream had already, as they came another way.
        refused: why the event after the checkpoint was not appended; None if all were.
    """

    checkpoint: EventKey
    appended: int
    known: int
    refused: StreamError | None


class RedisForwarding:
    """The links into one stream on Redis. All methods raise StreamUnavailable when the server does not answer."""

    def __init__(self, redis: RedisConnection, stream: StreamName) -> None:
        """Work on the links into this stream."""
        self._redis = redis
        self._stream = stream
        self._key = stream.key_of(FORWARDS_KEY)

    async def links(self) -> list[LinkState]:
        """Return all links, by name."""
        with self._redis.errors():
            reply = cast("list[bytes]", await self._redis.command("HGETALL", self._key))
        pairs = zip(reply[::2], reply[1::2], strict=True)
        return sorted(_link(name.decode(errors="replace"), value) for name, value in pairs)

    async def link(self, name: str) -> LinkState | None:
        """Return a link; None if Redis has no checkpoint of it."""
        with self._redis.errors():
            value = await self._redis.command("HGET", self._key, name)
        return None if value is None else _link(name, cast("bytes", value))

    async def begin(self, link: LinkState) -> None:
        """Note the checkpoint of a link unless there is one. May be called again."""
        with self._redis.errors():
            await self._redis.command("HSETNX", self._key, link.name, f"{link.checkpoint.entry_id} {link.forwards}")

    async def append(
        self,
        link: LinkState,
        entries: Sequence[tuple[EventKey, NewEntry]],
        covers: EventKey,
        window_milliseconds: int,
    ) -> Appended | None:
        """Append the entries, each with its key in the source, and move the checkpoint to ``covers``, in one step.

        ``link.checkpoint`` is where the batch begins: it covers all events after it. None says that the link is not
        there, or forwards something else, or is not that far: read it again. May be called again; what an earlier call
        has appended is not counted then.
        """
        message: list[object] = [link.name, link.forwards, link.checkpoint.entry_id, covers.entry_id]
        message += (window_milliseconds, len(entries))
        rest: list[object] = []
        for key, entry in entries:
            message += (key.entry_id, *id_parts(entry.event_id))
            items = entry_items(entry)
            rest.append(len(items))
            rest += items
        with self._redis.errors():
            reply = await self._redis.run(FORWARD, (self._stream.key,), (packed(message + rest),))
        answer = cast("list[bytes]", reply)
        if len(answer) < _WHOLE_ANSWER:
            return None
        checkpoint, appended, known, failed = cast("tuple[bytes, int, int, bytes]", tuple(answer))
        refused = _refused(failed.decode(errors="replace")) if failed else None
        return Appended(event_key(checkpoint, link.checkpoint.partition), appended, known, refused)


def _link(name: str, value: bytes) -> LinkState:
    checkpoint, _, forwards = value.partition(b" ")
    return LinkState(name, event_key(checkpoint, 0), forwards.decode(errors="replace"))


def _refused(text: str) -> StreamError:
    word = error_prefix(text)
    if word == "WRONGTYPE":
        return StreamError("Redis holds other data under a key of this event; choose another URI or environment.")
    return StreamUnavailable(f"Redis refuses to append for now ({word}).")
