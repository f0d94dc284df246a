"""The stream of events on Redis: the only place that knows stream commands."""

from event_backbone.stream.redis.streams import RedisStreams

__all__ = ["RedisStreams"]
