"""Where events come in: one loop looks, compares and reads, one after the other, as far as there is capacity."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from time import monotonic

from event_backbone.backoff import Delays, pause
from event_backbone.errors import GroupMissing, StreamUnavailable
from event_backbone.stream.base import GroupLeases
from event_backbone.stream.values import Delivery, Lease, Start
from event_backbone.subscription.event_in_flight import InFlight
from event_backbone.subscription.in_flight import EventsInFlight
from event_backbone.subscription.member import LOOK_EVERY_SECONDS, Member
from event_backbone.subscription.monitoring import Monitor, StartCheck
from event_backbone.subscription.outage import BACKOFF, Outage
from event_backbone.wire import is_redriven, read_redriven


class Intake:
    """Takes events in, and keeps the lease.

    The group begins where ``start`` says when it is made for the first time. When it has vanished, with its stream or
    alone, it begins at the beginning: an event twice rather than never.
    """

    def __init__(
        self,
        member: Member,
        leases: GroupLeases,
        in_flight: EventsInFlight,
        outage: Outage,
        monitor: Monitor,
        *,
        group: str,
        route: Callable[[Sequence[InFlight]], None],
        resume: Callable[[], None],
        start: Start,
        start_check: StartCheck,
        stopping: asyncio.Event,
    ) -> None:
        """Take in what ``member`` of ``group`` is given, until ``stopping``.

        ``route`` takes new events; ``resume`` is called when events may begin again. By ``leases`` it acks what was
        redriven for other groups.
        """
        self._member = member
        self._leases = leases
        self._group = group
        self._in_flight = in_flight
        self._outage = outage
        self._monitor = monitor
        self._route = route
        self._resume = resume
        self._start: Start | None = start
        self._start_check = start_check
        self._first = True
        self._stopping = stopping
        self.started = asyncio.Event()
        self.last_step = monotonic()

    @property
    def ready(self) -> bool:
        """Whether the group exists, Redis answers, and the lease holds, as far as known."""
        return self._start is None and not self._outage.lasts and self._member.may_begin()

    async def run(self) -> None:
        """Take events in until stopped. Raises only what waiting cannot solve."""
        await self._repeat(self._step, self._stopping.is_set, functools.partial(pause, self._stopping))

    async def keep_lease(self) -> None:
        """Look and compare without taking anything, until cancelled: while handlers finish."""
        await self._repeat(self._keep, lambda: False, lambda delay: asyncio.sleep(delay.total_seconds()))

    async def _repeat(
        self,
        step: Callable[[], Awaitable[None]],
        ended: Callable[[], bool],
        pause_for: Callable[[timedelta], Awaitable[None]],
    ) -> None:
        delays = Delays(BACKOFF)
        while not ended():
            self.last_step = monotonic()
            try:
                await step()
            except StreamUnavailable as error:
                self._outage.report(error)
                self._member.renew_now()
                self.started.set()
                await pause_for(min(delays.next(), timedelta(seconds=self._member.look_seconds)))
            except GroupMissing:
                self._start = "beginning"
                await pause_for(delays.next())
            else:
                delays.reset()

    async def _step(self) -> None:
        self._in_flight.check_limit()
        if self._start is not None:
            await self._make_group(self._start)
        await self._look_and_compare(self._in_flight.look_capacity)
        self._outage.ended()
        if self._stopping.is_set():
            return
        wait_seconds = max(0.0, min(LOOK_EVERY_SECONDS, self._member.seconds_to_look))
        if self._member.more and self._in_flight.look_capacity > 0:
            wait_seconds = 0.0  # what is due is taken as fast as it is handled, not once a look
        capacity = self._in_flight.capacity
        if capacity == 0:
            await self._in_flight.wait_for_capacity(wait_seconds)
        elif self._member.may_begin():
            await self._admit(await self._member.read(capacity, wait_seconds), read=True)

    async def _keep(self) -> None:
        await self._look_and_compare(0)
        self._outage.ended()
        await asyncio.sleep(self._member.look_seconds)

    async def _look_and_compare(self, capacity: int) -> None:
        member = self._member
        if member.seconds_to_look <= 0 or (member.more and capacity > 0):
            await self._admit(await member.look(capacity))
            if member.may_begin():
                self._resume()
        if member.must_compare:
            await self._admit(await member.compare())
            self._resume()

    async def _admit(self, deliveries: Sequence[Delivery], *, read: bool = False) -> None:
        """Take up deliveries. What was redriven for another group is acked, and nothing else.

        Raises StreamUnavailable if that was not answered; the next comparison finds what is left of it.
        """
        if not deliveries:
            return
        others = [each for each in deliveries if is_redriven(each.entry.fields) and self._is_for_another_group(each)]
        if others:
            deliveries = [each for each in deliveries if not self._is_for_another_group(each)]
        events = self._in_flight.admit(deliveries, read=read)
        if events:
            self._monitor.delivered(len(events), sum([event.attempt > 1 for event in events]))
            self._route(events)
        if others:
            await self._leases.ack([Lease(each.entry.key, each.attempt) for each in others])

    def _is_for_another_group(self, delivery: Delivery) -> bool:
        redriven = read_redriven(delivery.entry.fields, delivery.entry.key.partition)
        return redriven is not None and redriven.group != self._group

    async def _make_group(self, start: Start) -> None:
        made = await self._member.ensure_group(start)
        if not made and self._first and (missed := await self._member.missed()) is not None:
            self._monitor.missed(missed)
        self._start = None
        if made and not self._first:
            self._monitor.group_recreated()
        elif not made and start != "beginning":
            self._monitor.start_has_no_effect(start)
        self._first = False
        if made:
            await self._start_check.report(start)
        await self._look_and_compare(0)
        self._outage.ended()
        self.started.set()
