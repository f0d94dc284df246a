"""Rewrites a stream beside the live one, and puts it into its place: same ids, groups, pending entries and leases."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, cast

from event_backbone.connection import RedisConnection
from event_backbone.model import EventKey, HashWrite, StreamName
from event_backbone.stream.redis.migrating_scripts import ADD_COPIES, PRUNE, REWRITTEN, TAKE_PLACE
from event_backbone.stream.redis.replacing import RedisReplacing
from event_backbone.stream.redis.replies import entries_of, event_key
from event_backbone.stream.redis.script_message import milliseconds
from event_backbone.stream.values import Entry
from event_backbone.wire.fields import DEAD_LETTER_SOURCE
from event_backbone.wire.keys import DEAD_LETTERS_KEY

_MOST_AT_ONCE = 500
_SOURCE = DEAD_LETTER_SOURCE.encode()
_LOOKED_AT_AT_ONCE = 1000


class CopiedEntry(NamedTuple):
    """An entry or dead letter as it is to be: its id, its fields, and the hashes of a payload that has moved."""

    entry_id: str
    fields: Mapping[bytes, bytes]
    writes: tuple[HashWrite, ...] = ()


class RedisMigrating(RedisReplacing):
    """One migration of one stream: each of its streams, that of the events and those of dead letters, by itself.

    ``group`` says whose dead letters are meant; "" is the stream of the events. Only ``take_place`` changes what is
    live. Errors as in ``RedisReplacing``; a full server refuses everything, and nothing has changed.
    """

    async def add(self, copies: Sequence[CopiedEntry], group: str = "") -> None:
        """Add what comes next, in ascending order within and over all calls. 250 entries a call are enough."""
        if copies:
            await self.run(ADD_COPIES, group, len(copies), *_flat(copies))

    async def take_place(self, group: str = "") -> Literal["done", "more", "left"]:
        """Put what was built into the place of the live stream.

        ``more``: more than 500 entries are not copied yet; ``left``: some have left the live stream since they were
        copied, so ``prune`` first. Then nothing has changed. The server serves nobody else meanwhile: about 5 us for
        each pending entry of each group.
        """
        reply = cast("list[bytes]", await self.run(TAKE_PLACE, group, _MOST_AT_ONCE))
        return cast("Literal['done', 'more', 'left']", reply[0].decode())

    async def prune(self, group: str = "") -> None:
        """Remove from what was built what has left the live stream since it was copied."""
        after = "0-0"
        while after:
            after = cast("bytes", await self.run(PRUNE, group, after, _LOOKED_AT_AT_ONCE)).decode()


async def rewritten_entry(redis: RedisConnection, stream: StreamName, key: EventKey) -> Entry | None:
    """Return an entry as it is in the stream that a restore or migration is building, if one is."""
    with redis.errors():
        reply = await redis.run(REWRITTEN, (stream.key,), (key.entry_id,))
    return next(iter(entries_of(reply, stream.partition)), None)


async def raw_dead_letters(
    redis: RedisConnection, stream: StreamName, group: str, after: str, count: int
) -> list[tuple[Entry, EventKey]]:
    """Return up to ``count`` dead letters after this id, with all their fields, each with the key of its event."""
    with redis.errors():
        reply = await redis.command(
            "XRANGE", stream.key_of(f"{DEAD_LETTERS_KEY}:{group}"), f"({after}", "+", "COUNT", count
        )
    letters = entries_of(reply, stream.partition)
    return [(each, event_key(each.fields.get(_SOURCE, b"0-0"), stream.partition)) for each in letters]


def _flat(copies: Sequence[CopiedEntry]) -> list[object]:
    items: list[object] = []
    for entry_id, fields, writes in copies:
        items += (entry_id, 2 * len(fields))
        for field in fields.items():
            items += field
        items.append(len(writes))
        for purpose, hash_fields, expires_after in writes:
            items += (purpose, 0 if expires_after is None else milliseconds(expires_after), 2 * len(hash_fields))
            for hash_field in hash_fields.items():
                items += hash_field
    return items
