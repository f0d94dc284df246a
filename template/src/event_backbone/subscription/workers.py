"""Runs events: at most ``concurrency`` at the same time, each in a task and a context of its own.

So a handler may cancel its task or set context variables: the next event knows nothing of it.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from time import perf_counter

from event_backbone.consumer import Context
from event_backbone.errors import EntryUnreadable
from event_backbone.subscription.acks import AckLoop
from event_backbone.subscription.eager import start_eagerly
from event_backbone.subscription.handling import Finished, Handling, LoadedEvent, Outcome
from event_backbone.subscription.in_flight import EventsInFlight, InFlight

_SLICE_SECONDS = 0.002


class Workers:
    """Takes events that are ready, in order, and hands over each outcome to be settled.

    With ``concurrency`` 1 the next event begins when the one before has been settled, its ack included.
    """

    def __init__(
        self,
        in_flight: EventsInFlight,
        handling: Handling,
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
        self._handling = handling
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
        """Begin what is ready, as far as there are free places.

        In a turn of the event loop of its own, within nobody's task: a handler that never waits runs to its end there,
        and is no part of loading, looking or acking.
        """
        if self._ready and not self._filling:
            self._filling = True
            self._loop.call_soon(self._fill, context=self._context)

    async def begin_alone(self, event: InFlight) -> asyncio.Task[Outcome] | None:
        """Begin an event, whatever else runs; return its task, None when it has ended, or may no longer begin."""
        begun: asyncio.Future[asyncio.Task[Outcome] | None] = self._loop.create_future()

        def begin() -> None:
            if not self._tasks:
                self._in_flight.pace.began(perf_counter())
            task = self._begin(event) if event.held and not self._closed else None
            if not begun.done():
                begun.set_result(task)

        self._loop.call_soon(begin, context=self._context)
        return await begun

    def _fill(self) -> None:
        self._filling = False
        if not self._free() or not self._may_begin():
            return
        now = perf_counter()
        until = now + _SLICE_SECONDS
        if not self._tasks:
            self._in_flight.pace.began(now)
        while self._ready and self._free():
            event = self._ready.popleft()
            if event.held and self._begin(event) is None and perf_counter() > until:
                # Handlers that never wait would keep every other task, such as the look, from running.
                self.fill()
                return

    def _begin(self, event: InFlight) -> asyncio.Task[Outcome] | None:
        self._in_flight.move(event, "running")
        arrived = event.arrived
        if not isinstance(arrived, LoadedEvent):
            assert isinstance(arrived, EntryUnreadable)  # noqa: S101 - the loader leaves nothing else
            self._after(event, self._handling.unreadable(arrived))
            return None
        ctx = Context(arrived.metadata, event.attempt, functools.partial(self._acks.ack, event))
        handling = self._handling.deliver(arrived, ctx, event.attempts)
        task = start_eagerly(self._loop, handling, self._context.copy())
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
        if self._closed or self._held_back or len(self._tasks) >= self._concurrency:
            return False
        if self._concurrency > 1:
            return True
        last = self._unsettled
        return last is None or not last.held or last.stage == "waiting"

    def _left(self, event: InFlight, ctx: Context, task: asyncio.Task[Outcome]) -> None:
        del self._tasks[task]
        event.task = None
        self._ended(event, ctx, task)
        self._fill()

    def _ended(self, event: InFlight, ctx: Context, task: asyncio.Task[Outcome]) -> None:
        self._in_flight.pace.ended(perf_counter(), last=not self._tasks)
        try:
            outcome = task.result()
        except asyncio.CancelledError as error:
            if event.abandoned:
                return
            outcome = self._handling.cancelled(ctx, event.attempts, error)
        except BaseException as error:  # noqa: BLE001 - no failure of a handler, which are outcomes, but worse
            self._broken(error)
            return
        if not event.abandoned:
            self._after(event, None if ctx.acked else outcome)

    def _after(self, event: InFlight, outcome: Outcome | None) -> None:
        self._unsettled = event
        if isinstance(outcome, Finished):
            self._acks.add(event)
        elif outcome is not None:
            self._settle(event, outcome)
