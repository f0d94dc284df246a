"""The events that a subscription holds, and how many more it may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from event_backbone.metadata import EventKey
from event_backbone.stream.base import Delivery
from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.signals import Signals
from event_backbone.subscription.work import Stage, Work


class Held:
    """Every event between its delivery and its end, by key. What is not in here, nothing may be done with.

    ``finished`` counts the events handled to an end: acked, or moved to the dead letters.
    """

    def __init__(self, options: SubscriptionOptions, signals: Signals, on_limit: Callable[[], None]) -> None:
        """Hold nothing; ``on_limit`` is called when ``max_events`` have come to an end."""
        self._options = options
        self._half = options.prefetch // 2
        self._signals = signals
        self._on_limit = on_limit
        self._roomy = asyncio.Event()
        self._room_wanted = False
        self._count: dict[Stage, int] = {"unstarted": 0, "running": 0, "waiting": 0, "settling": 0}
        self.works: dict[EventKey, Work] = {}
        self.finished = 0

    def admit(self, deliveries: Sequence[Delivery]) -> list[Work]:
        """Take up deliveries, and return those that are new here.

        The same attempt may come twice, by a claim and a recovery. An event that comes with another attempt than the
        one held has been through a group made anew: what is held of it has lost its lease.
        """
        admitted: list[Work] = []
        for delivery in deliveries:
            work = Work(delivery)
            known = self.works.setdefault(work.key, work)
            if known is not work:
                if known.attempt == delivery.attempt:
                    continue
                self.lose(known)
                self.works[work.key] = work
            work.held = True
            admitted.append(work)
        self._count["unstarted"] += len(admitted)
        return admitted

    def move(self, work: Work, stage: Stage) -> None:
        """Note how far an event has come."""
        if work.held:
            self._count[work.stage] -= 1
            self._count[stage] += 1
        work.stage = stage
        if self._room_wanted and self._count["unstarted"] <= self._half:
            self._tell_room()

    def finish(self, *works: Work) -> None:
        """Let go of events that have come to their end."""
        finished = 0
        for work in works:
            finished += self._drop(work)
        if finished == 0:
            return
        self._tell_room()
        self.finished += finished
        limit = self._options.max_events
        if limit is not None and self.finished >= limit:
            self._on_limit()

    def lose(self, work: Work) -> None:
        """Let go of an event whose lease is lost; its handlers are cancelled."""
        if not self._drop(work):
            return
        self._tell_room()
        work.lost = True
        self._signals.lease_lost(work.key)
        if work.runner is not None:
            work.runner.cancel()

    def give_back(self, work: Work) -> None:
        """Let go of an event that goes back to the group."""
        if self._drop(work):
            self._tell_room()

    @property
    def limited(self) -> bool:
        """Whether only so many events are to be handled."""
        return self._options.max_events is not None

    @property
    def in_order(self) -> bool:
        """Whether events are to be handled in the order of the stream, since only one is handled at a time."""
        return self._options.concurrency == 1

    @property
    def room(self) -> int:
        """How many more events may be taken now.

        It opens when half of what may be held waits to be started, so that many events are read at once. What is being
        acked leaves room for the next, up to once more as many: else nothing would be read while an ack is under way.
        """
        options, count = self._options, self._count
        if count["unstarted"] > self._half or count["waiting"] >= options.max_waiting:
            return 0
        busy = count["unstarted"] + count["running"]
        room = options.prefetch - max(busy, busy + count["settling"] - options.prefetch)
        if options.max_events is not None:
            room = min(room, options.max_events - self.finished - len(self.works))
        return max(room, 0)

    async def wait_for_room(self, seconds: float) -> None:
        """Wait until there may be room, for ``seconds`` at most; ``wake`` ends it."""
        self._roomy.clear()
        self._room_wanted = True
        try:
            async with asyncio.timeout(seconds):
                await self._roomy.wait()
        except TimeoutError:
            pass

    def wake(self) -> None:
        """End ``wait_for_room``."""
        self._roomy.set()

    def _drop(self, work: Work) -> bool:
        if not work.held:
            return False
        work.held = False
        del self.works[work.key]
        self._count[work.stage] -= 1
        return True

    def _tell_room(self) -> None:
        if self._room_wanted and self.room > 0:
            self._room_wanted = False
            self._roomy.set()
