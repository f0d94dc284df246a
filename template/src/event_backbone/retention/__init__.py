"""Retention: how long events stay in Redis, and what removes them when nobody needs them there any more."""

from event_backbone.retention.options import Retention

__all__ = ["Retention"]
