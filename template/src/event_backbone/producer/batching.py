"""One stream's way out: entries that wait at the same time travel in one round trip."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property

from event_backbone import telemetry
from event_backbone.backoff import Backoff, Delays
from event_backbone.connection import OneEventLoop
from event_backbone.errors import (
    BackboneClosed,
    BackboneError,
    ConfigurationError,
    NotSent,
    OutcomeUnknown,
    StreamError,
    StreamUnavailable,
)
from event_backbone.model import EventKey
from event_backbone.producer.capacity import Capacity
from event_backbone.producer.reusable_timeout import ReusableTimeout
from event_backbone.stream.base import Stream
from event_backbone.stream.values import NewEntry

_BATCH_EVENTS = 256
_SMALL_BATCH_EVENTS = 16
_BATCH_BYTES = 1024 * 1024
_QUEUE_EVENTS = 4096
_QUEUE_BYTES = 64 * 1024 * 1024
_BACKOFF = Backoff(first=timedelta(milliseconds=50), longest=timedelta(seconds=1), jitter=0.5)

_LATE = "The stream did not take the event in time."
_CLOSED = "The backbone was closed before the event was sent."

_log = logging.getLogger("event_backbone")


class _Waiting:
    """An entry on its way, and the future of the call that waits for its key.

    It is ``in_doubt`` once it was handed to the stream and there was no answer: then it may stand there, whatever the
    stream answers later, except a key.
    """

    __slots__ = ("deadline", "entry", "in_doubt", "key", "size_bytes")

    def __init__(self, entry: NewEntry, key: asyncio.Future[EventKey], deadline: float, size_bytes: int) -> None:
        self.entry = entry
        self.key = key
        self.deadline = deadline
        self.size_bytes = size_bytes
        self.in_doubt = False

    def fail(self, cause: BaseException | None, reason: str) -> None:
        """Tell the caller that there is no key: OutcomeUnknown if the server may have the entry, else NotSent."""
        if self.key.done():
            return
        error = OutcomeUnknown(self.entry.event_id, reason) if self.in_doubt else NotSent(reason)
        error.__cause__ = cause
        self.key.set_exception(error)

    def refuse(self, cause: BackboneError) -> None:
        """Hand on the stream's answer, as an error of the caller's own: a shared one would collect tracebacks.

        What is in doubt stays so: the answer becomes the cause of OutcomeUnknown.
        """
        if self.in_doubt:
            self.fail(cause, str(cause))
        elif not self.key.done():
            error = copy.copy(cause)
            error.__cause__ = cause
            self.key.set_exception(error)


class Batcher:
    """Appends the entries of one stream, in the order they come, one batch at a time.

    There is no timer: a lone entry leaves at once, and what comes while a batch is under way makes the next one. A
    batch holds up to 256 entries and 1 MiB. While the stream is unavailable a batch is tried again, until its callers'
    deadlines. A caller that is cancelled while its entry is queued withdraws it; later the entry goes on without it.

    Every call of ``append`` ends: with a key, or with an error.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        queue_events: int = _QUEUE_EVENTS,
        queue_bytes: int = _QUEUE_BYTES,
        event_loop: OneEventLoop | None = None,
    ) -> None:
        """Append to ``stream``. ``queue_events`` and ``queue_bytes`` bound what may be on its way at once."""
        self.room = Capacity(queue_events, queue_bytes)
        self._stream = stream
        self._attributes = {"uri": stream.name.uri}
        self._queue: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._outage: BackboneError | None = None
        self._timeout = ReusableTimeout()
        self._event_loop = event_loop or OneEventLoop()

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that this batcher works in, from its first use on: asking for it costs a system call."""
        return asyncio.get_running_loop()

    def running_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, for the caller of ``append``.

        Raises ConfigurationError in another loop than this batcher's; BackboneClosed when it is closed.
        """
        try:
            return self._event_loop.running()
        except ConfigurationError:
            if self._closed:
                raise BackboneClosed(_CLOSED) from None
            raise

    def append(self, entry: NewEntry, deadline: float, size_bytes: int) -> asyncio.Future[EventKey]:
        """Queue an entry; the future holds its key, or raises NotSent, OutcomeUnknown or the stream's answer.

        ``deadline`` is in the event loop's time.
        """
        if self._closed:
            raise BackboneClosed(_CLOSED)
        key: asyncio.Future[EventKey] = self.loop.create_future()
        self._queue.append(_Waiting(entry, key, deadline, size_bytes))
        if self._task is None:
            # An empty context: no caller's span, cancel scope or context variable leaks into the batches of others.
            self._task = self.loop.create_task(
                self._run(), name="event-backbone-batcher", context=contextvars.Context()
            )
            self._task.add_done_callback(self._ended)
        return key

    async def close(self, drain: timedelta) -> None:
        """Take no new events, send what is on its way within ``drain``, and fail the rest."""
        self.room.close()
        try:
            async with asyncio.timeout(drain.total_seconds()):
                await self.room.emptied()
                if self._task is not None:  # entries whose callers were cancelled may still be under way
                    await asyncio.wait([self._task])
        except TimeoutError:
            _log.warning("Closed before every event for stream %s was sent.", self._stream.name.key)
        finally:
            self._closed = True
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
            self._timeout.stop()

    async def _run(self) -> None:
        batch: list[_Waiting] = []
        try:
            while self._fill(batch):
                await self._send_batch(batch)
        except Exception as error:  # whatever went wrong, every caller is told
            _log.exception("Events for stream %s could not be sent.", self._stream.name.key)
            self._fail(batch, error, "The producer failed.")
            raise
        finally:
            self._fail(batch, None, _CLOSED)
            self._task = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # perhaps before it began; nobody would send what comes now
            self._closed = True
            self._fail([], None, _CLOSED)
            self._task = None
        else:
            task.exception()  # it is logged, and told to the callers

    def _fail(self, batch: list[_Waiting], cause: BaseException | None, reason: str) -> None:
        for waiting in (*batch, *self._queue):
            waiting.fail(cause, reason)
        batch.clear()
        self._queue.clear()

    def _fill(self, batch: list[_Waiting]) -> bool:
        """Move entries from the queue to the batch, in order, except those that were withdrawn or are too late."""
        # With half of what is on its way in each batch, the server works on one while callers prepare the next.
        most = min(max(self.room.events // 2, _SMALL_BATCH_EVENTS), _BATCH_EVENTS)
        size_bytes = sum(waiting.size_bytes for waiting in batch)
        now = self.loop.time()
        while self._queue and len(batch) < most:
            waiting = self._queue[0]
            if batch and size_bytes + waiting.size_bytes > _BATCH_BYTES:
                break
            self._queue.popleft()
            if waiting.deadline <= now:
                waiting.fail(self._outage, _LATE if self._outage is None else str(self._outage))
            elif not waiting.key.done():
                batch.append(waiting)
                size_bytes += waiting.size_bytes
        return bool(batch)

    async def _send_batch(self, batch: list[_Waiting]) -> None:
        """Send a batch until each of its entries has an answer or is too late. Leaves the batch empty."""
        delays = Delays(_BACKOFF)
        while batch:
            failure = await self._send(batch)
            if failure is None:
                return
            self._note_outage(failure)
            left_seconds = min(waiting.deadline for waiting in batch) - self.loop.time()
            await asyncio.sleep(min(delays.next().total_seconds(), max(0.0, left_seconds)))
            self._expire(batch, failure)
            self._fill(batch)

    async def _send(self, batch: list[_Waiting]) -> BackboneError | None:
        """Try once. Keep in the batch what may be tried again, and return why."""
        try:
            with self._timeout.at(min([waiting.deadline for waiting in batch])):
                answers = await self._append(batch)
        except TimeoutError:
            return self._outage or StreamUnavailable(_LATE)
        except StreamUnavailable as error:
            return error
        except BackboneError as error:
            for waiting in batch:
                waiting.refuse(error)
            batch.clear()
            return None
        telemetry.produce_batch.record(len(batch), self._attributes)
        failure: BackboneError | None = None
        again: list[_Waiting] = []
        for waiting, answer in zip(batch, answers, strict=True):
            if isinstance(answer, EventKey):
                if not waiting.key.done():
                    waiting.key.set_result(answer)
            elif answer.retryable:
                again.append(waiting)
                failure = answer
            else:
                waiting.refuse(answer)
        batch[:] = again
        if failure is None:
            self._outage = None
        return failure

    async def _append(self, batch: list[_Waiting]) -> Sequence[EventKey | StreamError]:
        try:
            return await self._stream.append([waiting.entry for waiting in batch])
        except BaseException as error:
            if not isinstance(error, BackboneError) or error.retryable:  # else it is an answer
                for waiting in batch:
                    waiting.in_doubt = True
            raise

    def _note_outage(self, failure: BackboneError) -> None:
        if self._outage is None:
            telemetry.outages.add(1, {**self._attributes, "side": "producer"})
            _log.warning("Stream %s is unavailable: %s", self._stream.name.key, failure)
        self._outage = failure

    def _expire(self, batch: list[_Waiting], cause: BackboneError) -> None:
        now = self.loop.time()
        for waiting in batch:
            if waiting.deadline <= now:
                waiting.fail(cause, str(cause))
        batch[:] = [waiting for waiting in batch if waiting.deadline > now]
