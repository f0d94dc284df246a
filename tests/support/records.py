"""Records and references for tests of storages."""

from uuid import UUID

from event_backbone.model import Payload, PayloadReference, new_event_id, payload_size_bytes
from event_backbone.wire import MetadataMembers, Record


def record_of(payload: Payload, event_id: UUID | None = None) -> Record:
    """Return the record of an event with this payload."""
    made = event_id or new_event_id()
    metadata = MetadataMembers(made, str(made), "packing", 1, 1_764_041_094_123_456, None, None, None, {})
    return whole_record(metadata, payload)


def whole_record(metadata: MetadataMembers, payload: Payload) -> Record:
    """Return the record of a payload that is not split, saved under its event id."""
    return Record(metadata, payload, metadata.id_text, payload_size_bytes(payload))


def missing_reference(storage: str) -> PayloadReference:
    """Return a reference to a payload that was never saved."""
    event_id = new_event_id()
    key = f"{new_event_id().hex}_0_64" if storage == "s3" else str(event_id)
    return PayloadReference(storage, str(event_id), key)
