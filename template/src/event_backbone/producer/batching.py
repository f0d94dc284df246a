"""Batching: entries of one stream that wait at the same time are appended in one round trip."""

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
from event_backbone.producer.shared_timeout import SharedTimeout
from event_backbone.stream.base import Stream
from event_backbone.stream.values import NewEntry

_BATCH_EVENTS = 256
_SMALL_BATCH_EVENTS = 16
_BATCH_BYTES = 1024 * 1024
_QUEUE_EVENTS = 4096
_BACKOFF = Backoff(first=timedelta(milliseconds=50), longest=timedelta(seconds=1), jitter=0.5)

_TOO_LATE = "The stream did not take the event in time."
_CLOSED = "The backbone was closed before the event was sent."

_log = logging.getLogger("event_backbone")


class _QueuedEntry:
    """An entry, queued or in a batch, and the future of the call that waits for its key.

    It is ``in_doubt`` once it was sent to the stream and there was no answer: from then on it may be in the stream,
    whatever the stream answers later, except a key.
    """

    __slots__ = ("deadline", "entry", "in_doubt", "key", "size_bytes")

    def __init__(self, entry: NewEntry, key: asyncio.Future[EventKey], deadline: float, size_bytes: int) -> None:
        self.entry = entry
        self.key = key
        self.deadline = deadline
        self.size_bytes = size_bytes
        self.in_doubt = False

    def fail(self, cause: BaseException | None, reason: str) -> None:
        """End the call without a key: with OutcomeUnknown if the stream may have the entry, else with NotSent."""
        if self.key.done():
            return
        error = OutcomeUnknown(self.entry.event_id, reason) if self.in_doubt else NotSent(reason)
        error.__cause__ = cause
        self.key.set_exception(error)

    def fail_with(self, error: BackboneError) -> None:
        """End the call with the stream's error, copied for each call: a shared one would collect tracebacks.

        An entry in doubt stays in doubt: the error becomes the cause of OutcomeUnknown.
        """
        if self.in_doubt:
            self.fail(error, str(error))
        elif not self.key.done():
            copied = copy.copy(error)
            copied.__cause__ = error
            self.key.set_exception(copied)


