"""What is done with an event that was not finished: a note of the failure and a wait, or the dead letters."""

from __future__ import annotations

from event_backbone import telemetry
from event_backbone.delivery import Arrived, Deliverer
from event_backbone.errors import StreamUnavailable
from event_backbone.policy import RetryLater
from event_backbone.stream.base import GroupLeases
from event_backbone.stream.values import NewDeadLetter
from event_backbone.subscription.held import Held
from event_backbone.subscription.outage import Outage, Refusals
from event_backbone.subscription.retrying import RetryLoop
from event_backbone.subscription.work import Work


class Settler:
    """Carries out what was decided about an event, through outages of Redis if need be."""

    def __init__(
        self,
        leases: GroupLeases,
        held: Held,
        outage: Outage,
        *,
        retries: RetryLoop,
        deliverer: Deliverer,
    ) -> None:
        """Act by ``leases`` on what is in ``held``."""
        self._leases = leases
        self._held = held
        self._refusals = Refusals(outage)
        self._retries = retries
        self._deliverer = deliverer

    async def settle(self, work: Work, decision: RetryLater | NewDeadLetter) -> None:
        """Carry out a decision. What Redis refuses for now is tried again later, so that nobody waits for it here."""
        self._held.move(work, "settling")
        try:
            if isinstance(decision, RetryLater):
                await self._retry(work, decision)
            else:
                await self._give_up(work, decision)
        except StreamUnavailable as error:
            self._retries.call(work, self._refusals.next(error), lambda: self.settle(work, decision))

    def postpone(self, work: Work, error: StreamUnavailable) -> None:
        """Let an event that Redis did not let begin come again later."""
        self._retries.postpone(work, self._refusals.next(error))

    async def _retry(self, work: Work, later: RetryLater) -> None:
        if isinstance(work.arrived, Arrived):
            work.arrived.payload = None
        if later.counts:
            lost = await self._leases.record_failure(work.lease)
            self._refusals.ended()
            if work.key in lost:
                self._held.lose(work)
                return
        else:
            work.tries += 1
        telemetry.retried.add(1, self._attributes(work))
        self._retries.add(work, later.after, counts=later.counts)

    async def _give_up(self, work: Work, letter: NewDeadLetter) -> None:
        lost = await self._leases.dead_letter(work.lease, letter)
        self._refusals.ended()
        if work.key in lost:
            self._held.lose(work)
            return
        telemetry.dead_lettered.add(1, {**self._attributes(work), "reason": letter.reason})
        self._held.finish(work)

    def _attributes(self, work: Work) -> dict[str, str]:
        event = work.arrived.metadata.event if isinstance(work.arrived, Arrived) else ""
        return dict(self._deliverer.attributes_of(event))
