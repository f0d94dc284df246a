"""One member of a group on Redis: reading, looking, comparing, leaving."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from typing import cast

from event_backbone.backoff import Backoff, Delays
from event_backbone.connection import BlockingConnection, RedisConnection, Script
from event_backbone.errors import BackboneError
from event_backbone.model import EventKey, StreamName
from event_backbone.model.fast_objects import new_named_tuple
from event_backbone.stream.redis.member_scripts import ENSURE, FETCH, LEAVE, LOOK, MISSED
from event_backbone.stream.redis.replies import delivery_of, entries_read, event_key
from event_backbone.stream.redis.script_message import milliseconds, packed
from event_backbone.stream.redis.stream import block
from event_backbone.stream.values import Comparison, Delivery, Lease, Look, Missed, Start, key_before

_MOST_AT_A_LOOK = 100
_PENDING_AT_ONCE = 1000
_FETCHED_AT_ONCE = 200
_WAKE_BACKOFF = Backoff(first=timedelta(milliseconds=2), longest=timedelta(milliseconds=100), jitter=0)


class RedisGroupReader:
    """Implements ``stream.base.GroupReader``."""

    def __init__(self, redis: RedisConnection, name: StreamName, group: str, member: str) -> None:
        """Read as this member of this group."""
        self._redis = redis
        self._name = name
        self._group = group
        self._member = member
        self._connection: BlockingConnection | None = None
        self._reading: asyncio.Future[None] | None = None

    async def ensure(self, start: Start) -> bool:
        """Create the group unless it exists, and the stream with it; return whether it was created."""
        with self._errors():
            # Also opens the connection of the acks: a user that is disabled later can still ack what runs.
            made = await self._redis.run_pipelined(ENSURE, (self._name.key,), (self._group, _start_id(start)))
        return made == 1

    async def missed(self) -> Missed | None:
        """Return what retention has removed before the group had finished it."""
        with self._errors():
            reply = await self._redis.run(MISSED, (self._name.key,), (self._group,))
        if reply is None:
            return None
        events, until = cast("tuple[bytes, bytes]", tuple(cast("list[object]", reply)))
        return Missed(int(events), event_key(until, self._name.partition))

    async def read(self, count: int, wait: timedelta) -> Sequence[Delivery]:
        """Return up to ``count`` entries that no member of the group has had; ``wake`` ends it early."""
        call = ("GROUP", self._group, self._member, "COUNT", count, *block(wait), "STREAMS", self._name.key, ">")
        reading = self._reading = asyncio.get_running_loop().create_future()
        try:
            with self._errors():
                connection = await self._connect()
                reply = await connection.command("XREADGROUP", *call)
        except BaseException:  # also when cancelled: an answer may be on its way, which must not reach the next read
            await self._disconnect()
            raise
        finally:
            self._reading = None
            reading.set_result(None)
        return [new_named_tuple(Delivery, (entry, 1, 0, 0)) for entry in entries_read(reply, self._name.partition)]

    async def wake(self) -> None:
        """End a blocking ``read`` at once. Unblocks until the read has ended, as it may not have begun to block yet."""
        reading, delays = self._reading, Delays(_WAKE_BACKOFF)
        while reading is not None and not reading.done():
            if self._connection is not None:
                # Without an answer, or the right to unblock, the read ends at its deadline.
                with suppress(BackboneError), self._errors():
                    await self._connection.unblock()
            await asyncio.wait((reading,), timeout=delays.next().total_seconds())

    async def look(self, lease: timedelta, limit: int) -> Look:
        """Renew this member's row, and take over what is due and what ended rows leave behind."""
        message = [self._group, self._member, milliseconds(lease), max(0, min(limit, _MOST_AT_A_LOOK))]
        reply = await self._run_once(LOOK, message)
        rows, vanished, erased, more, ended, parked = cast(
            "tuple[list[list[object]], list[bytes], list[bytes], int, int, int]", reply
        )
        return Look(
            tuple(delivery_of(row, self._name.partition) for row in rows),
            self._keys(vanished),
            self._keys(erased),
            more=more == 1,
            row_ended=ended == 1,
            parked=parked,
        )

    async def compare(self, in_flight: Collection[Lease]) -> Comparison:
        """Compare what this member has in flight with what is pending under its name."""
        attempts = {lease.key.entry_id: lease.attempt for lease in in_flight}
        pending = await self._pending()
        lost = frozenset(lease.key for lease in in_flight if pending.get(lease.key.entry_id) != lease.attempt)
        unknown = [entry_id for entry_id, count in pending.items() if attempts.get(entry_id) != count]
        deliveries: list[Delivery] = []
        vanished: list[bytes] = []
        erased: list[bytes] = []
        for first in range(0, len(unknown), _FETCHED_AT_ONCE):
            some = unknown[first : first + _FETCHED_AT_ONCE]
            reply = await self._run_once(FETCH, [self._group, self._member, some])
            rows, *missing = cast("tuple[list[list[object]], list[bytes], list[bytes]]", reply)
            deliveries += [delivery_of(row, self._name.partition) for row in rows]
            vanished += missing[0]
            erased += missing[1]
        return Comparison(lost, tuple(deliveries), self._keys(vanished), self._keys(erased))

    async def leave(self) -> None:
        """Remove this member if nothing is pending under its name; else end its row."""
        await self._disconnect()
        with self._errors():
            await self._redis.run(LEAVE, (self._name.key,), (self._group, self._member))

    async def _pending(self) -> dict[str, int]:
        """Return the delivery count of everything that is pending under this member's name, by entry id."""
        found: dict[str, int] = {}
        after = "-"
        while True:
            call = ("XPENDING", self._name.key, self._group, after, "+", _PENDING_AT_ONCE, self._member)
            with self._errors():
                rows = cast("list[tuple[bytes, bytes, int, int]]", await self._redis.command(*call))
            found.update((entry_id.decode(), count) for entry_id, _, _, count in rows)
            if len(rows) < _PENDING_AT_ONCE:
                return found
            after = f"({rows[-1][0].decode()}"

    def _keys(self, entry_ids: Sequence[bytes]) -> tuple[EventKey, ...]:
        return tuple(event_key(entry_id, self._name.partition) for entry_id in entry_ids)

    async def _run_once(self, script: Script, message: Sequence[object]) -> object:
        with self._errors():
            return await self._redis.run(script, (self._name.key,), (packed(message),), repeat=False)

    async def _connect(self) -> BlockingConnection:
        if self._connection is None:
            self._connection = self._redis.blocking_connection(self._name.key)
            await self._connection.open()
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _errors(self) -> AbstractContextManager[None]:
        return self._redis.errors(group_missing=f"Stream {self._name.key} has no consumer group {self._group!r}.")


def _start_id(start: Start) -> str:
    """Return the entry id after which a group begins."""
    if start == "now":
        return "$"
    return key_before(start).entry_id
