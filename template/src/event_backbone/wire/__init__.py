"""Wire format 1 in one place: what entries, payloads and keys look like in Redis and S3."""

from event_backbone.wire.fields import FORMAT_FIELD, METADATA_FIELD, ONCE_HEADER, WIRE_FORMAT
from event_backbone.wire.payload import payload_from_json, payload_to_json
from event_backbone.wire.reading import has_event_id, read_entry
from event_backbone.wire.writing import MetadataMembers, write_metadata, write_once_header, write_references

__all__ = [
    "FORMAT_FIELD",
    "METADATA_FIELD",
    "ONCE_HEADER",
    "WIRE_FORMAT",
    "MetadataMembers",
    "has_event_id",
    "payload_from_json",
    "payload_to_json",
    "read_entry",
    "write_metadata",
    "write_once_header",
    "write_references",
]
