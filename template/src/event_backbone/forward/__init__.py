"""Forwarding: copies the events of a stream to another URI, environment or Redis, each once."""

from event_backbone.forward.forwarder import Forwarder
from event_backbone.forward.verify_report import VerifyReport

__all__ = ["Forwarder", "VerifyReport"]
