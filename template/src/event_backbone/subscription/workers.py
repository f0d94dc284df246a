"""Starts handlers: at most ``concurrency`` at the same time, each event in its own task and context.

A handler may cancel its task or set context variables without affecting the next event. Tasks start eagerly: each runs
to where it first waits before the caller goes on. A handler that never waits then costs no turn of the event loop, and
what follows many events, such as their acks, is done for them together (``eager_start``).
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from operator import attrgetter
from time import perf_counter
from typing import Any

from event_backbone.errors import EntryUnreadable
from event_backbone.subscription.batch_handling import handle_batch
from event_backbone.subscription.batches import EventBatch, Work
from event_backbone.subscription.eager_start import eager_start
from event_backbone.subscription.event_in_flight import InFlight
from event_backbone.subscription.handled_event import HandledEvent
from event_backbone.subscription.handling import Handling
from event_backbone.subscription.in_flight import EventsInFlight
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.subscription.member import Member
from event_backbone.subscription.outcome import FINISHED, Outcome
from event_backbone.subscription.settlement import Settlement
from event_backbone.subscription.sharing import Shared

_SLICE_SECONDS = 0.0005
_KEY = attrgetter("key")


class Workers:
    """Takes events that are ready, in order, and hands over each outcome to be settled.

    ``in_order`` lets the next event begin when the one before has been settled, its ack included.
    """

    def __init__(
        self,
        in_flight: EventsInFlight,
        member: Member,
        handling: Handling,
        *,
        settlement: Settlement,
        in_order: bool,
        shared: Shared,
        broken: Callable[[BaseException], None],
    ) -> None:
        """Run what is in ``in_flight``.

        Nothing begins while ``member`` may not: call ``start_ready`` when it may again. ``broken`` takes what
        a handler raised that must end the process, such as KeyboardInterrupt.
        """
        self._in_flight = in_flight
        self._handling = handling
        self._in_order = in_order
        self._slots, self._limit = shared.slots, shared.limit
        self._settlement = settlement
        self._ack = settlement.acks.ack
        self._member = member
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._start = eager_start(self._loop)
        self._context = contextvars.copy_context()
        self._ready: deque[Work] = deque()
        self._tasks: dict[asyncio.Task[Any], Work] = {}
        self._last: Work | None = None
        self._filling = False
        self._paused = False
        self._closed = False
        if self._limit.gates:
            self._limit.start(self)
            in_flight.on_settled = self._limit.settled
        elif in_order:
            in_flight.on_settled = self.start_ready

    def add(self, work: Sequence[Work]) -> None:
        """Handle these, in order."""
        self._ready.extend(work)
        self.start_ready()

    def start_ready(self) -> None:
        """Begin what is ready, as far as concurrency allows.

        In its own turn of the event loop, within no task: a handler that never waits runs to its end there, and is no
        part of loading, looking or acking.
        """
        if self._ready and not self._filling:
            self._filling = True
            self._loop.call_soon(self._start_ready, context=self._context)

    async def begin_alone(self, event: InFlight) -> asyncio.Task[Outcome] | None:
        """Begin an event, whatever else runs; return its task, None when it has ended, or may no longer begin."""
        begun: asyncio.Future[asyncio.Task[Outcome] | None] = self._loop.create_future()

        def begin() -> None:
            if not self._tasks:
                self._in_flight.pace.began(perf_counter())
            task = self._begin(event) if event.active and not self._closed else None
            if not begun.done():
                begun.set_result(task)

        self._loop.call_soon(begin, context=self._context)
        return await begun

    def _start_ready(self) -> None:
        self._filling = False
        self._slots.leave(self)
        if not self._has_capacity() or not self._member.may_begin():
            self._wait_for_slot()
            return
        now = perf_counter()
        until = now + _SLICE_SECONDS
        if not self._tasks:
            self._in_flight.pace.began(now)
        while self._ready and self._has_capacity():
            work = self._ready.popleft()
            if not work.active:
                continue
            task = self._begin(work) if isinstance(work, InFlight) else self._begin_batch(work)
            if task is None and self._in_flight.pace.since > until:
                # Handlers that never wait would keep every other task, such as the look, from running.
                self.start_ready()
                return
        self._wait_for_slot()

    def _free_slot(self) -> None:
        if self._slots.free(self):
            self.start_ready()
        else:
            self._start_ready()

    def _wait_for_slot(self) -> None:
        if self._ready and self._slots.full and not self._closed:
            self._slots.wait(self)

    def _begin(self, event: InFlight) -> asyncio.Task[Outcome] | None:
        self._in_flight.move(event, "running")
        self._last = event
        loaded = event.loaded
        if not isinstance(loaded, LoadedEvent):
            assert isinstance(loaded, EntryUnreadable)  # noqa: S101 - the loader leaves nothing else
            self._settlement.settle(event, self._handling.unreadable(loaded))
            return None
        ctx = self._handling.context_of(loaded.metadata, event.key, event.attempt, self._ack, event)
        handling = self._handling.handle(loaded, ctx, event.attempts)
        task = self._start(handling, loop=self._loop, context=self._context.copy())
        if task.done():
            self._decide(event, ctx, task)
            return None
        self._tasks[task] = event
        self._slots.running += 1
        event.task = task
        task.add_done_callback(functools.partial(self._done, event, ctx), context=self._context)
        return task

    def _begin_batch(self, batch: EventBatch) -> asyncio.Task[Any] | None:
        batch.close()
        # Payloads come in any order, but a batch is in that of the stream.
        active = sorted([event for event in batch.events if event.active], key=_KEY)
        count = self._limit.may_begin(len(active))
        events = batch.events = active[:count]
        self._ready.extendleft(reversed(active[count:]))
        if len(events) == 1:
            return self._begin(events[0])
        self._in_flight.begin_batch(events)
        self._last = batch
        context_of, ack = self._handling.context_of, self._ack
        batch.loaded = [each.loaded for each in events if isinstance(each.loaded, LoadedEvent)]  # no other is gathered
        batch.contexts = [
            context_of(loaded.metadata, event.key, event.attempt, ack, event)
            for event, loaded in zip(events, batch.loaded, strict=True)
        ]
        task = self._start(handle_batch(self._handling, batch), loop=self._loop, context=self._context.copy())
        if task.done():
            self._decide_batch(batch, task)
            return None
        self._tasks[task] = batch
        self._slots.running += 1
        batch.run_by(task)
        task.add_done_callback(functools.partial(self._batch_done, batch), context=self._context)
        return task

    def pause(self) -> None:
        """Begin nothing of what is ready until ``resume``."""
        self._paused = True

    def resume(self) -> None:
        """Begin what is ready again."""
        self._paused = False
        self.start_ready()

    def close(self) -> None:
        """Begin nothing any more. What is ready but has not begun stays so."""
        self._closed = True

    async def wait_idle(
        self, limit: timedelta | None = None, *, besides: Collection[asyncio.Task[Outcome]] = ()
    ) -> bool:
        """Wait until nothing runs, or nothing ``besides`` these, for at most ``limit`` (None: no limit); return if so.

        Meant for times in which nothing begins.
        """
        tasks = [task for task in self._tasks if task not in besides]
        if not tasks:
            return True
        _, late = await asyncio.wait(tasks, timeout=None if limit is None else limit.total_seconds())
        return not late

    def cancel(self) -> None:
        """Cancel everything that runs; the events stay in flight, as not finished."""
        for task, work in self._tasks.items():
            work.abandon()
            task.cancel()

    @property
    def closed(self) -> bool:
        """Whether nothing may begin any more."""
        return self._closed

    @property
    def running(self) -> int:
        """How many handlers run, those included whose event is no longer in flight."""
        return len(self._tasks)

    def _has_capacity(self) -> bool:
        if self._closed or self._paused or self._slots.full:
            return False
        if self._limit.gates and self._limit.may_begin(1) < 1:
            return False
        if not self._in_order:
            return True
        last = self._last
        return last is None or last.settled

    def _done(self, event: InFlight, ctx: HandledEvent, task: asyncio.Task[Outcome]) -> None:
        del self._tasks[task]
        event.task = None
        if not event.active:  # its end came first, by an ack within the handler or a lost lease
            self._in_flight.release_payload(event)
        self._decide(event, ctx, task)
        self._free_slot()

    def _decide(self, event: InFlight, ctx: HandledEvent, task: asyncio.Task[Outcome]) -> None:
        self._in_flight.pace.ended(perf_counter(), last=not self._tasks)
        try:
            outcome = task.result()
        except asyncio.CancelledError as error:
            if event.abandoned:
                return
            outcome = self._handling.failed(ctx, event.attempts, error)
        except BaseException as error:  # noqa: BLE001 - no failure of a handler, which are outcomes, but worse
            self._broken(error)
            return
        if not event.abandoned and not ctx.acked:
            self._settlement.settle(event, outcome)

    def _batch_done(self, batch: EventBatch, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        for event in batch.events:
            event.task = None
            if not event.active:
                self._in_flight.release_payload(event)
        self._decide_batch(batch, task)
        self._free_slot()

    def _decide_batch(self, batch: EventBatch, task: asyncio.Task[None]) -> None:
        self._in_flight.end_batch(batch.events)
        self._in_flight.pace.ended_together(perf_counter(), len(batch.events), last=not self._tasks)
        error: BaseException | None = None
        try:
            task.result()
        except asyncio.CancelledError as cancelled:
            error = cancelled
        except BaseException as raised:  # noqa: BLE001 - no failure of a handler, but worse
            self._broken(raised)
            return
        finished: list[InFlight] = []
        for event, ctx, decided in zip(batch.events, batch.contexts, batch.outcomes, strict=True):
            if event.abandoned or ctx.acked:
                continue
            outcome = decided
            if outcome is None and error is not None:
                outcome = self._handling.failed(ctx, event.attempts, error)
            if outcome is FINISHED and event.active:
                finished.append(event)
            elif outcome is not None:
                self._settlement.settle(event, outcome)
        if finished:
            self._settlement.acks.add_all(finished)
