"""How the parts of one subscription fit together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from event_backbone.consumer import Consumer
from event_backbone.contract import Contract
from event_backbone.delivery import Deliverer
from event_backbone.interceptors import HandleInterceptor
from event_backbone.storage.base import Storage, StorageScope
from event_backbone.stream.base import Streams
from event_backbone.subscription.acking import AckLoop
from event_backbone.subscription.claiming import ClaimLoop
from event_backbone.subscription.gate import shared_gate
from event_backbone.subscription.heartbeat import HeartbeatLoop
from event_backbone.subscription.held import Held
from event_backbone.subscription.intake import Intake
from event_backbone.subscription.loading import Loader, LoadLoop
from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.outage import Outage
from event_backbone.subscription.poison import PoisonLoop
from event_backbone.subscription.reading import ReadLoop
from event_backbone.subscription.retrying import RetryLoop
from event_backbone.subscription.settling import Settler
from event_backbone.subscription.signals import Signals
from event_backbone.subscription.work import Work
from event_backbone.subscription.working import Runner, Workers


class Parts:
    """Everything that one run of a subscription consists of. Made within the event loop it runs in."""

    def __init__(
        self,
        streams: Streams,
        *,
        scope: StorageScope,
        group: str,
        name: str,
        consumer: Consumer[Contract],
        storages: Mapping[str, Storage],
        options: SubscriptionOptions,
        interceptors: Sequence[HandleInterceptor],
        on_limit: Callable[[], None],
    ) -> None:
        """Join the parts; ``name`` is the consumer's own within the group."""
        self.stopping = asyncio.Event()
        self.stopped = asyncio.Event()
        self.reader = streams.group_reader(scope.stream, group, name)
        self.leases = streams.group_leases(scope.stream, group, name)
        self.signals = Signals(scope.stream, group)
        self.outage = Outage(self.signals)
        self.held = Held(options, self.signals, on_limit)
        gate = shared_gate()
        deliverer = Deliverer(
            consumer,
            interceptors=interceptors,
            retry=options.retry,
            ack=options.ack,
            attributes=self.signals.attributes,
        )
        self.acks = AckLoop(self.leases, self.held, self.outage)
        self.retries = RetryLoop(self.leases, self.held, self.outage, self._send)
        settler = Settler(
            self.leases, self.held, self.outage, acks=self.acks, retries=self.retries, deliverer=deliverer
        )
        runner = Runner(self.held, gate, deliverer, settler, self.acks)
        self.workers = Workers(runner, gate)
        loader = Loader(scope, storages, deliverer, self.signals, self.retries.postpone)
        self.loads = LoadLoop(loader, self.workers.put)
        self.poison = PoisonLoop(
            self.leases,
            self.held,
            self.outage,
            signals=self.signals,
            gate=gate,
            loader=loader,
            runner=runner,
            settler=settler,
            deliverer=deliverer,
        )
        self.intake = Intake(
            self.reader,
            self.held,
            self.outage,
            self.signals,
            ordinary=self.loads.add,
            suspicious=self.poison.add,
        )
        self.heartbeat = HeartbeatLoop(self.leases, self.held, self.outage, options.lease, self.stopped)
        self.claims = ClaimLoop(self.intake, self.held, self.outage, options.lease, self.stopping)
        self.reads = ReadLoop(
            self.reader,
            self.intake,
            self.held,
            self.outage,
            self.signals,
            beat=self.heartbeat.beat,
            sweep=lambda: self.reader.leave(options.crashed_after),
            start=options.start,
            stopping=self.stopping,
        )

    def _send(self, works: Sequence[Work]) -> None:
        self.intake.send(works)

    def stop(self) -> None:
        """Let nothing new begin."""
        self.stopping.set()
        self.held.wake()
        self.workers.close()
        self.poison.close()

    async def give_back(self) -> None:
        """Give everything that is not running back to the group, claimable at once.

        Raises StreamUnavailable; what was not given back by then stays pending until its lease has ended.
        """
        waiting = [work for work in self.held.works.values() if work.stage == "waiting"]
        for work in waiting:
            # Its last attempt is used up: the next one is begun, so that giving it back takes only that one off.
            delivery = await self.leases.begin_attempt(work.lease)
            if delivery is None:
                self.held.lose(work)
            else:
                work.begin(delivery)
                self.held.move(work, "unstarted")
        unstarted = [work for work in self.held.works.values() if work.stage == "unstarted"]
        if unstarted:
            await self.leases.release([work.lease for work in unstarted])
        for work in unstarted:
            self.held.give_back(work)
