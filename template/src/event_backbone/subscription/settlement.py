"""How an event ends here: acked, parked until its next attempt, moved to the dead letters, or given back.

A failed event waits for its next attempt at the server, and any member begins it when it is due; so does one that this
process cannot read, as another may. Only repetitions within an attempt wait here, as for a storage or a manual ack.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from time import monotonic

from event_backbone import telemetry
from event_backbone.backoff import Delays
from event_backbone.errors import StreamUnavailable
from event_backbone.model import NewDeadLetter
from event_backbone.policy import RetryLater
from event_backbone.stream.base import GroupLeases
from event_backbone.subscription.acks import Acks
from event_backbone.subscription.event_in_flight import InFlight
from event_backbone.subscription.handling import Handling
from event_backbone.subscription.in_flight import EventsInFlight
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.subscription.member import Member
from event_backbone.subscription.monitoring import Monitor
from event_backbone.subscription.outage import BACKOFF, Outage, Refusals
from event_backbone.subscription.outcome import Finished, Outcome

_CALLS_AT_ONCE = 16  # each call under way takes a connection
_HANDED_OVER_PER_SECOND = 250


class Settlement:
    """Carries out what was decided about an event, through outages of Redis if necessary.

    ``calls`` are those under way.
    """

    def __init__(
        self,
        acks: Acks,
        leases: GroupLeases,
        member: Member,
        in_flight: EventsInFlight,
        outage: Outage,
        *,
        monitor: Monitor,
        handling: Handling,
        max_parked: int,
        route: Callable[[Sequence[InFlight]], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        """Act by ``leases`` on what is in ``in_flight``.

        ``member`` looks when something parked is due; ``route`` takes what has waited here; ``broken`` takes
        errors that waiting cannot solve.
        """
        self.acks = acks
        self._leases = leases
        self._in_flight = in_flight
        self._refusals = Refusals(outage)
        self._monitor = monitor
        self._handling = handling
        self._max_parked = max_parked
        self._member = member
        self._route = route
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self.calls: set[asyncio.Task[None]] = set()
        self._timers: dict[InFlight, asyncio.TimerHandle] = {}
        self._failed: dict[InFlight, RetryLater] = {}
        self._full_delays = Delays(BACKOFF)
        self._calls = asyncio.Semaphore(_CALLS_AT_ONCE)

    def settle(self, event: InFlight, outcome: Outcome) -> None:
        """Carry out a decision. What Redis refuses for now is tried again later, so that nobody waits for it here."""
        if isinstance(outcome, Finished):
            self.acks.add(event)
            return
        if isinstance(outcome, RetryLater) and not outcome.counts:
            event.repeats += 1
            telemetry.retried.add(1, self._attributes(event))
            self.postpone(event, outcome.after)
            return
        self._begin(event, outcome)

    def hand_over(self, event: InFlight) -> None:
        """Leave an event to any member of the group, a second from now, its attempt not counted.

        The more are parked the later, so that a group without a member for them is not kept busy by handing over.
        """
        self._in_flight.handed_over_at = monotonic()
        after = timedelta(seconds=1 + self._member.parked / _HANDED_OVER_PER_SECOND)
        self._begin(event, RetryLater(after, counts=False))

    def postpone(self, event: InFlight, after: timedelta) -> None:
        """Let an event come again here ``after`` from now, its attempt not yet used."""
        self._wait(event, after, lambda: self._resume(event))

    def refused(self, event: InFlight, error: StreamUnavailable) -> None:
        """Let an event that Redis did not let begin come again later."""
        self.postpone(event, self._refusals.next(error))

    def close(self) -> None:
        """Let nothing wait any more: what has waited stays in flight."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def settled(self) -> None:
        """Wait until no call is under way."""
        while self.calls:
            await asyncio.wait(self.calls)

    async def give_back(self, events: Sequence[InFlight]) -> None:
        """Give events back to the group, due now, with their attempt taken back; failures that wait here are noted.

        Raises StreamUnavailable; what was not given back by then is taken by others when this member's row has ended.
        """
        failed = [(event, self._failed[event]) for event in events if event in self._failed]
        await asyncio.gather(*(self._park_at_once(event, later) for event, later in failed))
        rest = [event for event in events if event not in self._failed]
        if rest:
            await self._leases.release([event.lease for event in rest])
        for event in events:
            self._in_flight.let_go(event)

    async def _park_at_once(self, event: InFlight, later: RetryLater) -> None:
        async with self._calls:
            await self._leases.park(event.lease, later.after, error=later.error, place=later.place)

    def _begin(self, event: InFlight, outcome: RetryLater | NewDeadLetter) -> None:
        self._in_flight.move(event, "settling")
        self._in_flight.release_payload(event)
        task = self._loop.create_task(self._carry_out(event, outcome))
        self.calls.add(task)
        task.add_done_callback(self._ended)

    async def _carry_out(self, event: InFlight, outcome: RetryLater | NewDeadLetter) -> None:
        try:
            async with self._calls:
                if not event.active:
                    return
                if isinstance(outcome, RetryLater):
                    await self._park(event, outcome)
                else:
                    await self._dead_letter(event, outcome)
        except StreamUnavailable as error:
            if isinstance(outcome, RetryLater) and outcome.counts:
                self._failed[event] = outcome
            self._wait(event, self._refusals.next(error), lambda: self._begin(event, outcome))

    async def _park(self, event: InFlight, later: RetryLater) -> None:
        parking = await self._leases.park(
            event.lease,
            later.after,
            limit=self._max_parked,
            failed=later.counts,
            error=later.error,
            place=later.place,
        )
        self._refusals.ended()
        if parking == "full":
            if later.counts:
                self._failed[event] = later
            if not self._in_flight.full:
                self._monitor.parking_full(self._max_parked)
            self._in_flight.unparked.add(event)
            delay = self._full_delays.next()
            self._wait(event, delay, lambda: self._begin(event, later))
            return
        self._full_delays.reset()
        self._failed.pop(event, None)
        if parking == "lost":
            self._in_flight.lose(event)
        elif parking in {"vanished", "erased"}:
            self._in_flight.let_go(event)
            (self._monitor.erased if parking == "erased" else self._monitor.vanished)((event.key,))
        else:
            self._in_flight.let_go(event)
            if later.counts:
                telemetry.retried.add(1, self._attributes(event))
                self._member.look_after(later.after)

    async def _dead_letter(self, event: InFlight, letter: NewDeadLetter) -> None:
        lost = await self._leases.dead_letter(event.lease, letter)
        self._refusals.ended()
        if event.key in lost:
            self._in_flight.lose(event)
            return
        telemetry.dead_lettered.add(1, {**self._attributes(event), "reason": letter.reason})
        self._in_flight.finish(event)

    def _wait(self, event: InFlight, after: timedelta, act: Callable[[], None]) -> None:
        def due() -> None:
            self._timers.pop(event, None)
            if event.active:
                act()
            else:
                self._failed.pop(event, None)

        self._in_flight.move(event, "waiting")
        self._in_flight.release_payload(event)
        if self._in_flight.on_settled is not None:
            self._in_flight.on_settled()
        self._timers[event] = self._loop.call_later(after.total_seconds(), due)

    def _resume(self, event: InFlight) -> None:
        self._in_flight.move(event, "unstarted")
        self._route([event])

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.calls.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken(error)

    def _attributes(self, event: InFlight) -> dict[str, str]:
        loaded = event.loaded if isinstance(event.loaded, LoadedEvent) else None
        return dict(self._handling.routes.attributes_of("") if loaded is None else loaded.route.attributes)
