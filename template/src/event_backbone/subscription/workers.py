"""Runs events: at most ``concurrency`` at the same time, each in a task and a context of its own.

So a handler may cancel its task or set context variables: the next event knows nothing of it. Where Python has eager
tasks (from 3.12 on), a handler that never waits costs no turn of the event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from datetime import timedelta
from time import perf_counter

from event_backbone.consumer import Context
from event_backbone.delivery import Arrived, Deliverer, Finished, Outcome
from event_backbone.errors import EntryUnreadable
from event_backbone.subscription.acks import AckLoop
from event_backbone.subscription.in_flight import EventsInFlight, InFlight

_SLICE_SECONDS = 0.002


class Workers:
    """Takes events that are ready, in order, and hands over each outcome to be settled.

    With ``concurrency`` 1 the next event begins when the one before has been settled, its ack included.
    """

    def __init__(
        self,
        in_flight: EventsInFlight,
        deliverer: Deliverer,
        acks: AckLoop,
        *,
        concurrency: int,
        may_begin: Callable[[], bool],
        settle: Callable[[InFlight, Outcome], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        """Run what is in ``in_flight``.

        Nothing begins while ``may_begin`` is false: ``fill`` has to be called when it may be true again. ``broken``
        is told what a handler raised that must end the process, as KeyboardInterrupt must.
        """
        self._in_flight = in_flight
        self._deliverer = deliverer
        self._acks = acks
        self._concurrency = concurrency
        self._may_begin = may_begin
        self._settle = settle
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._ready: deque[InFlight] = deque()
        self._tasks: dict[asyncio.Task[Outcome], InFlight] = {}
        self._unsettled: InFlight | None = None
        self._filling = False
        self._held_back = False
        self._closed = False
        if concurrency == 1:
            in_flight.on_settled = self.fill

    def put(self, events: Sequence[InFlight]) -> None:
        """Let these be handled."""
        self._ready.extend(events)
        self.fill()

    def fill(self) -> None:
        """Begin what is ready, as far as there are free places."""
        if self._filling or not self._ready:
            return
        self._filling = True
        began = perf_counter()
        try:
            while self._ready and self._free():
                event = self._ready.popleft()
                if not event.held:
                    continue
                self.begin(event)
                if perf_counter() - began > _SLICE_SECONDS:
                    # Handlers that never wait would keep every other task, the next look among them, from running.
                    self._loop.call_soon(self.fill, context=self._context)
                    return
        finally:
            self._filling = False

    def begin(self, event: InFlight) -> asyncio.Task[Outcome] | None:
        """Begin an event now, whatever else runs; return its task, None when it has ended already."""
        self._in_flight.move(event, "running")
        arrived = event.arrived
        if not isinstance(arrived, Arrived):
            assert isinstance(arrived, EntryUnreadable)  # noqa: S101 - the loader leaves nothing else
            self._after(event, self._deliverer.unreadable(arrived))
            return None
        self._in_flight.pace.began(perf_counter(), first=not self._tasks)
        ctx = Context(arrived.metadata, event.attempt, functools.partial(self._acks.ack, event))
        task = self._start(self._deliverer.deliver(arrived, ctx, event.attempts))
        if task.done():
            self._ended(event, ctx, task)
            return None
        self._tasks[task] = event
        event.task = task
        task.add_done_callback(functools.partial(self._left, event, ctx), context=self._context)
        return task

    def hold_back(self) -> None:
        """Begin nothing of what is ready until ``go_on``."""
        self._held_back = True

    def go_on(self) -> None:
        """Begin what is ready again."""
        self._held_back = False
        self.fill()

    def close(self) -> None:
        """Begin nothing any more. What is ready but has not begun stays so."""
        self._closed = True

    async def quiet(self, limit: timedelta | None = None, *, besides: Collection[asyncio.Task[Outcome]] = ()) -> bool:
        """Wait until nothing runs, or nothing ``besides`` these, for ``limit`` at most (None: for ever); return if so.

        Meant for times in which nothing begins.
        """
        tasks = [task for task in self._tasks if task not in besides]
        if not tasks:
            return True
        _, late = await asyncio.wait(tasks, timeout=None if limit is None else limit.total_seconds())
        return not late

    def cancel(self) -> None:
        """Cancel everything that runs; the events stay in flight, as not finished."""
        for task, event in self._tasks.items():
            event.abandoned = True
            task.cancel()

    @property
    def closed(self) -> bool:
        """Whether nothing may begin any more."""
        return self._closed

    @property
    def running(self) -> int:
        """How many handlers run, those included whose event is no longer in flight."""
        return len(self._tasks)

    def _free(self) -> bool:
        if self._closed or self._held_back or len(self._tasks) >= self._concurrency or not self._may_begin():
            return False
        last = self._unsettled
        return self._concurrency > 1 or last is None or not last.held or last.stage == "waiting"

    def _start(self, handling: Coroutine[object, None, Outcome]) -> asyncio.Task[Outcome]:
        context = self._context.copy()
        if sys.version_info >= (3, 12):
            return asyncio.Task(handling, loop=self._loop, context=context, eager_start=True)
        return self._loop.create_task(handling, context=context)

    def _left(self, event: InFlight, ctx: Context, task: asyncio.Task[Outcome]) -> None:
        del self._tasks[task]
        event.task = None
        self._ended(event, ctx, task)
        self.fill()

    def _ended(self, event: InFlight, ctx: Context, task: asyncio.Task[Outcome]) -> None:
        self._in_flight.pace.ended(perf_counter(), last=not self._tasks)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._broken(error)
        elif not event.abandoned:
            outcome = self._deliverer.cancelled(ctx, event.attempts) if task.cancelled() else task.result()
            self._after(event, None if ctx.acked else outcome)

    def _after(self, event: InFlight, outcome: Outcome | None) -> None:
        self._unsettled = event
        if isinstance(outcome, Finished):
            self._acks.add(event)
        elif outcome is not None:
            self._settle(event, outcome)
