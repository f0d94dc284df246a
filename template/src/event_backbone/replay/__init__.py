"""Replays: the events of a range are handled again, without a consumer group; and one event, in the foreground.

``replay`` reads pages and ends a replay, however it ends; ``runner`` calls the handlers, by what a subscription calls
them by; ``batches`` forms what batch handlers take; ``window`` knows up to where all events are done with.
``follow_ups`` is what is kept of events that are produced once, ``options`` what users set, ``report`` what they get.
``debugging`` calls the handlers of one event.
"""

from event_backbone.replay.debugging import DebugReport, HeldBack
from event_backbone.replay.options import ReplayKeywords, ReplayOptions
from event_backbone.replay.report import ReplayFailure, ReplayReport

__all__ = ["DebugReport", "HeldBack", "ReplayFailure", "ReplayKeywords", "ReplayOptions", "ReplayReport"]
