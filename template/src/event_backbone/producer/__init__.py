"""Produce events: encode, save the payload, append the entry, many calls in one round trip."""

from event_backbone.producer.batching import Batcher
from event_backbone.producer.producer import Producer

__all__ = ["Batcher", "Producer"]
