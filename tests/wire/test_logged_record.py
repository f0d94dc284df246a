"""Records read back as entries, when Redis has lost the entries."""

import json
from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from event_backbone.errors import DecodeError
from event_backbone.model import EventKey, Metadata, PayloadReference, StreamName
from event_backbone.wire import (
    FORMAT_FIELD,
    METADATA_FIELD,
    WIRE_FORMAT,
    LoggedRecord,
    MetadataMembers,
    Record,
    entry_metadata,
    erase_record,
    payload_from_json,
    read_entry,
    read_logged_record,
    write_metadata,
    write_record,
    write_references,
)

STREAM = StreamName.of("shipments", "dev")
ID = "01a2074b-35d8-70b3-97ed-0cf90e3dc539"
LINE_KEY = "01a2074b35d870b397ed0cf90e3dc539_0_64"
REFERENCE = PayloadReference("s3", ID, LINE_KEY)
PACK_BEGAN = 1_764_041_090_000_000
TRAP = ',"uri":"shipments","environment":"dev","partition":0,"arguments":{"email":"mallory@example.org"}}'
METADATA = MetadataMembers(UUID(ID), ID, "packing", 2, 1_764_041_094_123_456, "order 5", "c", "9", {"arguments": TRAP})
PLAIN = MetadataMembers(UUID(ID), ID, "packing", 1, 1_764_041_094_123_456, None, None, None, {})
TEXTS = st.text() | st.sampled_from(["arguments", "payload", TRAP, '"', "\\", "headers", "uri"])


def line_of(metadata: MetadataMembers, part: str | None = None, parts: tuple[str, ...] = ()) -> bytes:
    """Return a record of two arguments."""
    return write_record(Record(metadata, {"note": b'"}{"', "arguments": b"{}"}, ID, 39, part, parts), STREAM)


def read(line: bytes, stream: StreamName = STREAM) -> LoggedRecord | None:
    """Read a line of a pack."""
    return read_logged_record(line, stream, "s3", LINE_KEY, PACK_BEGAN)


def entry_of(metadata: bytes) -> tuple[Metadata, tuple[PayloadReference, ...]]:
    """Read an entry with this metadata."""
    fields = {FORMAT_FIELD.encode(): WIRE_FORMAT, METADATA_FIELD.encode(): metadata}
    return read_entry(fields, STREAM, EventKey(1, 0))


@given(
    metadata=st.builds(
        MetadataMembers,
        st.just(UUID(ID)),
        st.just(ID),
        TEXTS,
        st.integers(1, 99),
        st.integers(0, 2**50),
        st.none() | TEXTS,
        st.none() | TEXTS,
        st.none() | TEXTS,
        st.dictionaries(TEXTS, TEXTS, max_size=3),
    ),
    parts=st.sampled_from([(None, ()), ("s3", ("s3", "personal"))]),
    headers=st.dictionaries(TEXTS, TEXTS, max_size=2),
)
@example(PLAIN, (None, ()), {"restored": "yes"})
@example(METADATA, ("s3", ("s3", "personal")), {"arguments": "restored"})
def test_an_entry_made_from_a_record_says_what_the_first_one_said(
    metadata: MetadataMembers, parts: tuple[str | None, tuple[str, ...]], headers: dict[str, str]
) -> None:
    """Whatever its texts look like; new headers are added to the old ones."""
    record = read(line_of(metadata, *parts))
    assert record is not None
    assert record._replace(document=b"") == LoggedRecord(
        ID, b"", metadata.at_microseconds, REFERENCE, *parts, erased=False
    )
    references = [REFERENCE, PayloadReference("personal", ID, ID)]
    first = write_metadata(metadata, write_references(references), 39)
    assert json.loads(entry_metadata(record.document, references)) == json.loads(first)
    found, found_references = entry_of(entry_metadata(record.document, references, headers))
    metadata.headers = {**metadata.headers, **headers}
    expected, _ = entry_of(write_metadata(metadata, write_references(references), 39))
    assert (found, found.size_bytes, found_references) == (expected, 39, tuple(references))


Members = dict[str, object]


def compact(members: Members) -> bytes:
    """Write a record in the order that is given, without spaces."""
    return json.dumps(members, separators=(",", ":")).encode()


def moved(members: Members) -> bytes:
    """Write a record as another program may: in another order, with spaces and escapes."""
    return json.dumps(dict(reversed(members.items())), indent=1).encode()