class Batcher:
    """Appends the entries of one stream, in the order in which they come, one batch at a time.

    There is no timer: a lone entry is sent at once, and what comes while a batch is in flight makes the next one. A
    batch has up to 256 entries and 1 MiB. While the stream is unavailable a batch is retried, until its callers'
    deadlines. A caller that is cancelled withdraws its entry as long as it is queued; once sent, it is not withdrawn.

    Every call of ``append`` ends, with a key or with an error. The caller acquires ``capacity`` first, and
    releases it when the call has ended. ``timeout`` is also for what it does before that.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        queue_events: int = _QUEUE_EVENTS,
        queue_bytes: int = 64 * 1024 * 1024,
        event_loop: OneEventLoop | None = None,
    ) -> None:
        """Append to ``stream``. ``queue_events`` and ``queue_bytes`` are its capacity."""
        self.capacity = Capacity(queue_events, queue_bytes)
        self.stream = stream
        self.timeout = SharedTimeout()
        self._attributes = {"uri": stream.name.uri}
        telemetry.outages.add(0, {**self._attributes, "side": "producer"})  # so that the first one counts in Prometheus
        self._queue: deque[_QueuedEntry] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._outage: BackboneError | None = None
        self._event_loop = event_loop or OneEventLoop()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """The batcher's event loop, looked up once because that costs a system call."""
        return asyncio.get_running_loop()

    def running_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, for the caller of ``append``.

        Raises ConfigurationError in another loop than this batcher's, BackboneClosed there once it is closed.
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
        key: asyncio.Future[EventKey] = self._loop.create_future()
        self._queue.append(_QueuedEntry(entry, key, deadline, size_bytes))
        if self._task is None:
            self._start()
        return key

    async def close(self, drain: timedelta) -> None:
        """Refuse new events, send what has been accepted within ``drain``, and fail the rest."""
        self.capacity.close()
        try:
            async with asyncio.timeout(drain.total_seconds()):
                await self.capacity.drained()
                if self._task is not None:  # entries whose callers were cancelled may still be in flight
                    await asyncio.wait([self._task])
        except TimeoutError:
            _log.warning("Closed before all events for stream %s were sent.", self.stream.name.key)
        finally:
            self._closed = True
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
            self.timeout.stop()

    def _start(self) -> None:
        # An empty context: no caller's span, cancel scope or context variable leaks into the batches of others.
        self._task = self._loop.create_task(self._run(), name="event-backbone-batcher", context=contextvars.Context())
        self._task.add_done_callback(self._task_done)

    async def _run(self) -> None:
        batch: list[_QueuedEntry] = []
        try:
            while self._take_from_queue(batch) or await self._take_from_queue_after_a_turn(batch):
                failure = await self._send_once(batch)
                if failure is not None:
                    await self._send_again(batch, failure)
        except Exception as error:  # a bug: no caller may wait forever
            _log.exception("Events for stream %s could not be sent.", self.stream.name.key)
            self._fail_all(batch, error, "The producer failed.")
            raise
        except BaseException:
            self._fail_all(batch, None, _CLOSED)
            raise
        finally:
            self._task = None
        if self._queue:  # cancelled during the turn above
            self._start()

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # perhaps before its first step, so that nothing has failed the queue yet
            self._closed = True
            self._fail_all([], None, _CLOSED)
            self._task = None
        else:
            task.exception()  # mark as retrieved: it was logged, and every caller has it

    def _fail_all(self, batch: list[_QueuedEntry], cause: BaseException | None, reason: str) -> None:
        for queued in (*batch, *self._queue):
            queued.fail(cause, reason)
        batch.clear()
        self._queue.clear()

    def _take_from_queue(self, batch: list[_QueuedEntry]) -> bool:
        """Move entries from the queue to the batch, in order, without withdrawn and expired ones; say if it has any."""
        if not self._queue:
            return bool(batch)
        # With half of the accepted events in each batch, the server works on one while callers prepare the next.
        most = min(max(self.capacity.acquired_events // 2, _SMALL_BATCH_EVENTS), _BATCH_EVENTS)
        size_bytes = sum([queued.size_bytes for queued in batch])
        now = self._loop.time()
        while self._queue and len(batch) < most:
            queued = self._queue[0]
            if batch and size_bytes + queued.size_bytes > _BATCH_BYTES:
                break
            self._queue.popleft()
            if queued.deadline <= now:
                queued.fail(self._outage, _TOO_LATE if self._outage is None else str(self._outage))
            elif not queued.key.done():
                batch.append(queued)
                size_bytes += queued.size_bytes
        return bool(batch)

    async def _take_from_queue_after_a_turn(self, batch: list[_QueuedEntry]) -> bool:
        """Let callers that have just been answered call again: fast path, see decision 0005."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._closed:
                raise
            return False  # no call was cancelled with it: what is queued by now gets another task
        return self._take_from_queue(batch)

    async def _send_again(self, batch: list[_QueuedEntry], failure: BackboneError | None) -> None:
        """Send a batch until each of its entries has an answer or has expired. Leaves the batch empty."""
        delays = Delays(_BACKOFF)
        while failure is not None:
            self._note_outage(failure)
            left_seconds = min(queued.deadline for queued in batch) - self._loop.time()
            await asyncio.sleep(min(delays.next().total_seconds(), max(0.0, left_seconds)))
            self._drop_expired(batch, failure)
            failure = await self._send_once(batch) if self._take_from_queue(batch) else None

    async def _send_once(self, batch: list[_QueuedEntry]) -> BackboneError | None:
        """Send a batch once. Keep in it what must be retried, and return why."""
        try:
            with self.timeout.at(min([queued.deadline for queued in batch])):
                answers = await self._append(batch)
        except TimeoutError:
            return self._outage or StreamUnavailable(_TOO_LATE)
        except StreamUnavailable as error:
            return error
        except BackboneError as error:
            for queued in batch:
                queued.fail_with(error)
            batch.clear()
            return None
        telemetry.produce_batch.record(len(batch), self._attributes)
        failure: BackboneError | None = None
        retried: list[_QueuedEntry] = []
        for queued, answer in zip(batch, answers, strict=True):
            if isinstance(answer, EventKey):
                if not queued.key.done():
                    queued.key.set_result(answer)
            elif answer.retryable:
                retried.append(queued)
                failure = answer
            else:
                queued.fail_with(answer)
        batch[:] = retried
        if failure is None:
            self._outage = None
        return failure

    async def _append(self, batch: list[_QueuedEntry]) -> Sequence[EventKey | StreamError]:
        try:
            return await self.stream.append([queued.entry for queued in batch])
        except BaseException as error:
            if not isinstance(error, BackboneError) or error.retryable:  # any other error is the stream's answer
                for queued in batch:
                    queued.in_doubt = True
            raise

    def _note_outage(self, failure: BackboneError) -> None:
        if self._outage is None:
            telemetry.outages.add(1, {**self._attributes, "side": "producer"})
            _log.warning("Stream %s is unavailable: %s", self.stream.name.key, failure)
        self._outage = failure

    def _drop_expired(self, batch: list[_QueuedEntry], cause: BackboneError) -> None:
        now = self._loop.time()
        for queued in batch:
            if queued.deadline <= now:
                queued.fail(cause, str(cause))
        batch[:] = [queued for queued in batch if queued.deadline > now]
