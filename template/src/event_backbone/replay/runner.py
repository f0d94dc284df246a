"""Calls the handlers of a replay's events: ``concurrency`` at once, each attempt in its own task and context."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections import deque
from collections.abc import Sequence
from time import perf_counter

from event_backbone import telemetry
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import EntryUnreadable, PayloadForbidden
from event_backbone.model import NewDeadLetter
from event_backbone.policy import RetryLater
from event_backbone.replay.follow_ups import ReplayFollowUps
from event_backbone.replay.options import ReplayOptions
from event_backbone.replay.report import ReplayFailure, Tally, failure_of
from event_backbone.replay.window import ReplayedEvent, Window
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
        self._ready: deque[ReplayedEvent] = deque()
        self._tasks: set[asyncio.Task[Outcome]] = set()
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
        self._ready.extend(events)
        self._start_soon()

    def complete(self) -> None:
        """Expect no more events."""
        self._complete = True
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
        while len(self._ready) > _AHEAD or window.bytes > _AHEAD_BYTES or len(window) > _MOST_IN_WINDOW:
            self._taken.clear()
            await self._taken.wait()

    def _start_soon(self) -> None:
        # In its own turn of the event loop, within no task, as eager tasks need it.
        if self._ready and not self._starting and not self._closed:
            self._starting = True
            self._loop.call_soon(self._start_ready, context=self._context)

    def _start_ready(self) -> None:
        self._starting = False
        until = perf_counter() + _SLICE_SECONDS
        while self._ready and self._has_capacity():
            if self._options.rate is not None and not self._take_turn(self._options.rate):
                break
            self._begin(self._ready.popleft())
            if perf_counter() > until:  # handlers that never wait would keep every other task from running
                self._start_soon()
                break
        self._taken.set()
        self._check_ended()

    def _has_capacity(self) -> bool:
        return not self._closed and len(self._tasks) + len(self._waiting) < self._options.concurrency

    def _take_turn(self, rate: float) -> bool:
        """Return whether the next event may begin; else start again when it may."""
        now = self._loop.time()
        self._due = max(self._due, now - _BURST_SECONDS)
        if self._due > now:
            self._starting = True
            self._loop.call_at(self._due, self._start_ready, context=self._context)
            return False
        self._due += 1 / rate
        return True

    def _begin(self, event: ReplayedEvent) -> None:
        read, route = event.read, event.route
        event.attempt += 1
        if isinstance(read, EntryUnreadable):
            self._settle(event, self._options.retry.decide(1, read))
            return
        assert read is not None  # noqa: S101 - it is not done with
        assert route is not None  # noqa: S101 - as every event that was read
        content = read.content
        # A payload that was refused is not loaded again: whoever corrects permissions goes on from there.
        attempts = self._options.retry.max_attempts if isinstance(content, PayloadForbidden) else event.attempt
        loaded = LoadedEvent(read.metadata, route, content if route.wanted else None, read.references)
        ctx = self._handling.context_of(read.metadata, event.key, event.attempt, _ack_nothing, event)
        handling = self._handling.handle(loaded, ctx, attempts)
        task = self._start(handling, loop=self._loop, context=self._context.copy())
        if task.done():
            self._end(event, ctx, task)
        else:
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._done, event, ctx), context=self._context)

    def _done(self, event: ReplayedEvent, ctx: HandledEvent, task: asyncio.Task[Outcome]) -> None:
        self._tasks.discard(task)
        self._end(event, ctx, task)
        self._start_soon()
        self._check_ended()

    def _end(self, event: ReplayedEvent, ctx: HandledEvent, task: asyncio.Task[Outcome]) -> None:
        try:
            outcome = task.result()
        except asyncio.CancelledError as error:
            if self._cancelled:
                return
            outcome = self._handling.failed(ctx, event.attempt, error)
        except BaseException as error:  # noqa: BLE001 - no failure of a handler, which are outcomes, but worse
            self.broken = self.broken or error
            self.close()
            return
        self._settle(event, outcome)

    def _settle(self, event: ReplayedEvent, outcome: Outcome) -> None:
        if isinstance(outcome, RetryLater):
            if event.route is not None:
                telemetry.retried.add(1, event.route.attributes)
            if not self._closed:
                delay = outcome.after.total_seconds()
                self._waiting[event] = self._loop.call_later(delay, self._again, event, context=self._context)
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


async def _ack_nothing(_: ReplayedEvent) -> None:
    """Ack nothing: there is no group."""
