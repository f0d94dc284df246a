"""Consumers: the handlers of a contract's events, and what handlers are called with.

``consumer`` is what users fill with handlers; ``context`` is what a handler learns about its event, ``batch`` what
a batch handler takes.
"""

from event_backbone.consumer.batch import Batch, BatchedEvent, BatchOptions
from event_backbone.consumer.consumer import Consumer, Handler, check_services
from event_backbone.consumer.context import Context

__all__ = ["Batch", "BatchOptions", "BatchedEvent", "Consumer", "Context", "Handler", "check_services"]
