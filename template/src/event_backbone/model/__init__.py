"""What an event consists of: ids, keys, names, metadata, payloads and references to them. No server is involved."""

from event_backbone.model.dead_letter import NewDeadLetter
from event_backbone.model.event_id import event_id_error, event_id_time, keys_near, new_event_id, new_event_id_and_text
from event_backbone.model.event_key import EventKey
from event_backbone.model.follow_up import FollowUp, KeptFollowUp, check_label
from event_backbone.model.metadata import Metadata, NewMetadata
from event_backbone.model.origin import Hop, Origin, OriginFilter, check_origin, is_of_origin
from event_backbone.model.payload import (
    HashWrite,
    PartialPayload,
    PartState,
    Payload,
    PayloadReference,
    SavedPayload,
    decisive_error,
    payload_size_bytes,
)
from event_backbone.model.stream_name import StreamName, environment_name, site_name

__all__ = [
    "EventKey",
    "FollowUp",
    "HashWrite",
    "Hop",
    "KeptFollowUp",
    "Metadata",
    "NewDeadLetter",
    "NewMetadata",
    "Origin",
    "OriginFilter",
    "PartState",
    "PartialPayload",
    "Payload",
    "PayloadReference",
    "SavedPayload",
    "StreamName",
    "check_label",
    "check_origin",
    "decisive_error",
    "environment_name",
    "event_id_error",
    "event_id_time",
    "is_of_origin",
    "keys_near",
    "new_event_id",
    "new_event_id_and_text",
    "payload_size_bytes",
    "site_name",
]
