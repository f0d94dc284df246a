"""The stream of events on Redis: the only package that knows stream commands."""

from event_backbone.stream.redis.streams import RedisStreams

__all__ = ["RedisStreams"]
