"""From a decision to the server: an ack, a note of the failure and a wait, or the dead letters."""

from __future__ import annotations

from event_backbone import telemetry
from event_backbone.delivery import Deliverer, Finished, Outcome
from event_backbone.policy import RetryLater
from event_backbone.stream.base import GroupLeases, NewDeadLetter
from event_backbone.subscription.acking import AckLoop
from event_backbone.subscription.held import Held
from event_backbone.subscription.outage import Outage
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
        acks: AckLoop,
        retries: RetryLoop,
        deliverer: Deliverer,
    ) -> None:
        """Act by ``leases`` on what is in ``held``."""
        self._leases = leases
        self._held = held
        self._outage = outage
        self._acks = acks
        self._retries = retries
        self._deliverer = deliverer

    async def settle(self, work: Work, outcome: Outcome) -> None:
        """Carry out a decision. Returns when the server knows it; an ack goes on by itself."""
        if isinstance(outcome, Finished):
            self._acks.add(work)
        elif isinstance(outcome, RetryLater):
            await self._retry(work, outcome)
        else:
            await self._give_up(work, outcome)

    async def _retry(self, work: Work, later: RetryLater) -> None:
        work.payload = None
        if later.counts:
            lost, _ = await self._outage.outlast(lambda: self._leases.record_failure(work.lease))
            if work.key in lost:
                self._held.lose(work)
                return
        else:
            work.tries += 1
        telemetry.retried.add(1, self._attributes(work))
        self._retries.add(work, later.after, counts=later.counts)

    async def _give_up(self, work: Work, letter: NewDeadLetter) -> None:
        self._held.move(work, "settling")
        lost, repeated = await self._outage.outlast(lambda: self._leases.dead_letter(work.lease, letter))
        # A repeated move finds what the first one acked gone: that was a success.
        if work.key in lost and not repeated:
            self._held.lose(work)
            return
        telemetry.dead_lettered.add(1, {**self._attributes(work), "reason": letter.reason})
        self._held.finish(work)

    def _attributes(self, work: Work) -> dict[str, str]:
        return dict(self._deliverer.attributes_of(work.metadata.event if work.metadata is not None else ""))