CHANGES: list[Callable[[Members], bytes]] = [
    lambda line: compact({"next": TRAP, **line}),
    lambda line: compact({"next": TRAP, **line, "headers": {"a": "b"}}),
    lambda line: compact({"next": {"a": line, **line}, **line}),
    lambda line: compact({**line, "next": {"a": "b"}}),
    lambda line: b'{"arguments":{"n":1},' + compact({"next": 1, **line, "headers": {}})[1:],
    lambda line: compact({"payload": ["s3"], "next": 1, **line, "headers": {}}).replace(b'"payl', b'"p\\u0061yl'),
    lambda line: compact({**line, "headers": None, "next": [{}]}),
    lambda line: compact({"next": {"headers": {"a": "b"}}, **line, "headers": {}}),
    lambda line: moved({**line, "next": {"arguments": {}, "payload": []}}),
    lambda line: moved({"payload": ["s3"], "next": 2**70, **line}),
]


@pytest.mark.parametrize("change", CHANGES)
def test_members_of_a_later_version_are_kept(change: Callable[[Members], bytes]) -> None:
    """Wherever they are, and however the record is written."""
    line = change(json.loads(line_of(METADATA, "s3", ("s3", "personal"))))
    record = read(line)
    assert record is not None
    assert (record.part, record.parts, record.reference, record.erased) == ("s3", ("s3", "personal"), REFERENCE, False)
    told = payload_from_json(line)
    for name in ("uri", "environment", "partition", "part", "parts", "arguments"):
        del told[name]
    told.pop("payload", None)
    assert payload_from_json(record.document) == told
    metadata = entry_metadata(record.document, [REFERENCE], {"restored": '"'})
    own: dict[str, str] = json.loads(told["headers"]) or {}
    assert payload_from_json(metadata)["next"] == told["next"]
    assert entry_of(metadata)[0].headers == {**own, "restored": '"'}


def test_a_record_of_another_stream_is_none() -> None:
    """Its URI, environment or partition is another."""
    line = line_of(METADATA)
    others = (StreamName.of("orders", "dev"), StreamName.of("shipments", "prod"), STREAM._replace(partition=1))
    assert [read(line, other) for other in others] == [None] * 3
    assert read(line_of(PLAIN).replace(b'"partition":0', b'"partition":12'), STREAM._replace(partition=1)) is None
    with pytest.raises(DecodeError):
        read(line_of(PLAIN).replace(b'"partition":0', b'"partition":0.5'))


def test_an_erased_record_says_so_with_what_is_left_of_it() -> None:
    """All but the arguments; of what was no record only the event id, and of a short line nothing."""
    line = line_of(METADATA, "s3", ("s3", "personal"))
    whole = read(line)
    assert whole is not None
    assert read(erase_record(line, ID, STREAM)) == whole._replace(erased=True)
    rest = read(erase_record(b"not JSON" * 50, ID, STREAM))
    assert rest == LoggedRecord(ID, b"", PACK_BEGAN, REFERENCE, None, (), erased=True)
    nothing = read(erase_record(b"short", ID, STREAM))
    assert nothing == LoggedRecord("", b"", PACK_BEGAN, PayloadReference("s3", "", LINE_KEY), None, (), erased=True)


@pytest.mark.parametrize("at", ["metadata", "arguments"])
@pytest.mark.parametrize("metadata", [METADATA, PLAIN], ids=["escaped", "plain"])
def test_a_damaged_line_is_no_record(metadata: MetadataMembers, at: str) -> None:
    """Cut off anywhere, or with a byte that does not belong there."""
    line = line_of(metadata)
    for end in range(len(line)):
        with pytest.raises(DecodeError):
            read(line[:end])
    place = line.index(b'"at"' if at == "metadata" else b'"note"')
    for damaged in (
        line[:place] + b"}" + line[place:],
        line[:place] + b"\x00" + line[place + 1 :],
        line + b"}",
        line[:-1] + b"x",
        line_of(metadata, "s3", ("s3", "personal")).replace(b',"part":', b';"part":'),
    ):
        with pytest.raises(DecodeError):
            read(damaged)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "five"),
        ("at", "now"),
        ("version", None),
        ("size", -1),
        ("headers", {"a": 1}),
        ("part", 1),
        ("parts", [1]),
    ],
)
def test_a_record_that_no_entry_could_say_is_refused(name: str, value: object) -> None:
    """What ``read_entry`` would not read is never put into a stream."""
    with pytest.raises(DecodeError):
        read(json.dumps({**json.loads(line_of(PLAIN)), name: value}).encode())
    with pytest.raises(DecodeError, match="no arguments"):
        read(line_of(PLAIN).replace(b',"arguments":{', b',"argument":{'))
