"""Payloads: the events of one read are loaded together, and each goes on to its handlers once its payload is there."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

from event_backbone.delivery import Arrived, Deliverer
from event_backbone.errors import EntryUnreadable, StorageError, StorageUnavailable
from event_backbone.metadata import Payload, decode_metadata
from event_backbone.storage.base import Storage, StorageScope
from event_backbone.storage.loading import load_events
from event_backbone.subscription.outage import Ladder
from event_backbone.subscription.signals import Signals
from event_backbone.subscription.work import Work

Put = Callable[[Sequence[Work]], None]
"""Takes events that can go on to their handlers."""


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
        later: Callable[[Work, timedelta], None],
    ) -> None:
        """Load from ``storages``; ``later`` takes what has to come back after a while."""
        self._scope = scope
        self._storages = storages
        self._deliverer = deliverer
        self._signals = signals
        self._later = later
        self._ladder = Ladder()
        self._outage = False

    async def load(self, works: Sequence[Work]) -> list[Work]:
        """Load what is wanted, and return the events that can go on, in order, once all is there."""
        ready: list[Work] = []
        await self.hand_over(works, ready.extend, in_order=True)
        return ready

    async def hand_over(self, works: Sequence[Work], put: Put, *, in_order: bool = False) -> None:
        """Load what is wanted, and put each event as soon as it can go on.

        ``in_order`` lets each wait until all those before it in ``works`` have gone on, or are to come back later.
        """
        self._deliverer.begin_batch()
        line = _Line(works, put) if in_order else None
        ready: list[Work] = []
        wanted: list[Work] = []
        arrivals: list[Arrived] = []
        for work in works:
            arrived = self._read(work)
            if arrived is None:
                ready.append(work)
            else:
                wanted.append(work)
                arrivals.append(arrived)
        if ready:
            (put if line is None else line.put)(ready)
        if wanted:
            await self._load(wanted, arrivals, put, line)

    def _read(self, work: Work) -> Arrived | None:
        """Decode the metadata, and return what wants its payload."""
        try:
            metadata, references = decode_metadata(work.fields, self._scope.stream, work.key)
        except EntryUnreadable as error:
            work.arrived = error
            return None
        work.arrived = arrived = Arrived(metadata, None, references, work.tries)
        return arrived if self._deliverer.wants(metadata) else None

    async def _load(self, works: Sequence[Work], arrivals: Sequence[Arrived], put: Put, line: _Line | None) -> None:
        left = len(works)
        delay: timedelta | None = None
        go_on = put if line is None else line.put

        def take(answers: Iterable[tuple[int, Payload | StorageError]]) -> None:
            nonlocal left, delay
            ready: list[Work] = []
            for place, payload in answers:
                arrivals[place].payload = payload
                if not isinstance(payload, StorageUnavailable):
                    ready.append(works[place])
                    continue
                left -= 1
                delay = delay or self._delay(payload)
                self._later(works[place], delay)
                if line is not None:
                    line.skip(works[place])
            left -= len(ready)
            if ready:
                go_on(ready)

        await load_events(self._scope, self._storages, [arrived.references for arrived in arrivals], take)
        if left:
            raise RuntimeError(f"A storage left {left} of {len(works)} payloads unanswered.")
        if delay is None:
            self._outage = False
            self._ladder.reset()

    def _delay(self, error: StorageUnavailable) -> timedelta:
        """Return after how long the events of a batch that meets an outage are to come back."""
        if not self._outage:
            self._outage = True
            self._signals.storage_outage_began(error)
        return timedelta(seconds=self._ladder.next())


class _Line:
    """Lets the events of a batch go on in their order, as far as it is known of each whether it does."""

    def __init__(self, works: Sequence[Work], put: Put) -> None:
        self._waiting = deque(works)
        self._known: dict[Work, bool] = {}
        self._put = put

    def put(self, works: Sequence[Work]) -> None:
        """Let these go on when it is their turn."""
        self._known.update(dict.fromkeys(works, True))
        self._advance()

    def skip(self, work: Work) -> None:
        """Keep nobody waiting for this one."""
        self._known[work] = False
        self._advance()

    def _advance(self) -> None:
        ready: list[Work] = []
        while self._waiting and self._waiting[0] in self._known:
            work = self._waiting.popleft()
            if self._known.pop(work):
                ready.append(work)
        if ready:
            self._put(ready)


class LoadLoop:
    """Loads batches while workers handle those before, and the read loop reads those after.

    No event waits for the payload of another one, of its own batch or of an earlier one; unless they are to be handled
    ``in_order``: then batches are loaded one after the other, and each event goes on after all those before it.
    """

    def __init__(self, loader: Loader, put: Put, *, in_order: bool) -> None:
        """Load by ``loader`` and hand over to ``put``."""
        self._loader = loader
        self._put = put
        self._in_order = in_order
        self._batches: asyncio.Queue[Sequence[Work]] = asyncio.Queue()

    def add(self, works: Sequence[Work]) -> None:
        """Load these next."""
        self._batches.put_nowait(works)

    async def run(self) -> None:
        """Load until cancelled, which ends every request; what was not handed over by then has not been started."""
        async with asyncio.TaskGroup() as tasks:  # as many as there are batches, which what may be held bounds
            while True:
                works = [work for work in await self._batches.get() if not work.lost]
                loading = self._loader.hand_over(works, self._put, in_order=self._in_order)
                if self._in_order:
                    await loading
                else:
                    tasks.create_task(loading)
