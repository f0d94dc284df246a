"""The way of an event that was taken up: loaded, handled, and settled. How these parts fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from event_backbone.delivery import Deliverer
from event_backbone.storage.base import Storage, StorageScope
from event_backbone.stream.base import GroupLeases
from event_backbone.subscription.acking import AckLoop
from event_backbone.subscription.gate import shared_gate
from event_backbone.subscription.held import Held
from event_backbone.subscription.loading import Loader, LoadLoop
from event_backbone.subscription.outage import Outage
from event_backbone.subscription.poison import PoisonLoop
from event_backbone.subscription.retrying import RetryLoop
from event_backbone.subscription.settling import Settler
from event_backbone.subscription.signals import Signals
from event_backbone.subscription.work import Work
from event_backbone.subscription.working import Runner, Workers


class Handling:
    """Everything between taking an event up and its end."""

    def __init__(
        self,
        leases: GroupLeases,
        held: Held,
        outage: Outage,
        signals: Signals,
        *,
        deliverer: Deliverer,
        scope: StorageScope,
        storages: Mapping[str, Storage],
        again: Callable[[Sequence[Work]], None],
    ) -> None:
        """Join the parts; ``again`` takes events whose next attempt is due."""
        gate = shared_gate()
        self.acks = AckLoop(leases, held, outage)
        self.retries = RetryLoop(leases, held, outage, again)
        settler = Settler(leases, held, outage, retries=self.retries, deliverer=deliverer)
        runner = Runner(held, gate, deliverer, settler, self.acks)
        self.workers = Workers(runner, gate)
        loader = Loader(scope, storages, deliverer, signals, self.retries.postpone)
        self.loads = LoadLoop(loader, self.workers.put, in_order=held.in_order)
        self.poison = PoisonLoop(
            leases,
            held,
            signals=signals,
            gate=gate,
            loader=loader,
            runner=runner,
            settler=settler,
            deliverer=deliverer,
        )

    def close(self) -> None:
        """Let nothing new begin."""
        self.workers.close()
        self.poison.close()
