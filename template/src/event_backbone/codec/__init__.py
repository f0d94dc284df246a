"""Between the arguments of an event and JSON bytes, by pydantic, from the event's own signature."""

from event_backbone.codec.arguments import ArgumentsCodec
from event_backbone.codec.signature import NO_DEFAULT, capture_local_names, signature_of

__all__ = ["NO_DEFAULT", "ArgumentsCodec", "capture_local_names", "signature_of"]
