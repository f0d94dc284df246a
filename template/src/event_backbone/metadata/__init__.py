"""What is known of an event besides its payload: ids, keys, names, references."""

from event_backbone.metadata.event_id import event_id_error, event_id_time, new_event_id, new_event_id_and_text
from event_backbone.metadata.event_key import EventKey
from event_backbone.metadata.metadata import (
    FORMAT_FIELD,
    METADATA_FIELD,
    WIRE_FORMAT,
    Metadata,
    NewMetadata,
    decode_metadata,
    encode_metadata,
    metadata_text,
)
from event_backbone.metadata.names import StreamName, environment_name
from event_backbone.metadata.payload import (
    HashWrite,
    Payload,
    PayloadReference,
    SavedPayload,
    payload_from_json,
    payload_size_bytes,
    payload_to_json,
)
from event_backbone.metadata.writing import MetadataText, kind_json, references_json, tail_json

__all__ = [
    "FORMAT_FIELD",
    "METADATA_FIELD",
    "WIRE_FORMAT",
    "EventKey",
    "HashWrite",
    "Metadata",
    "MetadataText",
    "NewMetadata",
    "Payload",
    "PayloadReference",
    "SavedPayload",
    "StreamName",
    "decode_metadata",
    "encode_metadata",
    "environment_name",
    "event_id_error",
    "event_id_time",
    "kind_json",
    "metadata_text",
    "new_event_id",
    "new_event_id_and_text",
    "payload_from_json",
    "payload_size_bytes",
    "payload_to_json",
    "references_json",
    "tail_json",
]
