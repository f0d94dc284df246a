"""Acks: whatever has finished leaves in one call; while that call is under way, the next batch gathers."""

from __future__ import annotations

import asyncio

from event_backbone.errors import LeaseLost
from event_backbone.stream.base import GroupLeases
from event_backbone.subscription.held import Held
from event_backbone.subscription.outage import Outage
from event_backbone.subscription.work import Work


class AckLoop:
    """Acks finished events, never waiting for slower ones: a lone ack leaves at once."""

    def __init__(self, leases: GroupLeases, held: Held, outage: Outage) -> None:
        """Ack by ``leases`` what is in ``held``."""
        self._leases = leases
        self._held = held
        self._outage = outage
        self._gathered: list[Work] = []
        self._waiters: dict[Work, asyncio.Future[None]] = {}
        self._wake = asyncio.Event()
        self._closing = False

    def add(self, work: Work) -> None:
        """Ack an event soon."""
        self._held.move(work, "settling")
        work.arrived = None  # so that the payload goes at once
        self._gathered.append(work)
        if len(self._gathered) == 1:
            self._wake.set()

    async def ack(self, work: Work) -> None:
        """Ack an event while its handler runs, and wait until the server has done it; raise LeaseLost if it did not."""
        if not work.held:
            raise LeaseLost(f"Event {work.key} was taken over by another consumer, or is finished already.")
        done = self._waiters[work] = asyncio.get_running_loop().create_future()
        self.add(work)
        await done

    def close(self) -> None:
        """Let ``run`` end once everything is acked."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Ack what gathers, until closed and empty."""
        while self._gathered or not self._closing:
            if not self._gathered:
                self._wake.clear()
                await self._wake.wait()
                continue
            batch, self._gathered = self._gathered, []
            live = [work for work in batch if not work.lost]
            if live:
                await self._flush(live)
            if self._waiters:
                for work in batch:
                    self._answer(work)

    async def _flush(self, batch: list[Work]) -> None:
        leases = [work.lease for work in batch]
        lost, _ = await self._outage.outlast(lambda: self._leases.ack(leases))
        if lost:
            for work in batch:
                if work.key in lost:
                    self._held.lose(work)
        self._held.finish(*batch)  # what is lost is finished no more

    def _answer(self, work: Work) -> None:
        waiter = self._waiters.pop(work, None)
        if waiter is None or waiter.done():
            return
        if work.lost:
            waiter.set_exception(LeaseLost(f"Event {work.key} was taken over by another consumer."))
        else:
            waiter.set_result(None)
