"""Payloads: the events of one read are loaded together, and each goes on to its handlers once its payload is there."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from event_backbone.backoff import Delays
from event_backbone.errors import (
    EntryUnreadable,
    RequirementUnknown,
    StorageError,
    StorageMissing,
    StorageUnavailable,
)
from event_backbone.model import Payload
from event_backbone.storage.base import OnPayloads, Storage, StorageScope
from event_backbone.storage.loading import load_event_payloads
from event_backbone.subscription.event_in_flight import InFlight
from event_backbone.subscription.handling import Handling
from event_backbone.subscription.in_flight import EventsInFlight
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.subscription.monitoring import Monitor
from event_backbone.subscription.outage import BACKOFF
from event_backbone.subscription.settlement import Settlement
from event_backbone.wire import read_entry, read_inline, read_redriven

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdReads

_NOT_READY_SECONDS = 30.0
_ONLY_IN_ARCHIVE = "A redriven event has its payload only in the archive; pass that to Backbone as archive=."

OnLoaded = Callable[[Sequence[InFlight]], None]
"""Takes events that can go on to their handlers."""


class Loader:
    """Reads metadata and loads payloads.

    While a storage does not answer, its events come back after a while, which uses up no attempt. They stay in flight,
    so reading is bounded meanwhile. An event that this process cannot read, as it lacks the storage or is out of date,
    is handed over to the group.
    """

    def __init__(
        self,
        scope: StorageScope,
        storages: Mapping[str, Storage],
        handling: Handling,
        monitor: Monitor,
        *,
        settlement: Settlement,
        in_flight: EventsInFlight,
        cold: ColdReads | None = None,
    ) -> None:
        """Load from ``storages``, as much of what is ``in_flight`` as may be in memory.

        ``settlement`` keeps what has to come back after a while; ``cold`` reads the archive, if there is one.
        """
        self._scope = scope
        self._storages = storages
        self._handling = handling
        self._monitor = monitor
        self._settlement = settlement
        self._in_flight = in_flight
        self._cold = cold
        self._delays = Delays(BACKOFF)
        self._outage = False
        self._missing: dict[str, float] = {}

    @property
    def hands_over(self) -> bool:
        """Whether an event was met lately that this process cannot read: it lacks its storage, or is too old."""
        return any(until > monotonic() for until in self._missing.values())

    async def load_one(self, event: InFlight) -> bool:
        """Load one event; return whether it can go on."""
        ready: list[InFlight] = []
        await self.load([event], ready.extend)
        return bool(ready)

    async def load(self, events: Sequence[InFlight], on_loaded: OnLoaded, *, in_order: bool = False) -> None:
        """Load the payloads that are wanted, and pass on each event as soon as it can go on.

        ``in_order`` lets each wait until all those before it in ``events`` have gone on, or are to come back later.
        """
        self._handling.begin_batch()
        events = [event for event in events if event.active]
        in_turn = _InOrder(events, on_loaded) if in_order else None
        ready: list[InFlight] = []
        wanted: list[InFlight] = []
        loaded_events: list[LoadedEvent] = []
        for event in events:
            try:
                loaded = self._read(event)
            except (RequirementUnknown, StorageMissing) as error:
                self._hand_over(event, error)
                if in_turn is not None:
                    in_turn.skip(event)
                continue
            if loaded is None:
                ready.append(event)
            else:
                wanted.append(event)
                loaded_events.append(loaded)
        if ready:
            (on_loaded if in_turn is None else in_turn.pass_on)(ready)
        if not wanted:
            return
        sizes_bytes = [loaded.metadata.size_bytes for loaded in loaded_events]
        if self._in_flight.memory.try_take(wanted, sizes_bytes):
            await self._load(wanted, loaded_events, on_loaded, in_turn)
        else:
            await self._load_in_parts(wanted, loaded_events, sizes_bytes, on_loaded, in_turn)

    def _read(self, event: InFlight) -> LoadedEvent | None:
        """Decode the metadata, and return what wants its payload, unless that is in the entry.

        Raises RequirementUnknown, or StorageMissing if only the archive has the payload, and this process has none.
        """
        stream, key, fields = self._scope.stream, event.key, event.fields
        redriven = read_redriven(fields, stream.partition)
        if redriven is not None:
            key, fields = redriven.key, redriven.fields
        try:
            metadata, references = read_entry(fields, stream, key)
        except EntryUnreadable as error:
            event.loaded = error
            return None
        route = self._handling.routes.of(metadata)
        event.loaded = loaded = LoadedEvent(metadata, route, None, references, event.repeats)
        if not route.wanted:
            return None
        if not references and redriven is not None:
            if self._cold is None:
                raise StorageMissing(_ONLY_IN_ARCHIVE)
            return loaded
        if not references:
            loaded.payload = read_inline(fields)
            self._in_flight.has_inline = True
            return None
        return loaded

    async def _load_in_parts(
        self,
        events: list[InFlight],
        loaded_events: list[LoadedEvent],
        sizes_bytes: list[int],
        on_loaded: OnLoaded,
        in_turn: _InOrder | None,
    ) -> None:
        """Load as many at once as there is memory for, and the next when there is some again, whatever still loads.

        Takes them out of the lists, so that nothing refers to their payloads longer than their handlers.
        """
        memory = self._in_flight.memory
        async with asyncio.TaskGroup() as tasks, memory.turn:
            while events:
                count = await memory.take(events, sizes_bytes)
                part = [each for each in zip(events[:count], loaded_events[:count], strict=True) if each[0].active]
                if in_turn is not None:
                    for event in events[:count]:
                        if not event.active:
                            in_turn.skip(event)
                if part:
                    tasks.create_task(
                        self._load([event for event, _ in part], [loaded for _, loaded in part], on_loaded, in_turn)
                    )
                del events[:count], loaded_events[:count], sizes_bytes[:count]

    async def _load(
        self,
        events: Sequence[InFlight],
        loaded_events: Sequence[LoadedEvent],
        on_loaded: OnLoaded,
        in_turn: _InOrder | None,
    ) -> None:
        left = len(events)
        delay: timedelta | None = None
        pass_on = on_loaded if in_turn is None else in_turn.pass_on

        def take(answers: Iterable[tuple[int, Payload | StorageError]]) -> None:
            nonlocal left, delay
            ready: list[InFlight] = []
            for place, payload in answers:
                loaded_events[place].payload = payload
                if not isinstance(payload, StorageUnavailable):
                    ready.append(events[place])
                    continue
                left -= 1
                if isinstance(payload, StorageMissing):
                    self._hand_over(events[place], payload)
                else:
                    delay = delay or self._delay(payload)
                    self._settlement.postpone(events[place], delay)
                if in_turn is not None:
                    in_turn.skip(events[place])
            left -= len(ready)
            if ready:
                pass_on(ready)

        with self._handling.loading(loaded_events):
            await self._load_payloads(loaded_events, take)
        if left:
            raise RuntimeError(f"A storage left {left} of {len(events)} payloads unanswered.")
        if delay is None:
            self._outage = False
            self._delays.reset()

    async def _load_payloads(self, loaded_events: Sequence[LoadedEvent], take: OnPayloads) -> None:
        if self._cold is None:
            references = [loaded.references for loaded in loaded_events]
            await load_event_payloads(self._scope, self._storages, references, take)
            return
        from event_backbone.archive.fallback import load_with_archive  # noqa: PLC0415 - only with an archive

        places = [(loaded.metadata.key, loaded.references) for loaded in loaded_events]
        await load_with_archive(self._scope, self._storages, self._cold, places, take)

    def _hand_over(self, event: InFlight, error: StorageMissing | RequirementUnknown) -> None:
        """Leave an event to members that can read it; not ready meanwhile, so that a rollout stops here."""
        now, text = monotonic(), str(error)
        if self._missing.get(text, now) <= now:
            self._missing = {each: until for each, until in self._missing.items() if until > now}
            self._monitor.handed_over(error)
        self._missing[text] = now + _NOT_READY_SECONDS
        self._settlement.hand_over(event)

    def _delay(self, error: StorageUnavailable) -> timedelta:
        """Return how long the events of a batch that meets an outage wait."""
        if not self._outage:
            self._outage = True
            self._monitor.storage_outage_began(error)
        return self._delays.next()


class _InOrder:
    """Lets the events of a batch go on in their order, as far as it is known of each whether it does."""

    def __init__(self, events: Sequence[InFlight], on_loaded: OnLoaded) -> None:
        self._waiting = deque(events)
        self._known: dict[InFlight, bool] = {}
        self._on_loaded = on_loaded

    def pass_on(self, events: Sequence[InFlight]) -> None:
        """Let these go on when it is their turn."""
        self._known.update(dict.fromkeys(events, True))
        self._advance()

    def skip(self, event: InFlight) -> None:
        """Keep nobody waiting for this one."""
        self._known[event] = False
        self._advance()

    def _advance(self) -> None:
        ready: list[InFlight] = []
        while self._waiting and self._waiting[0] in self._known:
            event = self._waiting.popleft()
            if self._known.pop(event):
                ready.append(event)
        if ready:
            self._on_loaded(ready)


class LoadLoop:
    """Loads batches while workers handle those before, and the read loop reads those after.

    No event waits for the payload of another, in its own batch or an earlier one. With ``in_order``, batches are loaded
    one after the other, and each event goes on after all those before it.
    """

    def __init__(self, loader: Loader, on_loaded: OnLoaded, *, in_order: bool) -> None:
        """Load by ``loader`` and pass on to ``on_loaded``."""
        self._loader = loader
        self._on_loaded = on_loaded
        self._in_order = in_order
        self._batches: asyncio.Queue[Sequence[InFlight]] = asyncio.Queue()

    def add(self, events: Sequence[InFlight]) -> None:
        """Load these next."""
        self._batches.put_nowait(events)

    async def run(self) -> None:
        """Load until cancelled, which ends every request; what was not passed on by then has not begun."""
        async with asyncio.TaskGroup() as tasks:  # as many as there are batches, bounded by what may be in flight
            while True:
                loading = self._loader.load(await self._batches.get(), self._on_loaded, in_order=self._in_order)
                if self._in_order:
                    await loading
                else:
                    tasks.create_task(loading)
