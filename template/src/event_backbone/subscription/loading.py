"""Payloads: the events of one read are loaded in one go, before their handlers run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from event_backbone.delivery import Arrived, Deliverer
from event_backbone.errors import EntryUnreadable, StorageUnavailable
from event_backbone.metadata import decode_metadata
from event_backbone.storage.base import Storage, StorageScope
from event_backbone.storage.loading import load_payloads
from event_backbone.subscription.in_flight import InFlight
from event_backbone.subscription.outage import Ladder
from event_backbone.subscription.signals import Signals


class Loader:
    """Reads metadata and loads payloads.

    While a storage does not answer, its events come back after a while, which uses up no attempt. They go on counting
    as held, so reading is bounded meanwhile.
    """

    def __init__(
        self,
        scope: StorageScope,
        storages: Mapping[str, Storage],
        deliverer: Deliverer,
        signals: Signals,
        later: Callable[[InFlight, timedelta], None],
    ) -> None:
        """Load from ``storages``; ``later`` takes what has to come back after a while."""
        self._scope = scope
        self._storages = storages
        self._deliverer = deliverer
        self._signals = signals
        self._later = later
        self._ladder = Ladder()
        self._outage = False

    async def load(self, works: Sequence[InFlight]) -> list[InFlight]:
        """Load what is wanted, and return the events that can go on, in order."""
        self._deliverer.begin_batch()
        wanted = [arrived for work in works if (arrived := self._read(work)) is not None]
        if not wanted:
            return list(works)
        payloads = await load_payloads(self._scope, self._storages, [arrived.references for arrived in wanted])
        failed: StorageUnavailable | None = None
        for arrived, payload in zip(wanted, payloads, strict=True):
            arrived.payload = payload
            if isinstance(payload, StorageUnavailable):
                failed = failed or payload
        if failed is None:
            self._outage = False
            self._ladder.reset()
            return list(works)
        self._postpone([work for work in works if _is_postponed(work)], failed)
        return [work for work in works if not _is_postponed(work)]

    def _read(self, work: InFlight) -> Arrived | None:
        """Decode the metadata, and return what wants its payload."""
        try:
            metadata, references = decode_metadata(work.fields, self._scope.stream, work.key)
        except EntryUnreadable as error:
            work.arrived = error
            return None
        work.arrived = arrived = Arrived(metadata, None, references, work.tries)
        return arrived if self._deliverer.wants(metadata) else None

    def _postpone(self, works: Sequence[InFlight], error: StorageUnavailable) -> None:
        if not self._outage:
            self._outage = True
            self._signals.storage_outage_began(error)
        delay = timedelta(seconds=self._ladder.next())
        for work in works:
            self._later(work, delay)


def _is_postponed(work: InFlight) -> bool:
    return isinstance(work.arrived, Arrived) and isinstance(work.arrived.payload, StorageUnavailable)


class LoadLoop:
    """Loads batch after batch, while workers handle the one before and the read loop reads the one after.

    ``run`` may run several times at once; the batches then no longer come out in their order.
    """

    def __init__(self, loader: Loader, put: Callable[[Sequence[InFlight]], None]) -> None:
        """Load by ``loader`` and hand over to ``put``."""
        self._loader = loader
        self._put = put
        self._batches: asyncio.Queue[Sequence[InFlight]] = asyncio.Queue()

    def add(self, works: Sequence[InFlight]) -> None:
        """Load these next."""
        self._batches.put_nowait(works)

    async def run(self) -> None:
        """Load until cancelled; what was not loaded then has not been started."""
        while True:
            works = [work for work in await self._batches.get() if work.held]
            self._put(await self._loader.load(works))
