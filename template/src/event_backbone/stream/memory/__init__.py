"""The stream of events in memory, for tests and for trying things out: the same guarantees, nothing kept."""

from event_backbone.stream.memory.streams import MemoryStreams

__all__ = ["MemoryStreams"]
