"""How the parts of one run of a subscription fit together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from event_backbone.storage.base import Storage, StorageScope
from event_backbone.stream.base import GroupLeases, GroupReader, Stream
from event_backbone.subscription.acks import Acks
from event_backbone.subscription.batches import Batches
from event_backbone.subscription.event_in_flight import InFlight
from event_backbone.subscription.handling import Handling
from event_backbone.subscription.in_flight import EventsInFlight
from event_backbone.subscription.intake import Intake
from event_backbone.subscription.loading import Loader, LoadLoop
from event_backbone.subscription.member import Member
from event_backbone.subscription.monitoring import Monitor, StartCheck
from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.outage import Outage
from event_backbone.subscription.quarantine import Quarantine
from event_backbone.subscription.settlement import Settlement
from event_backbone.subscription.sharing import Shared
from event_backbone.subscription.workers import Workers

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdReads


class Assembly:
    """The parts of one run, each made with those it needs. Made within the event loop it runs in."""

    def __init__(
        self,
        stream: Stream,
        reader: GroupReader,
        leases: GroupLeases,
        monitor: Monitor,
        handling: Handling,
        *,
        group: str,
        scope: StorageScope,
        storages: Mapping[str, Storage],
        cold: ColdReads | None,
        options: SubscriptionOptions,
        shared: Shared,
        on_limit: Callable[[], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        """Join the parts; ``on_limit`` is called when as many events as ``shared`` allows have come to an end."""
        self.stopping, self.monitor = asyncio.Event(), monitor
        self.in_flight = EventsInFlight(
            options, monitor, on_limit, limit=shared.limit, largest_batch=handling.largest_batch
        )
        self._outage = Outage(monitor)
        self.member = Member(reader, self.in_flight, monitor, options.lease)
        self.acks = Acks(leases, self.in_flight, self._outage)
        self.settlement = self._settlement(leases, handling, options, broken)
        settling, in_flight, in_order = self.settlement, self.in_flight, options.concurrency == 1
        self.workers = Workers(
            in_flight, self.member, handling, settlement=settling, in_order=in_order, shared=shared, broken=broken
        )
        self._loader = loader = Loader(
            scope, storages, handling, monitor, settlement=settling, in_flight=in_flight, cold=cold
        )
        self._batches = Batches(in_flight, self.workers.add, in_order=in_order)
        on_loaded = self._batches.add if handling.largest_batch > 1 else self.workers.add
        self.loading = LoadLoop(loader, on_loaded, in_order=in_order)
        self.quarantine = self._quarantine(leases, loader, options)
        self.intake = self._intake(leases, group, options, StartCheck(stream, monitor, archived=cold is not None))

    def _settlement(
        self,
        leases: GroupLeases,
        handling: Handling,
        options: SubscriptionOptions,
        broken: Callable[[BaseException], None],
    ) -> Settlement:
        return Settlement(
            self.acks,
            leases,
            self.member,
            self.in_flight,
            self._outage,
            monitor=self.monitor,
            handling=handling,
            max_parked=options.max_parked,
            route=self._route,
            broken=broken,
        )

    def _quarantine(self, leases: GroupLeases, loader: Loader, options: SubscriptionOptions) -> Quarantine:
        return Quarantine(
            leases,
            self.in_flight,
            self._outage,
            self.monitor,
            loader=loader,
            workers=self.workers,
            settlement=self.settlement,
            retry=options.retry,
            alone_for=options.alone_for,
        )

    def _intake(self, leases: GroupLeases, group: str, options: SubscriptionOptions, start_check: StartCheck) -> Intake:
        return Intake(
            self.member,
            leases,
            self.in_flight,
            self._outage,
            self.monitor,
            group=group,
            route=self._route,
            resume=self.workers.start_ready,
            start=options.start,
            start_check=start_check,
            stopping=self.stopping,
        )

    def stop(self) -> None:
        """Let nothing new begin."""
        self.stopping.set()
        self.in_flight.wake()
        self._batches.close()
        self.workers.close()

    @property
    def ready(self) -> bool:
        """Whether events come in and are handled: nothing holds them back."""
        return (
            self.intake.ready
            and not self.quarantine.running_alone
            and not self.in_flight.full
            and not self.in_flight.blocked
            and not self._loader.hands_over
        )

    async def give_back(self, *, all_of_them: bool = False) -> None:
        """Give back what has not begun; with ``all_of_them`` also what was cancelled or could not be settled.

        Raises StreamUnavailable.
        """
        kept = set[str]() if all_of_them else {"running", "settling"}
        await self.settlement.give_back([each for each in self.in_flight.events.values() if each.stage not in kept])

    def _route(self, events: Sequence[InFlight]) -> None:
        """Send events on their way: suspects into quarantine, the others to be loaded."""
        suspects = [event for event in events if event.attempt > 1 and event.suspicious]
        if suspects:
            self.quarantine.add(suspects)
            events = [event for event in events if not event.suspicious]
        if events:
            self.loading.add(events)
