"""One consumer of a group on Redis: reading, claiming, recovering, leaving."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from typing import cast

from event_backbone.connection import RedisConnection, Script, WaitingConnection
from event_backbone.errors import BackboneError, GroupMissing
from event_backbone.metadata import EventKey, StreamName
from event_backbone.stream.redis.claim_scripts import CLAIM, ENSURE, LEAVE, RECOVER
from event_backbone.stream.redis.packing import packed
from event_backbone.stream.redis.replies import delivery_of, entries_read, event_key
from event_backbone.stream.redis.stream import block
from event_backbone.stream.values import Claimed, Delivery, Start

_CURSOR_START = "0-0"
_LARGEST_CLAIM = 100
_SCANS_A_CLAIM = 10
_RECOVERED_AT_ONCE = 200
_WAKE_AGAIN = timedelta(milliseconds=2)
_WAKE_AGAIN_AT_MOST = timedelta(milliseconds=100)
_LARGEST_SEQUENCE = 2**64 - 1


class RedisGroupReader:
    """Implements ``stream.base.GroupReader``."""

    def __init__(self, redis: RedisConnection, name: StreamName, group: str, consumer: str) -> None:
        """Be this consumer of this group."""
        self._redis = redis
        self._name = name
        self._group = group
        self._consumer = consumer
        self._cursor = _CURSOR_START
        self._connection: WaitingConnection | None = None
        self._reading = False

    async def ensure(self, start: Start) -> bool:
        """Make the group unless it exists, and the stream with it; return whether it was made."""
        with self._errors():
            made = await self._redis.run(ENSURE, (self._name.key,), (self._group, _before(start)))
        return made == 1

    async def read(self, count: int, wait: timedelta) -> Sequence[Delivery]:
        """Return up to ``count`` entries that no consumer of the group has had; ``wake`` ends the waiting."""
        call = ("GROUP", self._group, self._consumer, "COUNT", count, *block(wait), "STREAMS", self._name.key, ">")
        self._reading = True
        try:
            with self._errors():
                connection = await self._open()
                reply = await connection.command("XREADGROUP", *call)
        except BaseException:  # also when cancelled: an answer may be on its way, which must not reach the next read
            await self._hang_up()
            raise
        finally:
            self._reading = False
        return [Delivery(entry, attempt=1) for entry in entries_read(reply, self._name.partition)]

    async def wake(self) -> None:
        """End a waiting ``read`` at once. Asks again until the read has ended: it may not have begun to wait yet."""
        pause = _WAKE_AGAIN
        while self._reading:
            number = None if self._connection is None else self._connection.id
            if number is not None:
                # Without an answer, or the right to wake, the read ends by itself, at the latest with its deadline.
                with suppress(BackboneError), self._errors():
                    await self._redis.command("CLIENT", "UNBLOCK", number)
            await asyncio.sleep(pause.total_seconds())
            pause = min(2 * pause, _WAKE_AGAIN_AT_MOST)

    async def claim(self, count: int, idle: timedelta, held: Collection[EventKey]) -> Claimed:
        """Take over up to ``count`` (at most 100) entries that nobody has renewed for ``idle``.

        One call to the server looks at ten times as many entries as are wanted; up to ten calls look further.
        """
        claimed = Claimed(())
        for _ in range(_SCANS_A_CLAIM if count > 0 else 0):
            claimed = await self._scan(min(count, _LARGEST_CLAIM), idle, held)
            if claimed.deliveries or claimed.vanished or self._cursor == _CURSOR_START:
                break
        return claimed

    async def _scan(self, count: int, idle: timedelta, held: Collection[EventKey]) -> Claimed:
        milliseconds = max(0, idle // timedelta(milliseconds=1))
        message = [self._group, self._consumer, self._cursor, count, milliseconds, [key.entry_id for key in held]]
        try:
            reply = await self._run_once(CLAIM, message)
        except GroupMissing:
            self._cursor = _CURSOR_START
            raise
        cursor, rows, vanished = cast("tuple[bytes, list[list[object]], list[bytes]]", reply)
        self._cursor = cursor.decode()
        partition = self._name.partition
        return Claimed(
            tuple(delivery_of(row, partition) for row in rows),
            tuple(event_key(entry_id, partition) for entry_id in vanished),
        )

    async def recover(self, held: Collection[EventKey]) -> Sequence[Delivery]:
        """Return what is pending under this consumer's name and not in ``held``, and renew it, attempts unchanged."""
        recovered: list[Delivery] = []
        held_ids, after = [key.entry_id for key in held], "-"
        while True:
            reply = await self._run_once(RECOVER, [self._group, self._consumer, after, _RECOVERED_AT_ONCE, held_ids])
            last, rows = cast("tuple[bytes | None, list[list[object]]]", reply)
            recovered += [delivery_of(row, self._name.partition) for row in rows]
            if last is None:
                return recovered
            after = f"({last.decode()}"

    async def leave(self, crashed_after: timedelta) -> None:
        """Delete this consumer, and others idle for ``crashed_after``, each only if nothing is pending for it."""
        await self._hang_up()
        milliseconds = max(0, crashed_after // timedelta(milliseconds=1))
        with self._errors():
            await self._redis.run(LEAVE, (self._name.key,), (self._group, self._consumer, milliseconds))

    async def _run_once(self, script: Script, message: Sequence[object]) -> object:
        with self._errors():
            return await self._redis.run(script, (self._name.key,), (packed(message),), repeat=False)

    async def _open(self) -> WaitingConnection:
        if self._connection is None:
            self._connection = self._redis.waiting_connection()
            await self._connection.open()
        return self._connection

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _errors(self) -> AbstractContextManager[None]:
        return self._redis.errors(group_missing=f"Stream {self._name.key} has no consumer group {self._group!r}.")


def _before(start: Start) -> str:
    """Return the entry id after which a group begins."""
    if start == "beginning":
        return _CURSOR_START
    if start == "now":
        return "$"
    milliseconds = int(start.timestamp() * 1000) if isinstance(start, datetime) else start.milliseconds
    sequence = 0 if isinstance(start, datetime) else start.sequence
    if sequence > 0:
        return f"{milliseconds}-{sequence - 1}"
    return f"{milliseconds - 1}-{_LARGEST_SEQUENCE}" if milliseconds > 0 else _CURSOR_START
