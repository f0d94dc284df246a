"""The workers: a fixed number of tasks, each handling one event after the other."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Sequence
from time import perf_counter

from event_backbone.consumer import Context
from event_backbone.delivery import Arrived, Deliverer
from event_backbone.subscription.acking import AckLoop
from event_backbone.subscription.gate import Gate
from event_backbone.subscription.held import Held
from event_backbone.subscription.settling import Settler
from event_backbone.subscription.work import Work

_SLICE_SECONDS = 0.01


class Runner:
    """Runs one event: through its handlers, and on to what was decided."""

    def __init__(self, held: Held, gate: Gate, deliverer: Deliverer, settler: Settler, acks: AckLoop) -> None:
        """Run what is in ``held``."""
        self._held = held
        self._gate = gate
        self._deliverer = deliverer
        self._settler = settler
        self._acks = acks

    async def run(self, work: Work) -> None:
        """Run an event. When its lease is lost, its handlers are cancelled, and this returns."""
        self._held.move(work, "running")
        self._gate.enter()
        work.runner = task = asyncio.current_task()
        try:
            if work.metadata is None:
                outcome = self._deliverer.unreadable(work.unreadable) if work.unreadable is not None else None
                acked = outcome is None
            else:
                ctx = Context(work.metadata, work.delivery.attempt, functools.partial(self._acks.ack, work))
                arrived = Arrived(work.metadata, work.payload, work.references, work.tries)
                outcome = await self._deliverer.deliver(arrived, ctx)
                acked = ctx.acked
        except asyncio.CancelledError:
            if not work.lost:
                raise
            outcome, acked = None, True
        finally:
            work.runner = None
            self._gate.leave()
        if work.lost and task is not None:
            # The handler was cancelled for the lease; whoever cancelled it meant the event, not this task.
            task.uncancel()
        elif outcome is not None and not acked:
            await self._settler.settle(work, outcome)


class Workers:
    """Events that are ready, and the tasks that take them in order."""

    def __init__(self, runner: Runner, gate: Gate) -> None:
        """Begin with nothing to do."""
        self._runner = runner
        self._gate = gate
        self._ready: deque[Work] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def put(self, works: Sequence[Work]) -> None:
        """Let these be handled."""
        self._ready.extend(works)
        self._rouse(len(works))

    def close(self) -> None:
        """Let each worker end after what it handles now. What is ready but not begun stays so."""
        self._closed = True
        self._rouse(len(self._idle))

    async def run(self) -> None:
        """Be one worker, until closed."""
        began = perf_counter()
        while not self._closed:
            if self._gate.closed:
                await self._gate.opened()
            elif not self._ready:
                await self._rest()
                began = perf_counter()
            else:
                work = self._ready.popleft()
                if not work.lost:
                    await self._runner.run(work)
                if perf_counter() - began > _SLICE_SECONDS:
                    # Handlers that never wait would keep every other task, the heartbeat among them, from running.
                    await asyncio.sleep(0)
                    began = perf_counter()

    async def _rest(self) -> None:
        roused = asyncio.get_running_loop().create_future()
        self._idle.append(roused)
        await roused

    def _rouse(self, count: int) -> None:
        while count > 0 and self._idle:
            roused = self._idle.popleft()
            if not roused.done():
                roused.set_result(None)
                count -= 1
