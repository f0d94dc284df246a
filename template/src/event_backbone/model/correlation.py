"""The event that is being handled here and now: what is produced meanwhile was caused by it."""

from __future__ import annotations

from contextvars import ContextVar

from event_backbone.model.metadata import Metadata

current_event: ContextVar[Metadata | None] = ContextVar("event_backbone_current_event", default=None)
