"""Finds the records of a stream in S3 without Redis: its packs are listed by time, and read."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from event_backbone.errors import ConfigurationError, DecodeError, PayloadForbidden, PayloadGone
from event_backbone.model import StreamName
from event_backbone.storage.s3.keys import earliest_pack_key, pack_id_of, pack_time, packs_folder
from event_backbone.storage.s3.object_store import is_listed
from event_backbone.storage.s3.options import S3Options
from event_backbone.storage.s3.pack_line import key_of_line
from event_backbone.wire import LoggedRecord, read_logged_record
from event_backbone.wire.fields import EPOCH

if TYPE_CHECKING:
    from event_backbone.storage.base import IsWanted
    from event_backbone.storage.s3.object_store import ObjectStore

_log = logging.getLogger("event_backbone")
_AHEAD = 16  # packs


class Connection(Protocol):
    """Opens the bucket of an environment; ``S3Connection`` does."""

    async def objects(self, environment: str) -> ObjectStore:
        """Return its objects. Raises ConfigurationError."""
        ...


class PackLog:
    """The records of one stream, pack by pack. Of the packs ahead, some are read at the same time."""

    def __init__(self, options: S3Options, connection: Connection, stream: StreamName, storage: str) -> None:
        """Read the packs of this stream; ``storage`` is the name that references to them have."""
        self._options = options
        self._connection = connection
        self._stream = stream
        self._storage = storage
        self._damaged_lines = 0

    @property
    def damaged_lines(self) -> int:
        """How many lines were skipped because they are not records."""
        return self._damaged_lines

    async def records(
        self, since: datetime | None = None, is_wanted: IsWanted | None = None, until: datetime | None = None
    ) -> AsyncGenerator[Sequence[LoggedRecord], None]:
        """Yield the records of one pack at a time, in the order of pack ids. ``RecordLog.records`` says more."""
        self._damaged_lines = 0
        objects = await self._connection.objects(self._stream.environment)
        reading: deque[asyncio.Task[list[LoggedRecord]]] = deque()
        try:
            async with aclosing(self._keys(objects, since or EPOCH, until)) as keys:
                async for key in keys:
                    reading.append(asyncio.create_task(self._read(objects, key, is_wanted)))
                    if len(reading) == _AHEAD and (found := await reading.popleft()):
                        yield found
            while reading:
                if found := await reading.popleft():
                    yield found
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)

    async def _keys(self, objects: ObjectStore, since: datetime, until: datetime | None) -> AsyncGenerator[str, None]:
        """Yield the keys of the stream's own packs; those of URIs that begin with this one are in the same folder."""
        folder = packs_folder(self._options, self._stream)
        after = earliest_pack_key(self._options, self._stream, since)
        async with aclosing(objects.list_keys(folder, after)) as pages:
            async for page in pages:
                for key in page:
                    if key.removeprefix(folder) > ":":  # after the years, only other URIs follow
                        return
                    if pack_id_of(self._options, self._stream, key) is None:
                        continue
                    if until is not None and pack_time(key) > until.timestamp():
                        return
                    yield key

    async def _read(self, objects: ObjectStore, key: str, is_wanted: IsWanted | None) -> list[LoggedRecord]:
        try:
            pack = await objects.read(key)
        except PayloadGone as error:
            if isinstance(error, PayloadForbidden) and await is_listed(objects, key):
                raise ConfigurationError(
                    f"S3 lists {key} and forbids reading it: grant s3:GetObject, or restore it to a storage class that "
                    "can be read at once."
                ) from error
            _log.warning("%s was removed from S3 after it was listed, and is skipped.", key)
            return []
        return self._parse(key, pack, is_wanted)

    def _parse(self, key: str, pack: bytes, is_wanted: IsWanted | None) -> list[LoggedRecord]:
        pack_id, began = key[-38:-6], round(pack_time(key) * 1_000_000)
        found: list[LoggedRecord] = []
        offset, damaged = 0, 0
        for line in pack.removesuffix(b"\n").split(b"\n"):
            if is_wanted is not None and not is_wanted(line):  # fast path, see decision 0010
                offset += len(line) + 1
                continue
            place = key_of_line(pack_id, offset, len(line))
            offset += len(line) + 1
            try:
                record = read_logged_record(line, self._stream, self._storage, place, began)
            except DecodeError:
                damaged += 1
                continue
            if record is not None:
                found.append(record)
        if damaged:
            self._damaged_lines += damaged
            _log.warning("%s has %d damaged lines, which are skipped.", key, damaged)
        return found
