"""What retention does on Redis: sees the state of a stream, and removes what nobody needs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

from event_backbone.connection import RedisConnection, Script
from event_backbone.errors import ConfigurationError, EventsLost
from event_backbone.model import EventKey, PayloadReference, StreamName
from event_backbone.stream.redis.replies import event_key
from event_backbone.stream.redis.retention_scripts import FORGET, LETTERS, MEASURE, SURVEY, SWEEP
from event_backbone.stream.redis.retention_values import (
    Cut,
    GroupLife,
    Hold,
    Interrupted,
    LettersChanged,
    Slice,
    Survey,
    Trimmed,
)
from event_backbone.stream.redis.script_message import packed
from event_backbone.stream.redis.trim_script import CHANGED, LOST, OTHER, RESTORING, TRIM
from event_backbone.wire.keys import DEAD_LETTERS_KEY, PAYLOAD_KEY

Place = tuple[str, str, bool]
"""Where hashes are: the purpose of their keys, the storage ("": copies by event id), whether they count."""


class RedisRetaining:
    """Retention of one stream on Redis, for the process whose token has the lock of ``RETENTION_KEY``.

    Every method may be called twice, and raises StreamUnavailable when Redis does not answer.
    """

    def __init__(
        self, redis: RedisConnection, name: StreamName, token: str, places: Sequence[Place], elsewhere: Sequence[str]
    ) -> None:
        """Work on this stream, which need not exist; ``elsewhere`` names storages with hashes on another Redis."""
        self._redis = redis
        self._name = name
        self._token = token
        self._places = places
        self._elsewhere = elsewhere

    @property
    def stream(self) -> StreamName:
        """The name of the stream."""
        return self._name

    async def survey(self, *, noting: bool = True) -> Survey:
        """Return the state of the stream; ``noting`` also notes which groups are new."""
        reply = await self._run(SURVEY, self._token if noting else "")
        now, length, size, first, last, *rest = cast("tuple[bytes, int, int, bytes, bytes, *tuple[object, ...]]", reply)
        complete, restoring, groups = rest
        return Survey(
            datetime.fromtimestamp(int(now) / 1000, UTC),
            length,
            size,
            self._key(first) if first else None,
            self._key(last),
            self._key(complete) if isinstance(complete, bytes) else None,
            restoring == 1,
            tuple(map(self._group, cast("list[list[object]]", groups))),
        )

    async def forget(self, group: GroupLife) -> bool:
        """Note that the group is forgotten; return False if a member has looked since the survey."""
        return await self._run(FORGET, self._token, group.name, group.sign) == 1

    async def letters(self, group: str, after: str, count: int) -> list[tuple[str, EventKey]]:
        """Return up to ``count`` dead letters after this id: their ids, and the keys of their events."""
        reply = cast("list[tuple[bytes, bytes]]", await self._run(LETTERS, group, after, count))
        return [(letter_id.decode(), self._key(source)) for letter_id, source in reply]

    async def trim(self, wanted: Slice) -> Trimmed:
        """Remove the next entries.

        Raises:
            Interrupted: another process has the lock, or a restore is under way.
            LettersChanged: dead letters are not those that are given.
            EventsLost: Redis has lost archived events; nothing is removed before they are restored.
        """
        message = [
            self._token,
            wanted.after.entry_id,
            wanted.until.entry_id,
            wanted.count,
            wanted.bytes_over,
            wanted.entry_bytes,
            wanted.cutting,
            wanted.archived,
            wanted.dry,
            wanted.measured,
            dict(wanted.forgotten),
            {group: list(known) for group, known in wanted.letters.items()},
            [key.entry_id for key in wanted.sources],
            wanted.most_sources,
            self._places,
            self._elsewhere,
        ]
        return self._trimmed(await self._run(TRIM, packed(message)))

    async def measure(self, after: EventKey, count: int) -> tuple[EventKey | None, int, int]:
        """Return the last of the next entries, None without any, how many there are, and what their hashes take."""
        counted = [each for each in self._places if each[2]]
        reply = await self._run(MEASURE, packed([after.entry_id, count, counted]))
        last, entries, size = cast("tuple[bytes, int, int]", reply)
        return self._key(last) if last else None, entries, size

    async def payload_keys(self, cursor: bytes) -> tuple[bytes, list[bytes]]:
        """Return the next cursor, and some keys of payload hashes; the cursor is ``b"0"`` at first and in the end."""
        with self._redis.errors():
            return await self._redis.scan(cursor, f"{self._name.key_of(PAYLOAD_KEY)}:*")

    async def groups_with_letters(self, cursor: bytes) -> tuple[bytes, list[str]]:
        """Return the next cursor, and some groups that have dead letters, deleted groups included."""
        prefix = f"{self._name.key_of(DEAD_LETTERS_KEY)}:"
        with self._redis.errors():
            next_cursor, keys = await self._redis.scan(cursor, f"{prefix}*")
        return next_cursor, [key.decode().removeprefix(prefix) for key in keys]

    async def sweep(self, keys: Sequence[str], complete_from: EventKey) -> int | None:
        """Delete payload hashes; None, and nothing is deleted, if the stream is or was restored since the survey."""
        return cast("int | None", await self._run(SWEEP, self._token, complete_from.entry_id, *keys))

    async def memory(self) -> tuple[int, int]:
        """Return how many bytes the stream's server uses, and how many it may; 0: no limit, or it does not say."""
        try:
            with self._redis.errors():
                text = cast("bytes", await self._redis.command("INFO", "memory", at=self._name.key))
        except ConfigurationError:
            return 0, 0
        fields = dict(line.split(b":", 1) for line in text.split(b"\r\n") if b":" in line)
        return int(fields.get(b"used_memory", 0)), int(fields.get(b"maxmemory", 0))

    async def _run(self, script: Script, *arguments: str | bytes | int) -> object:
        with self._redis.errors():
            return await self._redis.run(script, (self._name.key,), arguments)

    def _trimmed(self, reply: object) -> Trimmed:
        if isinstance(reply, bytes) and reply in {OTHER, RESTORING}:
            raise Interrupted
        if reply == CHANGED:
            raise LettersChanged
        if reply == LOST:
            raise EventsLost(f"Redis has lost events of stream {self._name.key} that are archived: restore them.")
        last, more, removed, size, *lists = cast("tuple[bytes, int, int, int, *tuple[list[object], ...]]", reply)
        holds = cast("list[tuple[bytes, bytes, int, bytes]]", lists[0])
        cuts = cast("list[tuple[bytes, int, int]]", lists[1])
        elsewhere = cast("list[tuple[bytes, bytes, bytes]]", lists[2])
        return Trimmed(
            self._key(last) if last else None,
            more == 1,
            removed,
            size,
            tuple(
                Hold(reason.decode(), group.decode(), events, self._key(key)) for reason, group, events, key in holds
            ),
            tuple(Cut(group.decode(), forgotten == 1, events) for group, forgotten, events in cuts),
            tuple(
                PayloadReference(name.decode(), event_id.decode(), key.decode()) for event_id, name, key in elsewhere
            ),
        )

    def _group(self, row: Sequence[object]) -> GroupLife:
        name, looked, noticed, forgotten, letters = cast(
            "tuple[bytes, bytes | None, bytes | None, bytes | None, int]", tuple(row)
        )
        since = looked or noticed or b"0"
        return GroupLife(name.decode(), int(since), looked or b"", forgotten is not None, letters)

    def _key(self, entry_id: bytes) -> EventKey:
        return event_key(entry_id, self._name.partition)
