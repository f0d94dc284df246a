"""What the archiver notes in Redis: how far the archive is, who works on it, and what was erased meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from event_backbone.connection import ALLOW_OOM, RedisConnection, Script
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.redis.entry_ids import ABOVE, LAST_ID
from event_backbone.stream.redis.replies import entries_of, event_key, texts
from event_backbone.stream.values import Entry
from event_backbone.wire import is_redriven
from event_backbone.wire.fields import COMMITTED_FIELD, COMMITTING_FIELD, METADATA_FIELD
from event_backbone.wire.keys import ARCHIVE_KEY, ERASED_KEY
from event_backbone.wire.lua import with_names

_ERASED_AT_ONCE = 1000
_ENTRIES_AT_ONCE = 20
_START = "0-0"

ErasedPart = tuple[EventKey, str | None]
"""The key of an erased event, and the storage whose part of the payload was erased; None means all of it."""


def _script(*parts: str) -> Script:
    return Script(with_names("".join(parts)))


_READ = _script(
    """
-- Returns {1 if there are notes of an archiver, else 0; id of the newest entry there ever was ("0-0": none); committed;
-- committing; follows; complete-from}, each of the last four nil if it is not noted. KEYS: stream.
-- Retention notes complete-from, which says nothing of an archiver.
""",
    LAST_ID,
    """
local archive = '{' .. KEYS[1] .. '}:$ARCHIVE_KEY'
local noted = redis.call(
  'HMGET', archive, '$COMMITTED_FIELD', '$COMMITTING_FIELD', '$FOLLOWS_FIELD', '$COMPLETE_FROM_FIELD')
return {noted[2] and 1 or 0, last_id(KEYS[1]), unpack(noted)}
""",
)

_BEGIN = _script(
    ALLOW_OOM,
    """
-- Notes the key up to which an archiver sets out to commit. KEYS: stream. ARGV: entry id, id of the last one that is in
-- the archive.
-- Returns 1; 0 if nothing was changed, as Redis has lost events, or a restore is under way.
-- Keeps promise 11: a segment that Redis has not noted before is evidence of a loss, which no later note may cover up.
""",
    ABOVE,
    LAST_ID,
    """
local base, id = '{' .. KEYS[1] .. '}:', ARGV[1]
local archive = base .. '$ARCHIVE_KEY'
local committing = redis.call('HGET', archive, '$COMMITTING_FIELD')
if not committing or above(ARGV[2], committing) then return 0 end
if above(id, last_id(KEYS[1])) or redis.call('EXISTS', base .. '$RESTORE_KEY') == 1 then return 0 end
if above(id, committing) then redis.call('HSET', archive, '$COMMITTING_FIELD', id) end
return 1
""",
)

_COMMIT = _script(
    ALLOW_OOM,
    """
-- Notes what was committed, unless that is older than what is noted, or Redis does not know that anyone set out to
-- commit it, and so has lost events. KEYS: stream. ARGV: id of the last entry, id that its segment follows.
""",
    ABOVE,
    """
local archive = '{' .. KEYS[1] .. '}:$ARCHIVE_KEY'
local noted = redis.call('HMGET', archive, '$COMMITTED_FIELD', '$COMMITTING_FIELD')
if noted[1] and noted[2] and above(ARGV[1], noted[1]) and not above(ARGV[1], noted[2]) then
  redis.call('HSET', archive, '$COMMITTED_FIELD', ARGV[1], '$FOLLOWS_FIELD', ARGV[2])
end
return 1
""",
)

_DISTRUST = _script(
    ALLOW_OOM,
    """
-- Forgets up to where archivers have set out to commit, beyond what is noted as committed. KEYS: stream.
local archive = '{' .. KEYS[1] .. '}:$ARCHIVE_KEY'
local committed = redis.call('HGET', archive, '$COMMITTED_FIELD')
if committed then redis.call('HSET', archive, '$COMMITTING_FIELD', committed) end
return 1
""",
)

_PAGE = _script("""
-- Reads entries, and from where the stream has no gaps, at one moment. KEYS: stream. ARGV: as those of XRANGE.
-- Returns {entries; complete-from (nil: not noted); 1 if there are notes of an archiver, else 0}.
local archive = '{' .. KEYS[1] .. '}:$ARCHIVE_KEY'
return {
  redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3]),
  redis.call('HGET', archive, '$COMPLETE_FROM_FIELD'),
  redis.call('HEXISTS', archive, '$COMMITTING_FIELD'),
}
""")

_NOTE_ERASED = _script(
    ALLOW_OOM,
    """
