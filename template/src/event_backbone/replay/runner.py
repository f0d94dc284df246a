"""Calls the handlers of a replay's events: ``concurrency`` at once, each attempt in its own task and context."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import itertools
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from time import perf_counter
from typing import Any

from event_backbone import telemetry
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import EntryUnreadable, PayloadForbidden
from event_backbone.model import NewDeadLetter
from event_backbone.policy import RetryLater
from event_backbone.replay.batches import Batches, ReplayedBatch, Work
from event_backbone.replay.follow_ups import ReplayFollowUps
from event_backbone.replay.options import ReplayOptions
from event_backbone.replay.report import ReplayFailure, Tally, failure_of
from event_backbone.replay.window import ReplayedEvent, Window
from event_backbone.subscription.batch_handling import handle_batch
from event_backbone.subscription.eager_start import eager_start
from event_backbone.subscription.handled_event import HandledEvent
from event_backbone.subscription.handling import Handling
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.subscription.outcome import Outcome

_SLICE_SECONDS = 0.0005
_BURST_SECONDS = 0.1
_AHEAD = 200
_AHEAD_BYTES = 32 * 1024 * 1024
_MOST_IN_WINDOW = 100_000


class Runner:
    """Takes events in order and begins them in order; ``ended`` is set once nothing runs and nothing will begin."""

    def __init__(
        self, handling: Handling, follow_ups: ReplayFollowUps, window: Window, tally: Tally, options: ReplayOptions
    ) -> None:
        """Handle what is added by ``handling``, and count it in ``tally``; ``window`` has what was added."""
        self._handling = handling
        self._follow_ups = follow_ups
        self._window = window
        self._tally = tally
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._start = eager_start(self._loop)
        self._context = contextvars.copy_context()
        self._batches = Batches(in_order=options.concurrency == 1)
        self._ready: deque[Work] = deque()
        self._ahead = 0  # how many events are ready
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting: dict[ReplayedEvent, asyncio.TimerHandle] = {}
        self._starting = False
        self._closed = self._complete = self._cancelled = False
        self._due = self._loop.time()
        self._taken = asyncio.Event()
        self.ended = asyncio.Event()
        self.failure: ReplayFailure | None = None
        self.broken: BaseException | None = None

    def add(self, events: Sequence[ReplayedEvent]) -> None:
        """Handle these after those before."""
        self._handling.begin_batch()
        self._make_ready(self._batches.add(events))

    def complete(self) -> None:
        """Expect no more events."""
        self._complete = True
        self._make_ready(self._batches.rest())
        self._check_ended()

    def close(self) -> None:
        """Begin no more attempts; those that run may finish."""
        self._closed = True
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        self._check_ended()

    def cancel(self) -> None:
        """Begin no more attempts, and cancel those that run: their events are not done with."""
        self._cancelled = True
        self.close()
        for task in self._tasks:
            task.cancel()

    async def until_wanted(self) -> None:
        """Wait until more events are wanted: few are ready, and their payloads have left memory."""
        window = self._window
        while self._ahead > _AHEAD or window.bytes > _AHEAD_BYTES or len(window) > _MOST_IN_WINDOW:
            if not (self._ready or self._tasks or self._waiting):  # only batches that are not full take the memory
                self._make_ready(self._batches.rest())
            self._taken.clear()
            await self._taken.wait()

    def _make_ready(self, work: Sequence[Work]) -> None:
        self._ready.extend(work)
        self._ahead += sum([_size(each) for each in work])
        self._start_soon()

    def _start_soon(self) -> None:
        # In its own turn of the event loop, within no task, as eager tasks need it.
        if self._ready and not self._starting and not self._closed:
            self._starting = True
            self._loop.call_soon(self._start_ready, context=self._context)

    def _start_ready(self) -> None:
        self._starting = False
        until = perf_counter() + _SLICE_SECONDS
        while self._ready and self._has_capacity():
            count = _size(self._ready[0])
            if self._options.rate is not None and not self._take_turn(count / self._options.rate):
                break
            self._ahead -= count
            work = self._ready.popleft()
            if count > 1:
                assert isinstance(work, ReplayedBatch)  # noqa: S101 - as it has several events
                self._begin_batch(work)
            else:
                self._begin(work.events[0] if isinstance(work, ReplayedBatch) else work)
            if perf_counter() > until:  # handlers that never wait would keep every other task from running
                self._start_soon()
                break
        self._taken.set()
        self._check_ended()

    def _has_capacity(self) -> bool:
        return not self._closed and len(self._tasks) + len(self._waiting) < self._options.concurrency

    def _take_turn(self, seconds: float) -> bool:
        """Return whether the next may begin, and the one after it no sooner than after so long; else start then."""
        now = self._loop.time()
        self._due = max(self._due, now - _BURST_SECONDS)
        if self._due > now:
            self._starting = True
            self._loop.call_at(self._due, self._start_ready, context=self._context)
            return False
        self._due += seconds
        return True

    def _begin(self, event: ReplayedEvent) -> None:
        if isinstance(event.read, EntryUnreadable):
            self._settle(event, self._options.retry.decide(1, event.read))
            return
        loaded, ctx = self._attempt(event)
        # A payload that was refused is not loaded again: whoever corrects permissions goes on from there.
        forbidden = isinstance(loaded.payload, PayloadForbidden)
        attempts = self._options.retry.max_attempts if forbidden else event.attempt
        handling = self._handling.handle(loaded, ctx, attempts)
        task = self._start(handling, loop=self._loop, context=self._context.copy())
        if task.done():
            self._end(event, ctx, task)
        else:
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._done, event, ctx), context=self._context)

    def _begin_batch(self, batch: ReplayedBatch) -> None:
        for event in batch.events:
            loaded, ctx = self._attempt(event)
            batch.loaded.append(loaded)
            batch.contexts.append(ctx)
        task = self._start(handle_batch(self._handling, batch), loop=self._loop, context=self._context.copy())
        if task.done():
            self._end_batch(batch, task)
        else:
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._batch_done, batch), context=self._context)

    def _attempt(self, event: ReplayedEvent) -> tuple[LoadedEvent, HandledEvent]:
        """Return what was loaded of an event, and the context of its next attempt."""
        read, route = event.read, event.route
        assert isinstance(read, StoredEvent)  # noqa: S101 - it was read, and is not done with
        assert route is not None  # noqa: S101 - as every event that was read
        event.attempt += 1
        loaded = LoadedEvent(read.metadata, route, read.content if route.wanted else None, read.references)
        return loaded, self._handling.context_of(read.metadata, event.key, event.attempt, _ack_nothing, event)

    def _done(self, event: ReplayedEvent, ctx: HandledEvent, task: asyncio.Task[Outcome]) -> None:
        self._tasks.discard(task)
        self._end(event, ctx, task)
        self._start_soon()
        self._check_ended()

    def _batch_done(self, batch: ReplayedBatch, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._end_batch(batch, task)
        self._start_soon()
        self._check_ended()

    def _end_batch(self, batch: ReplayedBatch, task: asyncio.Task[None]) -> None:
        cancelled: asyncio.CancelledError | None = None
        try:
            task.result()
        except asyncio.CancelledError as error:
            if self._cancelled:
                return
            cancelled = error
        except BaseException as error:  # noqa: BLE001 - no failure of a handler, which are outcomes, but worse
            self._break(error)
            return
        failed: list[ReplayedEvent] = []
        for event, ctx, decided in zip(batch.events, batch.contexts, batch.outcomes, strict=True):
            outcome = decided
            if outcome is None and cancelled is not None:
                outcome = self._handling.failed(ctx, event.attempt, cancelled)
            if isinstance(outcome, RetryLater):
                self._postpone(event, outcome)
                failed.append(event)
            elif outcome is not None:
                self._settle(event, outcome)
        if failed:
            self._wait_in_turn(failed)

    def _wait_in_turn(self, failed: list[ReplayedEvent]) -> None:
        """Let each be attempted alone, after the one before: their batch was one of those that run at once."""
        if self._options.concurrency > 1:
            failed.sort(key=attrgetter("due"))
        for event, follower in itertools.pairwise(failed):
            event.follower = follower
        self._wait(failed[0])

    def _end(self, event: ReplayedEvent, ctx: HandledEvent, task: asyncio.Task[Outcome]) -> None:
        try:
            outcome = task.result()
        except asyncio.CancelledError as error:
            if self._cancelled:
                return
            outcome = self._handling.failed(ctx, event.attempt, error)
        except BaseException as error:  # noqa: BLE001 - no failure of a handler, which are outcomes, but worse
            self._break(error)
            return
        self._settle(event, outcome)

    def _break(self, error: BaseException) -> None:
        self.broken = self.broken or error
        self.close()

    def _settle(self, event: ReplayedEvent, outcome: Outcome) -> None:
        if isinstance(outcome, RetryLater):
            self._postpone(event, outcome)
            self._wait(event)
            return
        if isinstance(outcome, NewDeadLetter):
            if self._stops(event, outcome):
                self.failure = self.failure or failure_of(event.key, event.name, outcome)
                self.close()
                return
            self._tally.fail(event.key, event.name, outcome)
        elif outcome.skipped:
            self._tally.skipped[outcome.skipped] += 1
        elif event.route is not None:
            self._tally.handled[event.route.attributes["event"]] += 1
        self._window.done(event)
        self._follow_ups.end(event.key)
        self._taken.set()
        if event.follower is not None:
            self._wait(event.follower)

    def _postpone(self, event: ReplayedEvent, later: RetryLater) -> None:
        if event.route is not None:
            telemetry.retried.add(1, event.route.attributes)
        event.due = self._loop.time() + later.after.total_seconds()

    def _wait(self, event: ReplayedEvent) -> None:
        if not self._closed:
            self._waiting[event] = self._loop.call_at(event.due, self._again, event, context=self._context)

    def _again(self, event: ReplayedEvent) -> None:
        del self._waiting[event]
        self._begin(event)
        self._start_soon()
        self._check_ended()

    def _stops(self, event: ReplayedEvent, letter: NewDeadLetter) -> bool:
        if self._options.on_failure == "continue":
            return False
        forbidden = isinstance(event.read, StoredEvent) and isinstance(event.read.content, PayloadForbidden)
        return forbidden or letter.reason == "attempts-exhausted"

    def _check_ended(self) -> None:
        nothing_more = self._closed or (self._complete and not self._ready and not self._waiting)
        if nothing_more and not self._tasks:
            self.ended.set()


def _size(work: Work) -> int:
    return len(work.events) if isinstance(work, ReplayedBatch) else 1


async def _ack_nothing(_: ReplayedEvent) -> None:
    """Ack nothing: there is no group."""
