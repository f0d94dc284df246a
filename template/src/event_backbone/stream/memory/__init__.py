"""The stream of events in memory, for tests: the same guarantees, as long as the process lives."""

from event_backbone.stream.memory.streams import MemoryStreams

__all__ = ["MemoryStreams"]
