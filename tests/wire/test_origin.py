"""The member ``origin``: as it is written, as it is read, and what is refused."""

from uuid import UUID

import pytest
from pydantic_core import from_json

from event_backbone.errors import EntryUnreadable
from event_backbone.model import EventKey, Hop, Origin, StreamName
from event_backbone.wire import MetadataMembers, Record, is_forwarded, read_entry, write_metadata, write_record

EVENT_ID = "019b7b2b-4f00-7000-8000-000000000001"
STREAM = StreamName.of("shipments", "dev")
HOPS = (Hop("prod:a", EventKey(5, 1), "prod:a"), Hop("eu//dev:b", EventKey(7), "all of b"))
MEMBERS = MetadataMembers(UUID(EVENT_ID), EVENT_ID, "note", 1, 5, None, None, None, {"a": "b"}, Origin(HOPS))
WRITTEN = (
    f'{{"id":"{EVENT_ID}","event":"note","version":1,"at":5,"size":3,"payload":["s3"],'
    '"origin":[["prod:a","5-1"],["eu//dev:b","7-0","all of b"]],"headers":{"a":"b"}}'
).encode()


def test_hops_are_written_first_to_last_and_read_back() -> None:
    """The link's name is there only if it is not the identity; a record has the same member."""
    assert write_metadata(MEMBERS, '["s3"]', 3) == WRITTEN
    metadata, _ = read_entry({b"wire": b"1", b"metadata": WRITTEN}, STREAM, EventKey(1))
    assert metadata.origin is not None
    assert metadata.origin.hops == HOPS
    assert metadata.origin.first == HOPS[0]
    assert metadata.origin.last == HOPS[1]
    assert metadata.origin.passed("prod:a")
    assert not metadata.origin.passed("a")
    record = write_record(Record(MEMBERS, {"text": b'"x"'}, EVENT_ID, 3), STREAM)
    assert from_json(record)["origin"] == from_json(WRITTEN)["origin"]
    assert is_forwarded(WRITTEN)
    assert is_forwarded(record)


@pytest.mark.parametrize("origin", [b"null", b"[]"])
def test_without_hops_an_event_was_produced_here(origin: bytes) -> None:
    """As other programs may write it; a word in a header is not an origin."""
    document = WRITTEN[: WRITTEN.index(b'"origin":')] + b'"origin":' + origin + b',"headers":{"x":"\\"origin\\""}}'
    metadata, _ = read_entry({b"wire": b"1", b"metadata": document}, STREAM, EventKey(1))
    assert metadata.origin is None
    assert not is_forwarded(document)


@pytest.mark.parametrize("origin", [b'"a"', b'[["a"]]', b'[["a","x"]]', b'[["a",5]]', b'[["a","5-0",1]]'])
def test_what_is_no_origin_is_refused(origin: bytes) -> None:
    """Such an entry is unreadable, so that nobody takes a forwarded event for one that was produced here."""
    document = WRITTEN[: WRITTEN.index(b'"origin":')] + b'"origin":' + origin + b"}"
    with pytest.raises(EntryUnreadable):
        read_entry({b"wire": b"1", b"metadata": document}, STREAM, EventKey(1))
