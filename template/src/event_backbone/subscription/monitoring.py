"""What a subscription reports: metrics and log lines, each in one place, and how far the group is behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from datetime import timedelta

from event_backbone import telemetry
from event_backbone.backoff import pause
from event_backbone.errors import BackboneError
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.base import Stream
from event_backbone.stream.values import GroupState

_MEASURE_EVERY = timedelta(seconds=5)

_log = logging.getLogger("event_backbone.subscription")


class Monitor:
    """Counts and logs what happens to the events of one group of one stream."""

    def __init__(self, stream: StreamName, group: str) -> None:
        """Speak of ``group`` of ``stream``."""
        self._stream = stream.key
        self._group = group
        self.attributes = {"uri": stream.uri, "group": group}
        self._uri = stream.uri

    def delivered(self, events: int, again: int) -> None:
        """Tell of events handed over, ``again`` of them not for the first time."""
        telemetry.delivered.add(events, self.attributes)
        if again:
            telemetry.redelivered.add(again, self.attributes)

    def lease_lost(self, key: EventKey) -> None:
        """Tell of an event whose lease was lost: it was taken over, or finished, by somebody else."""
        telemetry.lease_lost.add(1, self.attributes)
        _log.warning("The lease of event %s of %s was lost: group %s has it elsewhere.", key, self._stream, self._group)

    def vanished(self, keys: Collection[EventKey]) -> None:
        """Tell of events that were deleted from the stream before this group had finished them."""
        telemetry.vanished.add(len(keys), self.attributes)
        listed = ", ".join(str(key) for key in list(keys)[:10])
        _log.error("%d pending events of %s are no longer in the stream: %s.", len(keys), self._stream, listed)

    def group_recreated(self) -> None:
        """Tell that the group was gone and has been made anew."""
        telemetry.group_recreated.add(1, self.attributes)
        _log.warning("Group %s of %s was missing; it begins again at the beginning.", self._group, self._stream)

    def runs_alone(self, key: EventKey, deliveries: int) -> None:
        """Tell of an event that runs alone because its earlier deliveries may have ended their process."""
        telemetry.poison_suspected.add(1, self.attributes)
        telemetry.running_alone.set(1, self.attributes)
        _log.warning(
            "Event %s of %s runs alone: its process ended during earlier deliveries; this is number %d.",
            key,
            self._stream,
            deliveries,
        )

    def no_longer_alone(self, key: EventKey, after: timedelta) -> None:
        """Tell that others go on beside an event that takes long."""
        _log.warning("Event %s of %s still runs after %s; other events go on beside it.", key, self._stream, after)

    def ran_alone(self) -> None:
        """Tell that no event runs alone any more."""
        telemetry.running_alone.set(0, self.attributes)

    def parking_full(self, most: int) -> None:
        """Tell that no more failed events can be parked."""
        _log.error(
            "Group %s of %s has %d events that wait for a retry; nothing more is read until there are fewer.",
            self._group,
            self._stream,
            most,
        )

    def blocked(self, handler: str, after: timedelta) -> None:
        """Tell of a handler that keeps the event loop from running."""
        _log.warning(
            "Handler %s blocks the event loop for more than %s: nothing else runs, and its lease may be lost. "
            "Await asynchronous calls, and move blocking ones into asyncio.to_thread.",
            handler,
            after,
        )

    def not_ended(self, handlers: int) -> None:
        """Tell of handlers that went on after they were cancelled."""
        _log.error(
            "%d handlers of %s did not end when they were cancelled; they are left behind.", handlers, self._stream
        )

    def broken(self, error: BaseException) -> None:
        """Tell that something ended the subscription."""
        _log.error("The subscription of %s to %s ends: %s: %s", self._group, self._stream, type(error).__name__, error)

    def stands(self, state: GroupState) -> None:
        """Tell how the group stands; where the server cannot tell the lag, what was told last remains."""
        if state.unread is not None:
            telemetry.lag.set(state.unread, self.attributes)
        telemetry.pending.set(state.pending, self.attributes)
        telemetry.parked.set(state.parked, self.attributes)
        telemetry.dead_letters.set(state.dead_letters, self.attributes)

    def outage_began(self, error: BackboneError) -> None:
        """Tell once per outage that Redis does not answer."""
        telemetry.outages.add(1, {"uri": self._uri, "side": "consumer"})
        _log.warning("Redis does not answer group %s of %s: %s Trying again.", self._group, self._stream, error)

    def outage_ended(self, lasted: timedelta) -> None:
        """Tell that Redis answers again."""
        _log.warning("Redis answers group %s of %s again after %s.", self._group, self._stream, lasted)

    def storage_outage_began(self, error: BackboneError) -> None:
        """Tell once per outage that a payload storage does not answer."""
        telemetry.outages.add(1, {"uri": self._uri, "side": "storage"})
        _log.warning("Payloads of %s cannot be loaded: %s Trying again.", self._stream, error)

    def left_pending(self, events: int) -> None:
        """Tell of events that could neither be finished nor given back in time."""
        _log.warning("%d events of %s stay pending until others take them.", events, self._stream)

    def not_left(self, error: BackboneError) -> None:
        """Tell that the stop could not be told to the server."""
        _log.warning("Group %s of %s could not be left in order: %s", self._group, self._stream, error)


class LagLoop:
    """Asks every five seconds how the group stands. Each consumer of a group tells the same, of the whole group."""

    def __init__(self, stream: Stream, group: str, monitor: Monitor, stopping: asyncio.Event) -> None:
        """Watch ``group`` of ``stream`` until ``stopping``."""
        self._stream = stream
        self._group = group
        self._monitor = monitor
        self._stopping = stopping

    async def run(self) -> None:
        """Watch until stopped."""
        while True:
            await pause(self._stopping, _MEASURE_EVERY)
            if self._stopping.is_set():
                return
            await self.measure()

    async def measure(self) -> None:
        """Measure once. Never raises for what Redis answers, or does not."""
        try:
            states = await self._stream.groups()
        except BackboneError:
            # The read loop tells what is wrong with Redis; a server that does not let us ask is no reason to end.
            return
        for state in states:
            if state.name == self._group:
                self._monitor.stands(state)
