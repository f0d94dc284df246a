"""Writes the records of a stream that are saved at the same time as one object: a pack."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING

from event_backbone.errors import BackboneError, PayloadGone, StorageUnavailable
from event_backbone.model import StreamName, new_event_id
from event_backbone.spans import tracing
from event_backbone.storage.s3.keys import pack_key
from event_backbone.storage.s3.options import ENDPOINT_VARIABLE, S3Options
from event_backbone.storage.s3.pack_line import key_of_line

if TYPE_CHECKING:
    from event_backbone.storage.s3.marker import Marker
    from event_backbone.storage.s3.object_store import ObjectStore

PACK_CONTENT_TYPE = "application/x-ndjson"
_REQUESTS = 4  # from which on a pack that is not full waits
_CUT_OFF = "The event loop ended, or S3Storage was closed, before S3 had answered; the payload may or may not be saved."


class _Pack:
    """Lines in the order of the calls of ``save``, each with the future that it returned. Done early: cancelled."""

    __slots__ = ("lines", "opened", "size_bytes")

    def __init__(self, opened: float) -> None:
        self.lines: dict[asyncio.Future[str], bytes] = {}
        self.size_bytes = 0
        self.opened = opened

    def add(self, call: asyncio.Future[str], line: bytes) -> None:
        self.lines[call] = line
        self.size_bytes += len(line) + 1

    @property
    def awaited(self) -> bool:
        return any(not call.done() for call in self.lines)

    def saved(self, pack_id: str, lines: list[tuple[asyncio.Future[str], bytes]]) -> None:
        offset = 0
        for call, line in lines:
            if not call.done():
                call.set_result(key_of_line(pack_id, offset, len(line)))
            offset += len(line) + 1

    def fail(self, error: Exception) -> None:
        """End each call with its own copy: a shared one would collect tracebacks."""
        for call in self.lines:
            if not call.done():
                call.set_exception(_copy_of(error))


class PackWriter:
    """Saves the records of one stream in one event loop. What is saved in one turn of the loop goes into one pack.

    A lone record leaves at once. A full pack does too, bounded only by the storage's concurrency. One that is not
    full waits while four requests are under way, or if a pack has left within ``pack_linger``: until neither is so,
    it is ``pack_linger`` old, or it is full. A record of ``pack_bytes`` or more is a pack by itself.

    Every call of ``save`` ends. Cancelling it before its pack leaves withdraws the record; after that, the line may
    stay in the bucket with no entry to refer to it.
    """

    def __init__(
        self,
        options: S3Options,
        stream: StreamName,
        marker: Marker,
        open_objects: Callable[[], Awaitable[ObjectStore]],
    ) -> None:
        """Write where ``options`` say; ``marker`` is asked first."""
        self._options = options
        self._stream = stream
        self._marker = marker
        self._open_objects = open_objects
        self._linger = options.pack_linger.total_seconds()
        self._open: _Pack | None = None
        self._traced = False
        self._requests: dict[asyncio.Task[None], _Pack] = {}
        self._last_left = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def traced(self) -> bool:
        """Whether anybody traces, asked once for the calls that share a pack (fast path, see decision 0019)."""
        if self._open is None:
            self._traced = tracing()
        return self._traced

    def save(self, line: bytes) -> asyncio.Future[str]:
        """Write a record; the future holds the key of a reference to it.

        Raises, in the future:
            StorageUnavailable: S3 has not answered within the deadline, which counts from the first call of the pack.
                The record may or may not be saved.
            ConfigurationError: S3 refuses, or the marker is another one.
        """
        loop = asyncio.get_running_loop()
        call: asyncio.Future[str] = loop.create_future()
        self._add(call, line, loop)
        return call

    async def close(self) -> None:
        """Write what is open, and wait for what a caller waits for; the rest is given up."""
        self._leave_open()
        tasks = dict(self._requests)
        for task, pack in tasks.items():
            if not pack.awaited:
                self._end(task)
        if tasks:
            try:
                await asyncio.wait(tasks)
            except asyncio.CancelledError:
                for task in tasks:
                    self._end(task)
                raise

    def _add(self, call: asyncio.Future[str], line: bytes, loop: asyncio.AbstractEventLoop) -> None:
        size, most = len(line) + 1, self._options.pack_bytes
        if size >= most:
            alone = _Pack(loop.time())
            alone.add(call, line)
            self._leave(alone)
            return
        if self._open is not None and self._open.size_bytes + size > most:
            self._leave_open()
        if self._open is None:
            self._open = _Pack(loop.time())
            loop.call_soon(self._leave_if_due, context=Context())
        self._open.add(call, line)
        if len(self._open.lines) >= self._options.pack_events or self._open.size_bytes >= most:
            self._leave_open()

    def _leave_if_due(self) -> None:
        self._stop_timer()
        if self._open is None:
            return
        due = self._due(self._open)
        loop = asyncio.get_running_loop()
        if due <= loop.time():
            self._leave_open()
        elif due < math.inf:
            self._timer = loop.call_at(due, self._leave_if_due, context=Context())

    def _due(self, pack: _Pack) -> float:
        """Return when a pack that is not full leaves, if no request ends before that."""
        if len(self._requests) < _REQUESTS:
            return min(self._last_left, pack.opened) + self._linger
        return pack.opened + self._linger if self._linger else math.inf

    def _leave_open(self) -> None:
        self._stop_timer()
        pack, self._open = self._open, None
        if pack is not None:
            self._leave(pack)

    def _leave(self, pack: _Pack) -> None:
        if not pack.awaited:
            return
        loop = asyncio.get_running_loop()
        self._last_left = loop.time()
        task = loop.create_task(self._send(pack), context=Context())
        self._requests[task] = pack
        task.add_done_callback(self._ended, context=Context())

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._requests.pop(task, None) is not None:
            self._leave_if_due()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._requests.pop(task, None)
        task.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _send(self, pack: _Pack) -> None:
        try:
            await self._write(pack)
        except asyncio.CancelledError:
            pack.fail(StorageUnavailable(_CUT_OFF))
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers get it
            pack.fail(error)

    async def _write(self, pack: _Pack) -> None:
        loop = asyncio.get_running_loop()
        began, deadline = loop.time(), self._options.deadline.total_seconds()
        objects = await self._open_objects()
        opening = loop.time() - began  # finding credentials, once, has no deadline
        try:
            async with asyncio.timeout_at(pack.opened + opening + deadline):
                await self._marker.require(objects, self._stream.environment)
                await self._create(objects, pack)
        except TimeoutError as error:
            raise StorageUnavailable(
                f"S3 has not answered within {deadline:g} s; start it or correct {ENDPOINT_VARIABLE}."
            ) from error

    async def _create(self, objects: ObjectStore, pack: _Pack) -> None:
        lines = [(call, line) for call, line in pack.lines.items() if not call.done()]
        body = b"".join(part for _, line in lines for part in (line, b"\n"))
        while lines:
            pack_id = new_event_id().hex
            key = pack_key(self._options, self._stream, pack_id)
            created = await objects.create(key, body, content_type=PACK_CONTENT_TYPE)
            if created or await _has(objects, key, body):
                pack.saved(pack_id, lines)
                return


async def _has(objects: ObjectStore, key: str, body: bytes) -> bool:
    """Return whether the object was written by an earlier try whose answer was lost; else its name is taken."""
    try:
        return await objects.read(key) == body
    except PayloadGone:
        return False


def _copy_of(error: Exception) -> Exception:
    if not isinstance(error, BackboneError):
        return error
    copied = copy.copy(error)
    copied.__cause__ = error
    return copied
