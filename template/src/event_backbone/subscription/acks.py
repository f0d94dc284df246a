"""Acks what has finished, many events in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from event_backbone.errors import LeaseLost
from event_backbone.model import EventKey
from event_backbone.stream.base import GroupLeases
from event_backbone.subscription.event_in_flight import InFlight
from event_backbone.subscription.in_flight import EventsInFlight
from event_backbone.subscription.outage import Outage

_NO_FIELDS: Mapping[bytes, bytes] = MappingProxyType({})
_ENOUGH_ACKS = 100


class Acks:
    """Acks finished events, never waiting for slower ones: a lone ack leaves at once."""

    def __init__(self, leases: GroupLeases, in_flight: EventsInFlight, outage: Outage) -> None:
        """Ack by ``leases`` what is in ``in_flight``."""
        self._leases = leases
        self._in_flight = in_flight
        self._outage = outage
        self._gathered: list[InFlight] = []
        self._waiters: dict[InFlight, asyncio.Future[None]] = {}
        self._wake = asyncio.Event()
        self._closing = False

    def add(self, event: InFlight) -> None:
        """Ack an event soon."""
        self._in_flight.move(event, "settling")
        event.loaded, event.fields = None, _NO_FIELDS  # so that the payload goes at once
        self._gathered.append(event)
        self._wake.set()

    def add_all(self, events: Sequence[InFlight]) -> None:
        """Ack these, which are in flight, soon and together."""
        self._in_flight.move_all(events, "settling")
        for event in events:
            event.loaded, event.fields = None, _NO_FIELDS
        self._gathered.extend(events)
        self._wake.set()

    async def ack(self, event: InFlight) -> None:
        """Ack an event while its handler runs, and wait until the server has done it; raise LeaseLost if it did not."""
        if not event.active:
            raise LeaseLost(f"Event {event.key} was taken over by another consumer, or is finished already.")
        done = self._waiters[event] = asyncio.get_running_loop().create_future()
        self.add(event)
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
            await self._gather()
            batch, self._gathered = self._gathered, []
            active = [event for event in batch if event.active]
            lost = await self._send(active) if active else frozenset[EventKey]()
            if self._waiters:
                acked = {event for event in active if event.key not in lost}
                for event in batch:
                    self._notify(event, acked=event in acked)

    async def _gather(self) -> None:
        """Let what ends in the same turns of the event loop leave together: no timer, and a lone ack hardly waits."""
        gathered = 0
        while gathered < len(self._gathered) < _ENOUGH_ACKS and not self._closing:
            gathered = len(self._gathered)
            await asyncio.sleep(0)

    async def _send(self, batch: list[InFlight]) -> frozenset[EventKey]:
        leases = [event.lease for event in batch]
        lost = await self._outage.outlast(lambda: self._leases.ack(leases))
        if lost:
            for event in batch:
                if event.key in lost:
                    self._in_flight.lose(event)
        self._in_flight.finish(*batch)  # what is lost is finished no more
        return lost

    def _notify(self, event: InFlight, *, acked: bool) -> None:
        waiter = self._waiters.pop(event, None)
        if waiter is None or waiter.done():
            return
        if acked:
            waiter.set_result(None)
        else:
            waiter.set_exception(LeaseLost(f"Event {event.key} was taken over by another consumer."))
