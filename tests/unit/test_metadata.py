"""Ids, keys, names, payload documents and metadata."""

import json
from copy import copy
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from event_backbone.errors import ArgumentsInvalid, ConfigurationError, DecodeError, EntryUnreadable, RequirementUnknown
from event_backbone.model import (
    EventKey,
    Metadata,
    NewMetadata,
    PayloadReference,
    StreamName,
    environment_name,
    event_id_time,
    new_event_id,
    payload_size_bytes,
)
from event_backbone.wire import (
    MetadataMembers,
    payload_from_json,
    payload_to_json,
    read_entry,
    write_metadata,
    write_references,
)

keys = st.builds(EventKey, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 99_999))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(keys)
def test_an_event_key_reads_back_from_its_text(key: EventKey) -> None:
    """The text form loses nothing."""
    assert EventKey.parse(str(key)) == key


def test_event_keys_are_ordered_as_the_events_are() -> None:
    """Milliseconds first, then sequence; never as text."""
    assert EventKey(9, 1) < EventKey(10, 0) < EventKey(10, 2) < EventKey(10, 11)


@pytest.mark.parametrize("text", ["", "1", "1-", "1-2~", "-1-2", "1-2-3", "99999999999999999999-0", "a-b", " 1-2"])
def test_an_invalid_event_key_is_refused_in_one_sentence(text: str) -> None:
    """The sentence shows what a key looks like, or which part is too large."""
    with pytest.raises(ConfigurationError, match="is not a valid event key"):
        EventKey.parse(text)


def test_pydantic_reads_and_writes_an_event_key_as_text() -> None:
    """A key in a model is a string in JSON, and in the schema."""

    class Answer(BaseModel):
        key: EventKey

    answer = Answer(key=EventKey(5, 1))

    assert answer.model_dump_json() == '{"key":"5-1"}'
    assert Answer.model_validate_json('{"key":"5-1"}') == answer
    assert TypeAdapter(EventKey).json_schema()["type"] == "string"
    with pytest.raises(ValidationError, match="is not a valid event key"):
        Answer.model_validate({"key": "tomorrow"})


@pytest.mark.parametrize(
    ("written", "expected"),
    [("Production", "prod"), ("development", "dev"), ("Staging", "staging"), ("", ""), (" dev ", "dev")],
)
def test_environments_are_written_in_lower_case_and_short(written: str, expected: str) -> None:
    """The names that hosting platforms use come out as prod and dev."""
    assert environment_name(written) == expected


@pytest.mark.parametrize(
    "uri", ["", "Shipments", "a b", "../a", "a/../b", "a//b", "a/", "a/./b", "-a", "ä", "a" * 129, "a{b}"]
)
def test_an_invalid_uri_is_refused(uri: str) -> None:
    """The sentence lists what is allowed."""
    with pytest.raises(ConfigurationError, match="is not valid: use 1 to 128 of"):
        StreamName.of(uri)


@pytest.mark.parametrize(
    ("environment", "fix"), [("a_b", "use only letters"), ("Packs", "use another one"), ("archive", "use another one")]
)
def test_an_invalid_environment_is_refused(environment: str, fix: str) -> None:
    """Also one that a bucket has a folder for."""
    with pytest.raises(ConfigurationError, match=fix):
        environment_name(environment)


def test_the_stream_key_holds_environment_uri_and_partition() -> None:
    """The other keys of a stream share its cluster slot by their hash tag."""
    assert StreamName.of("shipments").key == "shipments"
    assert StreamName.of("shipments", "Development").key == "dev:shipments"
    assert StreamName.of("shipments", "dev", partition=2).key == "dev:shipments#2"
    assert StreamName.of("shipments", "dev").key_of("dead:main") == "{dev:shipments}:dead:main"


def test_event_ids_are_uuid7_with_the_time_of_making() -> None:
    """Ids made later sort later, and show when they were made."""
    before = datetime.now(UTC)

    first, second = new_event_id(), new_event_id()

    assert first.version == second.version == 7
    assert first < second
    assert before - timedelta(milliseconds=2) <= event_id_time(first) <= datetime.now(UTC) + timedelta(milliseconds=2)
    with pytest.raises(ArgumentsInvalid, match="must be a UUIDv7"):
        event_id_time(uuid4())


@given(st.dictionaries(st.text(), json_values))
def test_a_payload_document_keeps_every_arguments_bytes(arguments: dict[str, object]) -> None:
    """Joining and splitting changes no byte, also with spaces, escapes and numbers of any size."""
    payload = {name: json.dumps(value).encode() for name, value in arguments.items()}

    document = payload_to_json(payload)

    assert json.loads(document) == arguments
    assert payload_from_json(document) == payload
    assert payload_size_bytes(payload) == sum(map(len, payload.values()))


@pytest.mark.parametrize("document", [b"", b"[]", b"{", b'{"a":1', b'{"a"}', b"{1:2}", b"{}{}", b"\xff", b'{"a":}'])
def test_a_damaged_payload_document_is_a_decode_error(document: bytes) -> None:
    """Nothing of it is in the error."""
    with pytest.raises(DecodeError, match=r"^A stored payload is not a JSON object\.$"):
        payload_from_json(document)


