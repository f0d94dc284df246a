"""Produce events: encode, save the payload, append the entry, many calls in one round trip."""

from event_backbone.producer.flusher import Flusher
from event_backbone.producer.producer import Producer

__all__ = ["Flusher", "Producer"]
