"""Converts the arguments of an event to and from JSON bytes with pydantic, as the event's signature says."""

from event_backbone.codec.arguments import ArgumentsCodec
from event_backbone.codec.signature import NO_DEFAULT, Parameter, capture_local_names, signature_of

__all__ = ["NO_DEFAULT", "ArgumentsCodec", "Parameter", "capture_local_names", "signature_of"]