@given(
    st.builds(
        NewMetadata,
        event_id=st.uuids(version=4),
        event=st.text(min_size=1),
        version=st.integers(1, 1000),
        produced_at=st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        uri=st.just("shipments"),
        environment=st.just("dev"),
        correlation_id=st.text(),
        causation_id=st.none() | st.text(),
        partition_key=st.none() | st.text(),
        headers=st.dictionaries(st.text(), st.text()),
    )
)
def test_metadata_reads_back_as_it_was_written(metadata: NewMetadata) -> None:
    """Every member survives the wire; the key and the stream's names come from where the entry is."""
    stream, key = StreamName.of("shipments", "dev"), EventKey(7, 1)
    members = MetadataMembers.of_metadata(metadata)
    id_text = members.id_text
    references = (PayloadReference("s3", id_text, id_text), PayloadReference("redis-hash", id_text, "other"))
    written = write_metadata(members, write_references(references), 4711)

    read, read_references = read_entry({b"wire": b"1", b"metadata": written}, stream, key)

    assert members.to_metadata(stream) == metadata

    assert (read.key, read.size_bytes, read.missing) == (key, 4711, ())
    assert read_references == references
    for name in NewMetadata.__dataclass_fields__:
        assert getattr(read, name) == getattr(metadata, name), name


def document(**changed: str) -> bytes:
    """Return the metadata of an entry as JSON, with some members changed."""
    members = {
        "id": '"01a2074b-35d8-70b3-97ed-0cf90e3dc539"',
        "event": '"packing"',
        "version": "1",
        "at": "1764041094123456",
        "size": "12",
        "payload": '["s3"]',
    }
    return ("{" + ",".join(f'"{name}":{value}' for name, value in {**members, **changed}.items()) + "}").encode()


def test_metadata_that_was_read_is_like_any_other() -> None:
    """Though rarely used members are parsed only on access: equality, text, copies and immutability are the same."""
    stream, key = StreamName.of("shipments", "dev"), EventKey(7, 1)
    event_id = UUID("01a2074b-35d8-70b3-97ed-0cf90e3dc539")
    made = Metadata(
        key=key,
        event_id=event_id,
        event="packing",
        version=1,
        produced_at=datetime(2025, 11, 25, 3, 24, 54, 123456, UTC),
        uri="shipments",
        environment="dev",
        correlation_id=str(event_id),
        size_bytes=12,
    )

    def read() -> Metadata:
        return read_entry({b"wire": b"1", b"metadata": document()}, stream, key)[0]

    assert read() == made
    assert repr(read()) == repr(made)
    assert copy(read()) == made
    assert replace(read(), version=2) == replace(made, version=2)
    assert read().event_id is not None
    with pytest.raises(FrozenInstanceError):
        read().version = 2  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(AttributeError, match="no attribute 'evnt_id'"):
        _ = read().evnt_id  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {b"wire": b"2", b"metadata": b"{}"},
        {b"wire": b"1"},
        {b"wire": b"1", b"metadata": b"not json"},
        {b"wire": b"1", b"metadata": b"[]"},
        {b"wire": b"1", b"metadata": b'{"id": 5}'},
        {b"wire": b"1", b"metadata": b'{"id":"x","event":"e","version":1,"at":1,"payload":[]}'},
        {b"wire": b"1", b"metadata": b'{"id":"0193","event":"e","version":"1","at":1,"payload":[]}'},
        {b"wire": b"1", b"metadata": document(version='"1"')},
        {b"wire": b"1", b"metadata": document(version="true")},
        {b"wire": b"1", b"metadata": document(at="99999999999999999999")},
        {b"wire": b"1", b"metadata": document(payload='[["s3","../../other-bucket/secret"]]')},
        {b"wire": b"1", b"metadata": document(payload='[["s3"]]')},
        {b"wire": b"1", b"metadata": document(event="7")},
        {b"wire": b"1", b"metadata": document(size="-1")},
        {b"wire": b"1", b"metadata": document(requires='"encryption"')},
    ],
)
def test_an_entry_of_another_form_is_unreadable_and_says_which(fields: dict[bytes, bytes]) -> None:
    """The error names the entry, so that it can be looked at, and nothing of its content."""
    with pytest.raises(EntryUnreadable, match=r"^Entry 7-1 "):
        read_entry(fields, StreamName.of("shipments"), EventKey(7, 1))


def test_an_entry_that_requires_what_is_not_known_is_not_unreadable_for_good() -> None:
    """A later version reads it; the sentence says what to do."""
    fields = {b"wire": b"1", b"metadata": document(requires='["encryption"]')}
    with pytest.raises(RequirementUnknown, match=r"requires 'encryption', which this version .* update it\.$"):
        read_entry(fields, StreamName.of("shipments"), EventKey(7, 1))
    fields = {b"wire": b"1", b"metadata": document(requires="[]")}
    assert read_entry(fields, StreamName.of("shipments"), EventKey(7, 1))[0].event == "packing"


def test_event_ids_are_plain_uuids() -> None:
    """Callers get the standard library's type."""
    assert type(new_event_id()) is UUID
