"""Builds a stream beside the live one, from its archive and its live entries, and puts it into its place."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, cast
from uuid import UUID

from event_backbone.model import EventKey, HashWrite, Payload
from event_backbone.stream.redis.replacing import RedisReplacing
from event_backbone.stream.redis.restoring_group_scripts import (
    SET_DEAD_LETTERS,
    SET_FOLLOW_UPS,
    SET_GROUP,
    SET_PENDING,
)
from event_backbone.stream.redis.restoring_scripts import (
    ADD,
    COPY_LIVE,
    REMEMBER,
)
from event_backbone.stream.redis.script_message import milliseconds
from event_backbone.stream.redis.swap_script import SWAP
from event_backbone.stream.values import NOT_INLINE, DeadLetter
from event_backbone.wire.fields import (
    DEAD_LETTER_ATTEMPTS,
    DEAD_LETTER_DETAIL,
    DEAD_LETTER_ERROR,
    DEAD_LETTER_PLACE,
    DEAD_LETTER_REASON,
    DEAD_LETTER_REDRIVES,
    DEAD_LETTER_SOURCE,
    INLINE_PREFIX,
)

_SECOND_BYTES = 4  # of an event id; the next 12 bytes tell apart all ids of one second
_AT_ONCE = 1000
_DEAD_LETTERS_AT_ONCE = 100


class RestoredEntry(NamedTuple):
    """An archived entry: its key, its encoded metadata, the hashes of its payload, or the payload if it is inline."""

    key: EventKey
    metadata: bytes
    writes: tuple[HashWrite, ...] = ()
    inline: Payload = NOT_INLINE


@dataclass(frozen=True, slots=True)
class LiveCopy:
    """What became of live entries.

    Attributes:
        copied: how many were copied, those that were moved included.
        skipped: how many were not, because their event is there already.
        moved: how many got another key.
        more: whether there were more live entries.
    """

    copied: int
    skipped: int
    moved: int
    more: bool


class RedisRestoring(RedisReplacing):
    """One restore of one stream.

    Only ``swap`` changes the live stream, and ``remember`` and ``copy_live`` what it remembers of event ids. Everything
    else is beside it. Make one call after the other. Each may be made again after it raised StreamUnavailable, and the
    restore goes on, except that ``begin`` begins again from nothing.

    A full server refuses what makes it fuller (``remember``, ``add``, ``copy_live``, ``set_group``) with
    StreamUnavailable, and changes nothing; ``begin``, ``swap`` and ``end`` work on it.

    Raises:
        StreamUnavailable: Redis does not answer, or refuses for now.
        StreamError: the lock is another restore's, or a failover has lost a part of what was built: run it again.
        ConfigurationError: Redis holds other data under a key of the stream.
    """

    async def remember(self, seen: Sequence[tuple[UUID, EventKey]], keep: timedelta) -> None:
        """Remember the keys of archived events for at least ``keep``, whatever is remembered of their ids.

        A producer that repeats a call gets these keys from now on.
        """
        for first in range(0, len(seen), _AT_ONCE):
            await self.run(REMEMBER, milliseconds(keep), *_remembered(seen[first : first + _AT_ONCE]))

    async def add(self, entries: Sequence[RestoredEntry]) -> None:
        """Add archived entries, which come in ascending order within and over all calls; all before ``copy_live``.

        What is not above the last entry is skipped. A payload that was erased meanwhile is not written, and an entry
        whose inline payload was erased is left out. The server serves nobody else during a call: about 4 us for an
        entry and 8 us for a small hash. So 512 entries a call, of a few MiB at most, are enough: more are hardly
        faster. Prepare the next entries while a call is under way, but make it when that call has returned.
        """
        if entries:
            await self.run(ADD, len(entries), *_flat(entries))

    async def copy_live(self, committed: EventKey, count: int) -> LiveCopy:
        """Copy the next ``count`` live entries; ``committed`` is the last key of the archive, as for ``swap``.

        An entry keeps its key if that is above the last one and above ``committed``; otherwise it gets the next key.
        Left out is an entry whose event is restored under the same key, or of whose event another key is remembered.
        Redriven entries are left out, and not counted: the groups' states say who handles their events.
        After a lost answer, what is returned does not count what was copied by the lost call. Take about 250 at once:
        the server serves nobody else for about 15 us an entry.
        """
        reply = await self.run(COPY_LIVE, committed.entry_id, count)
        copied, skipped, moved, more = cast("tuple[int, int, int, int]", reply)
        return LiveCopy(copied, skipped, moved, more=more == 1)

    async def set_group(
        self, group: str, position: EventKey, pending: Sequence[EventKey], dead_letters: Sequence[DeadLetter]
    ) -> None:
        """Set where a group is; call it when all archived entries have been added.

        ``pending`` up to ``position`` become due now, as if never delivered; others, and those that were not restored,
        are dropped. ``dead_letters`` come in order of their ids, which they keep. Called again, it adds to both.
        """
        await self.run(SET_GROUP, group, position.entry_id)
        ids = [key.entry_id for key in pending if key <= position]
        for first in range(0, len(ids), _AT_ONCE):
            await self.run(SET_PENDING, group, ids[first : first + _AT_ONCE])
        for first in range(0, len(dead_letters), _DEAD_LETTERS_AT_ONCE):
            some = dead_letters[first : first + _DEAD_LETTERS_AT_ONCE]
            await self.run(SET_DEAD_LETTERS, group, [[each.id, *_letter(each)] for each in some])

    async def set_follow_ups(self, group: str, kept: Mapping[EventKey, str]) -> None:
        """Keep follow-up events of entries that the group has not finished; ``kept`` has the lines of each entry.

        What attempts keep meanwhile counts more.
        """
        fields = [part for key, lines in kept.items() for part in (key.entry_id, lines)]
        for first in range(0, len(fields), 2 * _AT_ONCE):
            await self.run(SET_FOLLOW_UPS, group, fields[first : first + 2 * _AT_ONCE])

    async def swap(
        self,
        committed: EventKey,
        follows: EventKey,
        complete_from: EventKey | None = None,
        *,
        forgotten: Sequence[str] = (),
        most: int = 500,
    ) -> LiveCopy | None:
        """Put the restored stream into the place of the live one, with groups, dead letters and the archive's notes.

        Returns what became of the last live entries; None, and nothing has changed, if more than ``most`` are not
        copied yet. After a lost answer it is called again with the same arguments, and finds that all is done.

        Live groups that were not set begin at the beginning. Live dead letters come after the restored ones. Pending
        entries of live groups are delivered again, as new ones. From ``complete_from`` on all archived entries were
        added; None: all there are. Groups that retention had ``forgotten`` stay forgotten, unless a worker of theirs
        has run on this Redis. The lock stays until ``end``.
        """
        gaps_end = False if complete_from is None else complete_from.entry_id
        reply = await self.run(SWAP, committed.entry_id, follows.entry_id, gaps_end, list(forgotten), most)
        done, copied, skipped, moved = cast("tuple[int, int, int, int]", reply)
        return LiveCopy(copied, skipped, moved, more=False) if done else None


def _remembered(seen: Sequence[tuple[UUID, EventKey]]) -> Iterable[object]:
    """Return the seconds of these ids, each with fields and values, as the append script writes them."""
    by_second: dict[int, list[bytes | str]] = {}
    for event_id, key in seen:
        second = (event_id.int >> 80) // 1000
        after = key.milliseconds - second * 1000
        value = f"{after}-{key.sequence}" if key.sequence else f"{after}"
        by_second.setdefault(second, []).extend((event_id.bytes[_SECOND_BYTES:], value))
    for second, fields in by_second.items():
        yield from (second, len(fields), *fields)


def _flat(entries: Sequence[RestoredEntry]) -> list[object]:
    """Return the items of the message: flat, as lists in lists cost both sides (fast path, see decision 0005)."""
    items: list[object] = []
    for key, metadata, writes, inline in entries:
        items += (f"{key.milliseconds}-{key.sequence}", 1 + 2 * len(inline), metadata)
        for name, value in inline.items():
            items += (INLINE_PREFIX + name, value)
        items.append(len(writes))
        for purpose, fields, expires_after in writes:
            items += (purpose, 0 if expires_after is None else milliseconds(expires_after), 2 * len(fields))
            for field in fields.items():
                items += field
    return items


def _letter(letter: DeadLetter) -> list[str | bytes | int]:
    """Return the fields of a dead letter and their values."""
    about: dict[str, str | int] = {
        DEAD_LETTER_SOURCE: letter.entry.key.entry_id,
        DEAD_LETTER_ATTEMPTS: letter.attempts,
        DEAD_LETTER_REASON: letter.reason,
        DEAD_LETTER_DETAIL: letter.detail,
        DEAD_LETTER_ERROR: letter.error,
        DEAD_LETTER_PLACE: "\n".join(letter.place),
    }
    if letter.redrives:
        about[DEAD_LETTER_REDRIVES] = letter.redrives
    parts = [part for field in letter.entry.fields.items() for part in field]
    return [*parts, *(part for field in about.items() for part in field)]
