"""What a subscription tells the outside: metrics and log lines, each in one place."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import timedelta

from event_backbone import telemetry
from event_backbone.errors import BackboneError
from event_backbone.metadata import EventKey, StreamName
from event_backbone.stream.values import GroupState

_log = logging.getLogger("event_backbone.subscription")


class Signals:
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
        """Tell of an event that another consumer has taken over."""
        telemetry.lease_lost.add(1, self.attributes)
        _log.warning("Event %s of %s was taken over by another consumer of %s.", key, self._stream, self._group)

    def vanished(self, keys: Collection[EventKey]) -> None:
        """Tell of events that were deleted from the stream before this group had finished them."""
        telemetry.vanished.add(len(keys), self.attributes)
        listed = ", ".join(str(key) for key in list(keys)[:10])
        _log.error("%d pending events of %s are no longer in the stream: %s.", len(keys), self._stream, listed)

    def group_recreated(self) -> None:
        """Tell that the group was gone and has been made anew."""
        telemetry.group_recreated.add(1, self.attributes)
        _log.warning("Group %s of %s was missing; it begins again at the beginning.", self._group, self._stream)

    def poison_suspected(self, key: EventKey, deliveries: int) -> None:
        """Tell of an event that runs alone because its earlier deliveries may have ended their process."""
        telemetry.poison_suspected.add(1, self.attributes)
        _log.warning("Event %s of %s runs alone: it was delivered %d times.", key, self._stream, deliveries)

    def stands(self, state: GroupState) -> None:
        """Tell how the group stands; where the server cannot tell the lag, what was told last remains."""
        if state.unread is not None:
            telemetry.lag.set(state.unread, self.attributes)
        telemetry.pending.set(state.pending, self.attributes)
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
        _log.warning("%d events of %s stay pending until their lease has ended.", events, self._stream)

    def not_left(self, error: BackboneError) -> None:
        """Tell that the stop could not be told to the server."""
        _log.warning("Group %s of %s could not be left in order: %s", self._group, self._stream, error)
