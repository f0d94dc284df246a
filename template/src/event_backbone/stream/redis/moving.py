"""Moves a consumer group on Redis to another place in its stream, or deletes it."""

from contextlib import AbstractContextManager
from typing import cast

from event_backbone.connection import RedisConnection
from event_backbone.errors import GroupMissing, StreamError
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.redis.moving_scripts import COUNT, DELETE, MOVE, PLACE
from event_backbone.stream.redis.replies import event_key
from event_backbone.stream.values import GroupDeletion, GroupMove

_AT_ONCE = 1000  # of entries in a script: a millisecond or two, in which the server does nothing else
_UNKNOWN = -1
_TOO_MANY = 1
_RESTORING = 2


class MovingGroup:
    """One group of one stream; the methods are those of ``stream.base.GroupAdmin``."""

    def __init__(self, redis: RedisConnection, name: StreamName, group: str) -> None:
        """Move this group."""
        self._redis = redis
        self._name = name
        self._group = group

    async def count(self, after: EventKey, until: EventKey) -> int:
        """Return how many events the stream has for the group after ``after``, up to ``until``."""
        _, events = await self._count(after.entry_id, until.entry_id)
        return events

    async def move(self, position: EventKey) -> GroupMove:
        """Let the group read on after ``position``, and give up what is pending after it.

        With much of that the last part comes first: the group moves back to before it, then to before the next part.
        """
        left, read = await self._place(position)
        came_again = vanished = 0
        targets = [position.entry_id]
        while targets:
            with self._errors():
                arguments = (self._group, targets[-1], _AT_ONCE, read if len(targets) == 1 else _UNKNOWN)
                reply = await self._redis.run(MOVE, (self._name.key,), arguments)
            if reply is None:
                raise self._missing()
            status, number, gone = cast("tuple[int, int | bytes, int]", tuple(cast("list[object]", reply)))
            if status == _RESTORING:
                raise self._restoring()
            if status == _TOO_MANY:
                targets.append(cast("bytes", number).decode())
                continue
            targets.pop()
            came_again, vanished = came_again + cast("int", number) - gone, vanished + gone
        return GroupMove(left, came_again, vanished)

    async def delete(self, *, dead_letters: bool, dry_run: bool = False) -> GroupDeletion:
        """Remove the group and all that is kept of it, in one step, unless a consumer of it is alive."""
        with self._errors():
            reply = await self._redis.run(
                DELETE, (self._name.key,), (self._group, int(dead_letters), int(not dry_run)), repeat=False
            )
        if reply is None:
            raise self._restoring()
        exists, *numbers = cast("list[int]", reply)
        return GroupDeletion(exists == 1, *numbers)

    async def _place(self, target: EventKey) -> tuple[EventKey, int]:
        """Return where the group is, and how many entries it will have read at ``target``, if the server knows."""
        with self._errors():
            reply = await self._redis.run(PLACE, (self._name.key,), (self._group,))
        if reply is None:
            raise self._missing()
        delivered, read, newest = cast("tuple[bytes, int | None, bytes]", tuple(cast("list[object]", reply)))
        left = event_key(delivered, self._name.partition)
        if read is None or target >= event_key(newest, self._name.partition):
            return left, _UNKNOWN
        if target >= left:
            return left, read + (await self._count(left.entry_id, target.entry_id))[0]
        return left, max(_UNKNOWN, read - (await self._count(target.entry_id, left.entry_id))[0])

    async def _count(self, after: str, until: str) -> tuple[int, int]:
        """Return how many entries there are, and how many of them are events for the group."""
        entries = events = 0
        while True:
            with self._errors():
                reply = await self._redis.run(COUNT, (self._name.key,), (after, until, _AT_ONCE, self._group))
            last, some, some_events = cast("tuple[bytes, int, int]", tuple(cast("list[object]", reply)))
            entries, events, after = entries + some, events + some_events, last.decode()
            if some < _AT_ONCE:
                return entries, events

    def _missing(self) -> GroupMissing:
        return GroupMissing(f"Stream {self._name.key} has no consumer group {self._group!r}.")

    def _restoring(self) -> StreamError:
        return StreamError(f"A restore or migration of stream {self._name.key} is under way; do this afterwards.")

    def _errors(self) -> AbstractContextManager[None]:
        return self._redis.errors(group_missing=f"Stream {self._name.key} has no consumer group {self._group!r}.")
