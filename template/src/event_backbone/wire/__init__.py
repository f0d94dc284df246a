"""Wire format 1 in one place: what entries, payloads and keys look like in Redis and S3."""

from event_backbone.wire.fields import FORMAT_FIELD, INLINE_PREFIX, METADATA_FIELD, ONCE_HEADER, WIRE_FORMAT
from event_backbone.wire.logged_record import LoggedRecord, entry_metadata, id_of_record, read_logged_record
from event_backbone.wire.once_header import read_once_header, write_once_header
from event_backbone.wire.origin import is_forwarded
from event_backbone.wire.payload import payload_from_json, payload_to_json
from event_backbone.wire.reading import has_event_id, is_inline, read_entry, read_event_id, read_inline, read_references
from event_backbone.wire.record import Record, erase_record, read_record, write_record
from event_backbone.wire.redriven import is_redriven, read_redriven
from event_backbone.wire.writing import MetadataMembers, write_metadata, write_references

__all__ = [
    "FORMAT_FIELD",
    "INLINE_PREFIX",
    "METADATA_FIELD",
    "ONCE_HEADER",
    "WIRE_FORMAT",
    "LoggedRecord",
    "MetadataMembers",
    "Record",
    "entry_metadata",
    "erase_record",
    "has_event_id",
    "id_of_record",
    "is_forwarded",
    "is_inline",
    "is_redriven",
    "payload_from_json",
    "payload_to_json",
    "read_entry",
    "read_event_id",
    "read_inline",
    "read_logged_record",
    "read_once_header",
    "read_record",
    "read_redriven",
    "read_references",
    "write_metadata",
    "write_once_header",
    "write_record",
    "write_references",
]
