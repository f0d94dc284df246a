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
        self._signals = signals
        self._on_limit = on_limit
        self._roomy = asyncio.Event()
        self._room_wanted = 0
        self._unstarted = 0
        self._waiting = 0
        self.works: dict[EventKey, Work] = {}
        self.finished = 0

    def __contains__(self, work: Work) -> bool:
        return self.works.get(work.key) is work

    def admit(self, deliveries: Sequence[Delivery]) -> list[Work]:
        """Take up deliveries, and return those that are new here.

        The same attempt may come twice, by a claim and a recovery. An event that comes with another attempt than the
        one held has been through a group made anew: what is held of it has lost its lease.
        """
        admitted: list[Work] = []
        for delivery in deliveries:
            known = self.works.get(delivery.entry.key)
            if known is not None:
                if known.lease.attempt == delivery.attempt:
                    continue
                self.lose(known)
            work = Work(delivery)
            self.works[work.key] = work
            self._unstarted += 1
            admitted.append(work)
        return admitted

    def move(self, work: Work, stage: Stage) -> None:
        """Note how far an event has come."""
        if work in self:
            self._count(work.stage, -1)
            self._count(stage, +1)
        work.stage = stage
        self._tell_room()

    def finish(self, work: Work) -> None:
        """Let go of an event that has come to its end."""
        if not self._drop(work):
            return
        self.finished += 1
        limit = self._options.max_events
        if limit is not None and self.finished >= limit:
            self._on_limit()

    def lose(self, work: Work) -> None:
        """Let go of an event whose lease is lost; its handlers are cancelled."""
        if not self._drop(work):
            return
        work.lost = True
        self._signals.lease_lost(work.key)
        if work.runner is not None:
            work.runner.cancel()

    def give_back(self, work: Work) -> None:
        """Let go of an event that goes back to the group."""
        self._drop(work)

    @property
    def limited(self) -> bool:
        """Whether only so many events are to be handled."""
        return self._options.max_events is not None

    @property
    def room(self) -> int:
        """How many more events may be taken now.

        It opens when half of what may be held waits to be started, so that many events are read at once.
        """
        options = self._options
        if self._waiting >= options.max_waiting or self._unstarted * 2 > options.prefetch:
            return 0
        room = options.prefetch - (len(self.works) - self._waiting)
        if options.max_events is not None:
            room = min(room, options.max_events - self.finished - len(self.works))
        return max(room, 0)

    async def wait_for_room(self, seconds: float) -> None:
        """Wait until there may be room, for ``seconds`` at most; ``wake`` ends it."""
        self._roomy.clear()
        self._room_wanted += 1
        try:
            async with asyncio.timeout(seconds):
                await self._roomy.wait()
        except TimeoutError:
            pass
        finally:
            self._room_wanted -= 1

    def wake(self) -> None:
        """End ``wait_for_room``."""
        self._roomy.set()

    def _drop(self, work: Work) -> bool:
        if work not in self:
            return False
        del self.works[work.key]
        self._count(work.stage, -1)
        self._tell_room()
        return True

    def _count(self, stage: Stage, change: int) -> None:
        if stage == "unstarted":
            self._unstarted += change
        elif stage == "waiting":
            self._waiting += change

    def _tell_room(self) -> None:
        if self._room_wanted and not self._roomy.is_set() and self.room > 0:
            self._roomy.set()
