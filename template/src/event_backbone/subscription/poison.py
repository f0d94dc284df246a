"""Events that may have ended their process: each runs alone, or goes to the dead letters as crashed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from event_backbone.delivery import Deliverer
from event_backbone.stream.base import GroupLeases
from event_backbone.subscription.gate import Gate
from event_backbone.subscription.held import Held
from event_backbone.subscription.loading import Loader
from event_backbone.subscription.outage import Outage
from event_backbone.subscription.settling import Settler
from event_backbone.subscription.signals import Signals
from event_backbone.subscription.work import Work
from event_backbone.subscription.working import Runner


class PoisonLoop:
    """Runs suspicious events one at a time, while nothing else of the process runs.

    From its third delivery without a recorded failure an event is suspicious, whether it was the poison or just held
    beside it. Only one that had run alone is given up for its count, so no neighbour goes with the poison.
    """

    def __init__(
        self,
        leases: GroupLeases,
        held: Held,
        outage: Outage,
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
        self._outage = outage
        self._signals = signals
        self._gate = gate
        self._loader = loader
        self._runner = runner
        self._settler = settler
        self._deliverer = deliverer
        self._suspects: deque[Work] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def add(self, works: Sequence[Work]) -> None:
        """Take these in their order."""
        self._suspects.extend(works)
        self._wake.set()

    def close(self) -> None:
        """End after what runs now."""
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        """Run suspects until closed."""
        while not self._closed:
            if not self._suspects:
                self._wake.clear()
                await self._wake.wait()
                continue
            work = self._suspects.popleft()
            if work in self._held:
                await self._judge(work)

    async def _judge(self, work: Work) -> None:
        delivery = work.delivery
        verdict = self._deliverer.crashed(delivery.attempt) if delivery.ran_alone else None
        if verdict is not None:
            await self._settler.settle(work, verdict)
            return
        self._signals.poison_suspected(work.key, delivery.attempt)
        async with self._gate.alone():
            if self._closed or work not in self._held:
                return
            lost, _ = await self._outage.outlast(lambda: self._leases.mark_alone(work.lease))
            if work.key in lost:
                self._held.lose(work)
                return
            for ready in await self._loader.load([work]):
                await self._runner.run(ready)
