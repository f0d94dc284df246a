"""How the parts of one subscription fit together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from event_backbone.delivery import Deliverer
from event_backbone.storage.base import Storage, StorageScope
from event_backbone.stream.base import GroupLeases, GroupReader
from event_backbone.subscription.claiming import ClaimLoop
from event_backbone.subscription.handling import Handling
from event_backbone.subscription.heartbeat import HeartbeatLoop
from event_backbone.subscription.held import Held
from event_backbone.subscription.intake import Intake
from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.outage import Outage
from event_backbone.subscription.reading import ReadLoop
from event_backbone.subscription.signals import Signals
from event_backbone.subscription.work import Work


class Parts:
    """Everything that one run of a subscription consists of. Made within the event loop it runs in."""

    def __init__(
        self,
        reader: GroupReader,
        leases: GroupLeases,
        signals: Signals,
        deliverer: Deliverer,
        *,
        scope: StorageScope,
        storages: Mapping[str, Storage],
        options: SubscriptionOptions,
        on_limit: Callable[[], None],
    ) -> None:
        """Join the parts; ``on_limit`` is called when ``max_events`` have come to an end."""
        self.stopping = asyncio.Event()
        self.reader, self.leases, self.signals = reader, leases, signals
        outage = Outage(signals)
        self.held = held = Held(options, signals, on_limit)
        self.handling = handling = Handling(
            leases, held, outage, signals, deliverer=deliverer, scope=scope, storages=storages, again=self._take_up
        )
        self.intake = Intake(reader, held, outage, signals, ordinary=handling.loads.add, suspicious=handling.poison.add)
        self.heartbeat = HeartbeatLoop(leases, held, outage, options.lease)
        self.claims = ClaimLoop(self.intake, held, outage, options.lease, self.stopping)
        self.reads = ReadLoop(
            reader,
            self.intake,
            held,
            outage,
            signals,
            beat=self.heartbeat.beat,
            sweep=lambda: reader.leave(options.crashed_after),
            start=options.start,
            stopping=self.stopping,
        )

    def _take_up(self, works: Sequence[Work]) -> None:
        self.intake.send(works)

    def stop(self) -> None:
        """Let nothing new begin."""
        self.stopping.set()
        self.held.wake()
        self.handling.close()

    async def give_back(self, *, cancelled: bool = False) -> None:
        """Give everything that was not begun back to the group, and what was ``cancelled``, claimable at once.

        The count of an attempt that was not begun is restored. An attempt that was cancelled stays counted, as a
        failure, because what ends without a word counts as a crash. Raises StreamUnavailable; what was not given back
        by then stays pending until its lease has ended.
        """
        begun = [work for work in self.held.works.values() if cancelled and work.stage == "running"]
        await asyncio.gather(*(self.leases.record_failure(work.lease) for work in begun))
        works = [*begun, *(work for work in self.held.works.values() if work.stage in {"unstarted", "waiting"})]
        if works:
            await self.leases.release([work.lease for work in works])
        for work in works:
            self.held.give_back(work)
