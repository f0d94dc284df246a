"""Produce events: encode, save the payload, append the entry, many calls in one round trip."""

from event_backbone.producer.batching import Batcher
from event_backbone.producer.producer import Producer
from event_backbone.producer.several_streams import SeveralStreams

__all__ = ["Batcher", "Producer", "SeveralStreams"]
