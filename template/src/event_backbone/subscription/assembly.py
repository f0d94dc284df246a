"""How the parts of one subscription fit together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from event_backbone.storage.base import Storage, StorageScope
from event_backbone.stream.base import GroupLeases, GroupReader
from event_backbone.subscription.acks import AckLoop
from event_backbone.subscription.handling import Handling
from event_backbone.subscription.in_flight import EventsInFlight, InFlight
from event_backbone.subscription.intake import Intake
from event_backbone.subscription.loading import Loader, LoadLoop
from event_backbone.subscription.monitoring import Monitor
from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.outage import Outage
from event_backbone.subscription.quarantine import Quarantine
from event_backbone.subscription.settlement import Settlement
from event_backbone.subscription.workers import Workers


class Assembly:
    """Everything that one run of a subscription consists of. Made within the event loop it runs in."""

    def __init__(
        self,
        reader: GroupReader,
        leases: GroupLeases,
        monitor: Monitor,
        handling: Handling,
        *,
        scope: StorageScope,
        storages: Mapping[str, Storage],
        options: SubscriptionOptions,
        on_limit: Callable[[], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        """Join the parts; ``on_limit`` is called when ``max_events`` have come to an end."""
        self.stopping = asyncio.Event()
        self.reader, self.monitor = reader, monitor
        self.in_flight = EventsInFlight(options, monitor, on_limit)
        self._outage = Outage(monitor)
        self.intake = self._intake(options)
        self.acks, self.settlement = self._acks_and_settlement(leases, handling, options, broken)
        self.workers = Workers(
            self.in_flight,
            handling,
            self.acks,
            concurrency=options.concurrency,
            may_begin=self.intake.may_begin,
            settle=self.settlement.settle,
            broken=broken,
        )
        self._loader = Loader(scope, storages, handling, monitor, self.settlement.postpone)
        self.loads = LoadLoop(self._loader, self.workers.put, in_order=options.concurrency == 1)
        self.quarantine = self._quarantine(leases, handling, options)

    def _intake(self, options: SubscriptionOptions) -> Intake:
        return Intake(
            self.reader,
            self.in_flight,
            self._outage,
            self.monitor,
            take_up=self._take_up,
            resume=self._resume,
            lease=options.lease,
            start=options.start,
            stopping=self.stopping,
        )

    def _acks_and_settlement(
        self,
        leases: GroupLeases,
        handling: Handling,
        options: SubscriptionOptions,
        broken: Callable[[BaseException], None],
    ) -> tuple[AckLoop, Settlement]:
        acks = AckLoop(leases, self.in_flight, self._outage)
        settlement = Settlement(
            leases,
            self.in_flight,
            self._outage,
            self.monitor,
            handling,
            max_parked=options.max_parked,
            again=self._take_up,
            look_after=self.intake.look_after,
            broken=broken,
        )
        return acks, settlement

    def _quarantine(self, leases: GroupLeases, handling: Handling, options: SubscriptionOptions) -> Quarantine:
        return Quarantine(
            leases,
            self.in_flight,
            self._outage,
            self.monitor,
            load=self._load,
            workers=self.workers,
            settlement=self.settlement,
            handling=handling,
            alone_for=options.alone_for,
        )

    def stop(self) -> None:
        """Let nothing new begin."""
        self.stopping.set()
        self.in_flight.wake()
        self.workers.close()

    @property
    def ready(self) -> bool:
        """Whether events come in and are handled: nothing holds them back."""
        return (
            self.intake.ready
            and not self.quarantine.running_alone
            and not self.in_flight.full
            and not self.in_flight.blocked
        )

    async def give_back(self, *, all_of_them: bool = False) -> None:
        """Give back what has not begun; with ``all_of_them`` also what was cancelled or could not be settled.

        Raises StreamUnavailable.
        """
        kept = set[str]() if all_of_them else {"running", "settling"}
        await self.settlement.give_back([each for each in self.in_flight.events.values() if each.stage not in kept])

    def _take_up(self, events: Sequence[InFlight]) -> None:
        suspects = [event for event in events if event.suspicious]
        if suspects:
            self.quarantine.add(suspects)
            events = [event for event in events if not event.suspicious]
        if events:
            self.loads.add(events)

    def _resume(self) -> None:
        self.workers.fill()

    async def _load(self, event: InFlight) -> bool:
        return bool(await self._loader.load([event]))
