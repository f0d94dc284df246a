"""What people do with a group on Redis from outside: see what is pending or dead-lettered, redrive or discard it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import cast

from event_backbone.connection import RedisConnection, Script
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.redis.admin_scripts import DISCARD, PENDING, REDRIVE
from event_backbone.stream.redis.attempt_notes import failed_attempts, redrives
from event_backbone.stream.redis.moving import MovingGroup
from event_backbone.stream.redis.replies import entries_of, event_key, texts
from event_backbone.stream.redis.script_message import packed
from event_backbone.stream.values import DeadLetter, Entry, GroupDeletion, GroupMove, PendingEntry, Redrive
from event_backbone.wire.fields import (
    DEAD_LETTER_ATTEMPTS,
    DEAD_LETTER_DETAIL,
    DEAD_LETTER_ERROR,
    DEAD_LETTER_PLACE,
    DEAD_LETTER_PREFIX,
    DEAD_LETTER_REASON,
    DEAD_LETTER_REDRIVES,
    DEAD_LETTER_SOURCE,
)
from event_backbone.wire.keys import ATTEMPTS_KEY, DEAD_LETTERS_KEY, REDRIVEN_KEY

_PREFIX = DEAD_LETTER_PREFIX.encode()
_SCANNED_AT_ONCE = 1000
_AT_ONCE = 100  # of a script that acts on dead letters: a millisecond or two, in which the server does nothing else


class RedisGroupAdmin:
    """Implements ``stream.base.GroupAdmin``."""

    def __init__(self, redis: RedisConnection, name: StreamName, group: str) -> None:
        """Administer this group."""
        self._redis = redis
        self._name = name
        self._group = group
        self._moving = MovingGroup(redis, name, group)

    async def pending(self, after: EventKey | None, count: int) -> Sequence[PendingEntry]:
        """Return up to ``count`` pending entries after ``after``, oldest first."""
        if count < 1:
            return ()
        first = "-" if after is None else f"({after.entry_id}"
        with self._errors():
            reply = await self._redis.run(PENDING, (self._name.key,), (self._group, first, count))
        return [self._pending_entry(row) for row in cast("list[list[bytes | int]]", reply)]

    async def dead_letters(self, after: str | None, count: int) -> Sequence[DeadLetter]:
        """Return up to ``count`` dead letters after the one with id ``after``, oldest first."""
        if count < 1:
            return ()
        first = "-" if after is None else f"({EventKey.parse(after).entry_id}"
        with self._errors():
            reply = await self._redis.command("XRANGE", self._dead_key, first, "+", "COUNT", count)
        return [self._dead_letter(row) for row in entries_of(reply, 0)]

    async def newest_dead_letter(self) -> str | None:
        """Return the id of the newest dead letter; None without any."""
        with self._errors():
            reply = await self._redis.command("XREVRANGE", self._dead_key, "+", "-", "COUNT", 1)
        return next((entry.key.entry_id for entry in entries_of(reply, 0)), None)

    async def redrive(self, dead_letters: Sequence[DeadLetter]) -> Sequence[Redrive]:
        """Deliver events to this group again, as if for the first time, and remove their dead letters."""
        replies = await self._act(REDRIVE, dead_letters)
        return [cast("Redrive", each.decode()) for reply in replies for each in texts(reply)]

    async def redrive_archived(
        self, dead_letters: Sequence[DeadLetter], metadata: Mapping[EventKey, bytes]
    ) -> Sequence[Redrive]:
        """Do the same for events that may have left the stream: ``metadata`` has that of the archived ones, as encoded.

        The group reads them when it has read what is in the stream now; no other group handles them. Each counts as
        attempt 1. A full server refuses this with StreamUnavailable, and changes nothing (per hundred dead letters).
        """
        replies = await self._act(REDRIVE, dead_letters, metadata)
        return [cast("Redrive", each.decode()) for reply in replies for each in texts(reply)]

    async def redriven(self, key: EventKey) -> Mapping[EventKey, int]:
        """Return the redriven entries of an event that are not finished, and how often it was redriven by then."""
        found, cursor = set[bytes](), b"0"
        hash_key, notes_key = (self._name.key_of(f"{each}:{self._group}") for each in (REDRIVEN_KEY, ATTEMPTS_KEY))
        with self._errors():
            while True:
                reply = await self._redis.command("HSCAN", hash_key, cursor, "COUNT", _SCANNED_AT_ONCE)
                cursor, items = cast("tuple[bytes, list[bytes]]", tuple(cast("list[object]", reply)))
                pairs = zip(items[::2], items[1::2], strict=True)
                found.update(each for each, event in pairs if event == key.entry_id.encode())
                if cursor == b"0":
                    break
            if not found:
                return {}
            noted = cast("list[bytes | None]", await self._redis.command("HMGET", notes_key, *found))
        keys = [event_key(each, self._name.partition) for each in found]
        return dict(zip(keys, map(redrives, noted), strict=True))

    async def discard(self, dead_letters: Sequence[DeadLetter]) -> int:
        """Remove dead letters and what is noted of their events; return how many there were."""
        return sum(cast("list[int]", await self._act(DISCARD, dead_letters)))

    async def count(self, after: EventKey, until: EventKey) -> int:
        """Return how many events the stream has after ``after``, up to ``until``; not what was redriven for others."""
        return await self._moving.count(after, until)

    async def move(self, position: EventKey) -> GroupMove:
        """Let the group read on after ``position``, and give up what is pending after it."""
        return await self._moving.move(position)

    async def delete(self, *, dead_letters: bool, dry_run: bool = False) -> GroupDeletion:
        """Remove the group and all that is kept of it, unless a consumer of it is alive."""
        return await self._moving.delete(dead_letters=dead_letters, dry_run=dry_run)

    async def _act(
        self, script: Script, letters: Sequence[DeadLetter], metadata: Mapping[EventKey, bytes] | None = None
    ) -> list[object]:
        """Run a script on some dead letters after the other, and return its replies."""
        replies: list[object] = []
        for first in range(0, len(letters), _AT_ONCE):
            some = letters[first : first + _AT_ONCE]
            message: list[object] = [
                self._group,
                [each.id for each in some],
                [each.entry.key.entry_id for each in some],
            ]
            if metadata is not None:
                message.append([metadata.get(each.entry.key, b"") for each in some])
            with self._errors():
                replies.append(await self._redis.run(script, (self._name.key,), (packed(message),)))
        return replies

    @property
    def _dead_key(self) -> str:
        return self._name.key_of(f"{DEAD_LETTERS_KEY}:{self._group}")

    def _pending_entry(self, row: Sequence[bytes | int]) -> PendingEntry:
        entry_id, consumer, idle, attempt, due, note = cast("tuple[bytes, bytes, int, int, bytes, bytes]", tuple(row))
        key, since = event_key(entry_id, self._name.partition), timedelta(milliseconds=idle)
        failed = (*failed_attempts(note, attempt), redrives(note))
        if not due:
            return PendingEntry(key, consumer.decode(), since, attempt, None, *failed)
        return PendingEntry(key, None, since, attempt, datetime.fromtimestamp(float(due) / 1000, UTC), *failed)

    def _dead_letter(self, row: Entry) -> DeadLetter:
        about = {
            name.decode(): value.decode(errors="replace")
            for name, value in row.fields.items()
            if name.startswith(_PREFIX)
        }
        fields = {name: value for name, value in row.fields.items() if not name.startswith(_PREFIX)}
        # Another program may have written it; so it can at least be discarded.
        source = about.get(DEAD_LETTER_SOURCE, "0-0").encode()
        return DeadLetter(
            id=row.key.entry_id,
            entry=Entry(event_key(source, self._name.partition), fields),
            reason=about.get(DEAD_LETTER_REASON, ""),
            detail=about.get(DEAD_LETTER_DETAIL, ""),
            error=about.get(DEAD_LETTER_ERROR, ""),
            place=tuple(about.get(DEAD_LETTER_PLACE, "").splitlines()),
            attempts=int(about.get(DEAD_LETTER_ATTEMPTS, "0")),
            failed_at=row.key.time,
            redrives=int(about.get(DEAD_LETTER_REDRIVES, "0")),
        )

    def _errors(self) -> AbstractContextManager[None]:
        return self._redis.errors(group_missing=f"Stream {self._name.key} has no consumer group {self._group!r}.")
