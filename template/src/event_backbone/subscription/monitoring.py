"""What a subscription reports: metrics and log lines, each in one place, and how far the group is behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from datetime import timedelta

from event_backbone import telemetry
from event_backbone.backoff import pause
from event_backbone.errors import BackboneError
from event_backbone.model import EventKey, NewDeadLetter, StreamName
from event_backbone.place import place_of, type_name
from event_backbone.stream.base import Stream
from event_backbone.stream.values import GroupState, Missed, Start, key_before

_MEASURE_EVERY = timedelta(seconds=5)
_MOST_COUNTED = 1000  # in one round trip: every consumer measures
_RARE = (telemetry.lease_lost, telemetry.vanished, telemetry.group_recreated, telemetry.poison_suspected)

_log = logging.getLogger("event_backbone.subscription")


class Monitor:
    """Counts and logs what happens to the events of one group of one stream."""

    def __init__(self, stream: StreamName, group: str) -> None:
        """Report on ``group`` of ``stream``."""
        self._stream = stream.key
        self._group = group
        self.attributes = {"uri": stream.uri, "group": group}
        self._uri = stream.uri
        # Prometheus sees a counter rise only if it has seen the counter before.
        for counter in _RARE:
            counter.add(0, self.attributes)
        for side in ("consumer", "storage"):
            telemetry.outages.add(0, {"uri": self._uri, "side": side})

    def delivered(self, events: int, again: int) -> None:
        """Report deliveries, ``again`` of them not the first of their event."""
        telemetry.delivered.add(events, self.attributes)
        if again:
            telemetry.redelivered.add(again, self.attributes)

    def lease_lost(self, key: EventKey) -> None:
        """Report an event whose lease was lost: another consumer has taken it over or finished it."""
        telemetry.lease_lost.add(1, self.attributes)
        _log.warning(
            "The lease of event %s of %s was lost: another consumer of group %s has taken it.",
            key,
            self._stream,
            self._group,
        )

    def vanished(self, keys: Collection[EventKey]) -> None:
        """Report events that were deleted from the stream before this group had finished them."""
        telemetry.vanished.add(len(keys), self.attributes)
        listed = ", ".join(str(key) for key in list(keys)[:10])
        _log.error("%d pending events of %s are no longer in the stream: %s.", len(keys), self._stream, listed)

    def erased(self, keys: Collection[EventKey]) -> None:
        """Report events that were erased, entry and all, before this group had finished them."""
        telemetry.skipped.add(len(keys), {**self.attributes, "event": "unknown", "reason": "erased"})
        _log.info("%d pending events of %s are skipped: they were erased.", len(keys), self._stream)

    def start_has_no_effect(self, start: Start) -> None:
        """Report that the group exists, so that it goes on where it is."""
        _log.info("Group %s of %s exists already, so start=%s has no effect.", self._group, self._stream, start)

    def missed(self, missed: Missed) -> None:
        """Report what was removed from the stream while this group had no consumer, or fell too far behind."""
        _log.error(
            "Group %s of %s has missed %d events, up to %s: they were removed before it had finished them. If there is "
            "an archive, readers still find them there.",
            self._group,
            self._stream,
            missed.events,
            missed.until,
        )

    def starts_too_early(self, start: Start, complete_from: EventKey, *, archived: bool) -> None:
        """Report that events after the start of a new group have left the stream."""
        _log.log(
            logging.INFO if start == "beginning" else logging.WARNING,
            "Events before %s have left %s; group %s begins with those that are still there%s.",
            complete_from,
            self._stream,
            self._group,
            ", and a reader finds all of them in the archive" if archived else "",
        )

    def group_recreated(self) -> None:
        """Report that the group was missing and has been made again."""
        telemetry.group_recreated.add(1, self.attributes)
        _log.warning(
            "Group %s of %s was missing; it was created again and starts at the beginning.", self._group, self._stream
        )

    def runs_alone(self, key: EventKey, deliveries: int) -> None:
        """Report an event that runs alone because its earlier deliveries may have ended their process."""
        telemetry.poison_suspected.add(1, self.attributes)
        telemetry.running_alone.set(1, self.attributes)
        _log.warning(
            "Event %s of %s runs alone: its process ended during earlier deliveries; this is delivery %d.",
            key,
            self._stream,
            deliveries,
        )

    def crashed(self, key: EventKey, letter: NewDeadLetter) -> None:
        """Report an event that goes to the dead letters because it ended its process."""
        _log.error(
            "Event %s of %s goes to the dead letters as %r: %s.", key, self._stream, letter.reason, letter.detail
        )

    def no_longer_alone(self, key: EventKey, after: timedelta) -> None:
        """Report that others go on beside an event that takes long."""
        _log.warning("Event %s of %s still runs after %s; other events go on beside it.", key, self._stream, after)

    def ran_alone(self) -> None:
        """Report that no event runs alone any more."""
        telemetry.running_alone.set(0, self.attributes)

    def parking_full(self, most: int) -> None:
        """Report that no more failed events can be parked."""
        _log.error(
            "Group %s of %s has %d events waiting for a retry; nothing more is read until there are fewer.",
            self._group,
            self._stream,
            most,
        )

    def blocked(self, handler: str, after: timedelta) -> None:
        """Report a handler that keeps the event loop from running."""
        _log.warning(
            "Handler %s has blocked the event loop for more than %s: nothing else runs, and its lease may be lost. "
            "Await asynchronous calls, and move blocking ones into asyncio.to_thread.",
            handler,
            after,
        )

    def not_ended(self, handlers: int) -> None:
        """Report handlers that kept running after they were cancelled."""
        _log.error(
            "%d handlers of %s kept running after they were cancelled; they are left behind.", handlers, self._stream
        )

    def broken(self, error: BaseException) -> None:
        """Report what ended the subscription; only an error of this package shows its text, as in promise 9."""
        said = str(error) if isinstance(error, BackboneError) else f"raised at {' > '.join(place_of(error))}."
        _log.error("The subscription of group %s to %s ends: %s: %s", self._group, self._stream, type_name(error), said)

    def measured(self, state: GroupState) -> None:
        """Report the state of the group."""
        telemetry.lag.set(state.unread, self.attributes)
        age = timedelta() if state.oldest_unread is None else state.oldest_unread
        telemetry.unread_age.set(age.total_seconds(), self.attributes)
        telemetry.pending.set(state.pending, self.attributes)
        telemetry.parked.set(state.parked, self.attributes)
        telemetry.dead_letters.set(state.dead_letters, self.attributes)

    def outage_began(self, error: BackboneError) -> None:
        """Report once per outage that Redis does not answer."""
        telemetry.outages.add(1, {"uri": self._uri, "side": "consumer"})
        _log.warning("Redis does not answer group %s of %s: %s It will be retried.", self._group, self._stream, error)

    def outage_ended(self, lasted: timedelta) -> None:
        """Report that Redis answers again."""
        _log.warning("Redis answers group %s of %s again after %s.", self._group, self._stream, lasted)

    def storage_outage_began(self, error: BackboneError) -> None:
        """Report once per outage that a payload storage does not answer."""
        telemetry.outages.add(1, {"uri": self._uri, "side": "storage"})
        _log.warning("Payloads of %s cannot be loaded: %s They will be retried.", self._stream, error)

    def handed_over(self, error: BackboneError) -> None:
        """Report events that this process cannot read, but another may."""
        telemetry.outages.add(1, {"uri": self._uri, "side": "storage"})
        _log.error(
            "Events of %s cannot be read here: %s They wait for a consumer of group %s that can.",
            self._stream,
            error,
            self._group,
        )

    def left_pending(self, events: int) -> None:
        """Report events that could neither be finished nor given back in time."""
        _log.warning("%d events of %s stay pending until other consumers take them.", events, self._stream)

    def not_left(self, error: BackboneError) -> None:
        """Report that leaving the group failed."""
        _log.warning("The consumer did not leave group %s of %s cleanly: %s", self._group, self._stream, error)


class StartCheck:
    """Looks whether the stream still has the events with which a new group is to begin."""

    def __init__(self, stream: Stream, monitor: Monitor, *, archived: bool) -> None:
        """Look into ``stream``; ``archived`` says that readers also find what has left it."""
        self._stream = stream
        self._monitor = monitor
        self._archived = archived

    async def report(self, start: Start) -> None:
        """Report it if not. Raises StreamUnavailable."""
        if start == "now":
            return
        complete_from = await self._stream.complete_from()
        if complete_from is not None and key_before(start, complete_from.partition).successor() < complete_from:
            self._monitor.starts_too_early(start, complete_from, archived=self._archived)


class LagLoop:
    """Measures every five seconds how far the group is behind. Each consumer reports the whole group."""

    def __init__(self, stream: Stream, group: str, monitor: Monitor, stopping: asyncio.Event) -> None:
        """Measure ``group`` of ``stream`` until ``stopping``."""
        self._stream = stream
        self._group = group
        self._monitor = monitor
        self._stopping = stopping

    async def run(self) -> None:
        """Measure until stopped."""
        while True:
            await pause(self._stopping, _MEASURE_EVERY)
            if self._stopping.is_set():
                return
            await self.measure()

    async def measure(self) -> None:
        """Measure once. Never raises for what Redis answers, or does not."""
        try:
            states = await self._stream.groups(most_counted=_MOST_COUNTED)
        except BackboneError:
            # The intake reports what is wrong with Redis; a user who may not ask is no reason to end.
            return
        for state in states:
            if state.name == self._group:
                self._monitor.measured(state)
