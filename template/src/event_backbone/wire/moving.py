"""Metadata of an event whose payload has moved: only where the payload is changes, whatever else it says."""

from collections.abc import Sequence

from event_backbone.model.payload import PayloadReference
from event_backbone.wire.payload import payload_from_json, payload_to_json
from event_backbone.wire.writing import write_references


def with_references(document: bytes, references: Sequence[PayloadReference]) -> bytes:
    """Return metadata with these references to its payload; none say that the payload is in the entry itself.

    The bytes of every other member stay as they are, also of members that are not known here.

    Raises:
        DecodeError: it is not a JSON object.
    """
    members = payload_from_json(document)
    members["payload"] = write_references(references).encode()
    return payload_to_json(members)