-- Notes erased events; also on a full server, because erasing must not wait. KEYS: stream. ARGV: members.
return redis.call('SADD', '{' .. KEYS[1] .. '}:$ERASED_KEY', unpack(ARGV))
""",
)


@dataclass(frozen=True, slots=True)
class ArchiveNote:
    """What Redis knows of a stream's archive. Each of the first four is None if it is not noted.

    Attributes:
        committed: the last key that was committed.
        committing: the greatest key up to which an archiver has set out to commit.
        follows: the key that the last committed segment follows.
        complete_from: the key from which the stream has no gaps; None means that it has none anywhere.
        last_key: the newest key there ever was in the stream; ``EventKey(0)`` when there was none.
        exists: whether there are notes of an archiver.
    """

    committed: EventKey | None
    committing: EventKey | None
    follows: EventKey | None
    complete_from: EventKey | None
    last_key: EventKey
    exists: bool


class ArchiveNotes:
    """The notes of one stream's archive. Every method may be called twice, and raises StreamUnavailable in outages."""

    def __init__(self, redis: RedisConnection, name: StreamName) -> None:
        """Keep the notes of this stream, which need not exist yet."""
        self._redis = redis
        self._name = name

    async def read(self) -> ArchiveNote:
        """Return what is noted, and the stream's newest key, at one moment."""
        reply = await self._run(_READ)
        exists, last, *noted = cast("tuple[int, bytes, *tuple[bytes | None, ...]]", reply)
        committed, committing, follows, complete_from = (None if each is None else self._key(each) for each in noted)
        return ArchiveNote(committed, committing, follows, complete_from, self._key(last), exists=exists == 1)

    async def create(self) -> None:
        """Create the notes unless they exist. Only for a stream of which S3 has no segment."""
        key = self._name.key_of(ARCHIVE_KEY)
        with self._redis.errors():
            for field in (COMMITTED_FIELD, COMMITTING_FIELD):
                await self._redis.command("HSETNX", key, field, _START)

    async def begin(self, key: EventKey, follows: EventKey) -> bool:
        """Note that a segment up to ``key``, which follows ``follows``, is about to be committed.

        Returns False, and changes nothing, if Redis has lost events, because the hash is missing, or nobody set out to
        commit ``follows``, or the stream never had ``key``; also while a restore is under way, which gives live entries
        other keys.
        """
        return await self._run(_BEGIN, key.entry_id, follows.entry_id) == 1

    async def distrust(self) -> None:
        """Note that Redis has lost events which are in the archive: what anyone set out to commit is forgotten."""
        await self._run(_DISTRUST)

    async def commit(self, committed: EventKey, follows: EventKey) -> None:
        """Note the last committed key, and the key that its segment follows.

        Keeps what is noted of a later segment, and notes nothing if the hash is missing, or is of a time before anyone
        set out to commit it.
        """
        await self._run(_COMMIT, committed.entry_id, follows.entry_id)

    async def page(
        self, after: EventKey, end: EventKey | None, count: int
    ) -> tuple[Sequence[Entry], EventKey | None, bool]:
        """Return up to ``count`` entries after ``after`` and before ``end`` (None: to the newest), oldest first.

        With them, of the same moment: the key from which the stream has no gaps (None: it has none), and whether
        there are notes of an archiver.
        """
        last = "+" if end is None else end.predecessor().entry_id
        reply = await self._run(_PAGE, f"({after.entry_id}", last, count)
        entries, complete_from, exists = cast("tuple[object, bytes | None, int]", reply)
        complete = None if complete_from is None else self._key(complete_from)
        return entries_of(entries, self._name.partition), complete, exists == 1

    async def document(self, key: EventKey) -> bytes | None:
        """Return the encoded metadata of the entry with this key; None if the stream has none."""
        with self._redis.errors():
            reply = await self._redis.command("XRANGE", self._name.key, key.entry_id, key.entry_id)
        found = entries_of(reply, self._name.partition)
        return found[0].fields.get(METADATA_FIELD.encode()) if found else None

    async def oldest_after(self, key: EventKey) -> EventKey | None:
        """Return the key of the first event after ``key``; None without one."""
        while True:
            call = ("XRANGE", self._name.key, f"({key.entry_id}", "+", "COUNT", _ENTRIES_AT_ONCE)
            with self._redis.errors():
                entries = entries_of(await self._redis.command(*call), self._name.partition)
            found = next((entry.key for entry in entries if not is_redriven(entry.fields)), None)
            if found is not None or not entries:
                return found
            key = entries[-1].key

    async def note_erased(self, parts: Sequence[ErasedPart]) -> None:
        """Note what was erased, until the archive has erased it too. Works on a full server."""
        for first in range(0, len(parts), _ERASED_AT_ONCE):
            await self._run(_NOTE_ERASED, *map(_member, parts[first : first + _ERASED_AT_ONCE]))

    async def erased(self) -> frozenset[ErasedPart]:
        """Return what is noted as erased; of what is noted or forgotten meanwhile, some may be missing."""
        found: set[ErasedPart] = set()
        cursor = b"0"
        while True:
            with self._redis.errors():
                reply = await self._redis.command(
                    "SSCAN", self._name.key_of(ERASED_KEY), cursor, "COUNT", _ERASED_AT_ONCE
                )
            cursor, members = cast("tuple[bytes, list[bytes]]", tuple(cast("list[object]", reply)))
            found.update(map(self._erased_part, texts(members)))
            if cursor == b"0":
                return frozenset(found)

    async def forget_erased(self, parts: Sequence[ErasedPart]) -> None:
        """Forget what the archive has erased too."""
        for first in range(0, len(parts), _ERASED_AT_ONCE):
            some = map(_member, parts[first : first + _ERASED_AT_ONCE])
            with self._redis.errors():
                await self._redis.command("SREM", self._name.key_of(ERASED_KEY), *some)

    async def _run(self, script: Script, *arguments: str | int) -> object:
        with self._redis.errors():
            return await self._redis.run(script, (self._name.key,), arguments)

    def _key(self, entry_id: bytes) -> EventKey:
        return event_key(entry_id, self._name.partition)

    def _erased_part(self, member: bytes) -> ErasedPart:
        entry_id, _, storage = member.partition(b" ")
        return self._key(entry_id), storage.decode() or None


def _member(part: ErasedPart) -> str:
    key, storage = part
    return key.entry_id if storage is None else f"{key.entry_id} {storage}"
