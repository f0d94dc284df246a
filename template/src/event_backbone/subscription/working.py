"""The workers: a fixed number of tasks, each handling one event after the other."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import cast

from event_backbone.consumer import Context
from event_backbone.delivery import Arrived, Deliverer, Finished, Outcome
from event_backbone.subscription.acking import AckLoop
from event_backbone.subscription.gate import Gate
from event_backbone.subscription.held import Held
from event_backbone.subscription.settling import Settler
from event_backbone.subscription.work import Work

_SLICE_SECONDS = 0.002


class Runner:
    """Runs one event: through its handlers, and on to what was decided."""

    def __init__(self, held: Held, gate: Gate, deliverer: Deliverer, settler: Settler, acks: AckLoop) -> None:
        """Run what is in ``held``."""
        self._held = held
        self._gate = gate
        self._deliverer = deliverer
        self._settler = settler
        self._acks = acks

    async def run(self, work: Work, task: asyncio.Task[None]) -> None:
        """Run an event within ``task``, the current one. When its lease is lost, its handlers are cancelled."""
        self._held.move(work, "running")
        self._gate.enter()
        work.runner = task
        outcome: Outcome | None = None
        acked = False
        try:
            arrived = work.arrived
            if isinstance(arrived, Arrived):
                ctx = Context(arrived.metadata, work.attempt, functools.partial(self._acks.ack, work))
                outcome = await self._deliverer.deliver(arrived, ctx)
                acked = ctx.acked
            elif arrived is not None:
                outcome = self._deliverer.unreadable(arrived)
        except asyncio.CancelledError:
            if not work.lost:
                raise
        finally:
            work.runner = None
            self._gate.leave()
        if work.lost:
            # The handler was cancelled for the lease; whoever cancelled it meant the event, not this task.
            if task.uncancel():
                raise asyncio.CancelledError  # somebody else did mean it
        elif outcome is None or acked:
            return
        elif isinstance(outcome, Finished):
            self._acks.add(work)
        else:
            await self._settler.settle(work, outcome)


class Workers:
    """Events that are ready, and the tasks that take them in order."""

    def __init__(self, runner: Runner, gate: Gate) -> None:
        """Begin with nothing to do."""
        self._runner = runner
        self._gate = gate
        self._ready: deque[Work] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._coming = False
        self._at_gate: set[asyncio.Task[None]] = set()
        self._closed = False

    def put(self, works: Sequence[Work]) -> None:
        """Let these be handled."""
        self._ready.extend(works)
        self._rouse_one()

    def close(self) -> None:
        """Let each worker end after what it handles now. What is ready but not begun stays so."""
        self._closed = True
        while self._idle:
            self._rouse_one(at_once=True)
        for task in self._at_gate:  # what holds them back may belong to another subscription, and take long
            task.cancel()

    async def run(self) -> None:
        """Be one worker, until closed."""
        task = current_task()
        began = perf_counter()
        while not self._closed:
            if self._gate.closed:
                self._at_gate.add(task)
                await self._gate.opened()
                self._at_gate.discard(task)
            elif not self._ready:
                await self._rest()
                began = perf_counter()
            else:
                work = self._ready.popleft()
                if self._ready:
                    self._rouse_one()
                if not work.lost:
                    await self._runner.run(work, task)
                if perf_counter() - began > _SLICE_SECONDS:
                    # Handlers that never wait would keep every other task, the heartbeat among them, from running.
                    await asyncio.sleep(0)
                    began = perf_counter()

    async def _rest(self) -> None:
        roused = asyncio.get_running_loop().create_future()
        self._idle.append(roused)
        try:
            await roused
        finally:
            self._coming = False

    def _rouse_one(self, *, at_once: bool = False) -> None:
        """Rouse a worker unless one is coming, who rouses the next: none comes in vain while handlers never wait."""
        if self._coming and not at_once:
            return
        while self._idle:
            roused = self._idle.popleft()
            if not roused.done():
                roused.set_result(None)
                self._coming = True
                return


def current_task() -> asyncio.Task[None]:
    """Return the current task, which returns nothing."""
    return cast("asyncio.Task[None]", asyncio.current_task())
