"""Events that may have ended their process: each runs alone, or goes to the dead letters as crashed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from event_backbone.delivery import Deliverer
from event_backbone.errors import StreamUnavailable
from event_backbone.stream.base import GroupLeases
from event_backbone.subscription.gate import Gate
from event_backbone.subscription.held import Held
from event_backbone.subscription.loading import Loader
from event_backbone.subscription.settling import Settler
from event_backbone.subscription.signals import Signals
from event_backbone.subscription.work import Work
from event_backbone.subscription.working import Runner, current_task


class PoisonLoop:
    """Runs suspicious events one at a time, while nothing else of the process runs.

    From its third delivery without a recorded failure an event is suspicious, whether it was the poison or just held
    beside it. Only one that had run alone is given up for its count, so no neighbour goes with the poison.
    """

    def __init__(
        self,
        leases: GroupLeases,
        held: Held,
        *,
        signals: Signals,
        gate: Gate,
        loader: Loader,
        runner: Runner,
        settler: Settler,
        deliverer: Deliverer,
    ) -> None:
        """Run what is in ``held``, alone within ``gate``."""
        self._leases = leases
        self._held = held
        self._signals = signals
        self._gate = gate
        self._loader = loader
        self._runner = runner
        self._settler = settler
        self._deliverer = deliverer
        self._suspects: deque[Work] = deque()
        self._wake = asyncio.Event()
        self._at_gate: asyncio.Task[None] | None = None
        self._closed = False

    def add(self, works: Sequence[Work]) -> None:
        """Take these in their order."""
        self._suspects.extend(works)
        self._wake.set()

    def close(self) -> None:
        """End after what runs now."""
        self._closed = True
        self._wake.set()
        if self._at_gate is not None:  # what it waits for may belong to another subscription, and take long
            self._at_gate.cancel()

    async def run(self) -> None:
        """Run suspects until closed."""
        while not self._closed:
            if not self._suspects:
                self._wake.clear()
                await self._wake.wait()
                continue
            work = self._suspects.popleft()
            if work.held:
                await self._judge(work)

    async def _judge(self, work: Work) -> None:
        verdict = self._deliverer.crashed(work.attempt) if work.ran_alone else None
        if verdict is not None:
            await self._settler.settle(work, verdict)
            return
        self._at_gate = current_task()
        async with self._gate.alone():
            self._at_gate = None
            if self._closed or not work.held:
                return
            try:
                lost = await self._leases.mark_alone(work.lease)
            except StreamUnavailable as error:
                self._settler.postpone(work, error)
                return
            if work.key in lost:
                self._held.lose(work)
                return
            self._signals.poison_suspected(work.key, work.attempt)
            for ready in await self._loader.load([work]):
                await self._runner.run(ready, current_task())
