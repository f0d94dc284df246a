"""Wire format 1 in one place: what entries, payloads and keys look like in Redis and S3."""

from event_backbone.wire.fields import FORMAT_FIELD, METADATA_FIELD, WIRE_FORMAT
from event_backbone.wire.payload import payload_from_json, payload_to_json
from event_backbone.wire.reading import read_entry
from event_backbone.wire.writing import (
    MetadataText,
    encode_metadata,
    kind_json,
    metadata_text,
    references_json,
    tail_json,
)

__all__ = [
    "FORMAT_FIELD",
    "METADATA_FIELD",
    "WIRE_FORMAT",
    "MetadataText",
    "encode_metadata",
    "kind_json",
    "metadata_text",
    "payload_from_json",
    "payload_to_json",
    "read_entry",
    "references_json",
    "tail_json",
]
