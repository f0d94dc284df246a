"""Records: lines of a pack that say all of an event."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_backbone.errors import DecodeError
from event_backbone.model import Payload, StreamName
from event_backbone.wire import (
    MetadataMembers,
    erase_record,
    payload_from_json,
    payload_to_json,
    read_record,
    write_record,
)
from tests.support.records import whole_record

STREAM = StreamName.of("shipments", "dev")
ID = "01a2074b-35d8-70b3-97ed-0cf90e3dc539"
TRAP = ',"arguments":{"email":"mallory@example.org"}}'
METADATA = MetadataMembers(UUID(ID), ID, "packing", 2, 1_764_041_094_123_456, "order 5", None, "9", {"arguments": TRAP})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "arguments", 'b"\\', "é"]), inner),
    max_leaves=6,
)
PAYLOAD: Payload = {"email": b'"ada@example.com"', "price": b"12.500", "arguments": b'{"arguments":{}}'}
LINE = write_record(whole_record(METADATA, PAYLOAD), STREAM)


def test_a_record_says_all_of_its_event() -> None:
    """One line of JSON; members of the metadata that have their default are left out, as in an entry."""
    assert b"\n" not in LINE
    assert json.loads(LINE) == {
        "id": ID,
        "event": "packing",
        "version": 2,
        "at": 1764041094123456,
        "size": 39,
        "correlation": "order 5",
        "key": "9",
        "headers": {"arguments": TRAP},
        "uri": "shipments",
        "environment": "dev",
        "partition": 0,
        "arguments": {"email": "ada@example.com", "price": 12.5, "arguments": {"arguments": {}}},
    }


def test_a_part_says_which_one_it_is() -> None:
    """And which others there are; the size is that of the whole event."""
    record = whole_record(METADATA, PAYLOAD)._replace(payload={}, part="s3", parts=("s3", "personal"))
    found = json.loads(write_record(record, STREAM))
    assert (found["part"], found["parts"], found["size"], found["arguments"]) == ("s3", ["s3", "personal"], 39, {})


@pytest.mark.parametrize("payload", [PAYLOAD, {}, {"note": b'"\xc3\xbc}{"'}], ids=["trap", "empty", "unicode"])
def test_arguments_come_back_byte_for_byte(payload: Payload) -> None:
    """Whatever else in the record looks like them."""
    line = write_record(whole_record(METADATA, payload), STREAM)
    for split in (True, False):
        found = read_record(line, ID, STREAM, split=split)
        assert found == payload
        assert payload_to_json(found or {}) == payload_to_json(payload)


def test_a_record_may_be_written_by_another_program() -> None:
    """In any order of its members, with spaces."""
    members = json.loads(LINE)
    line = json.dumps({"arguments": members.pop("arguments"), **members}, indent=1).encode()
    assert read_record(line, ID, STREAM) == {**PAYLOAD, "price": b"12.5", "arguments": b'{\n   "arguments": {}\n  }'}


@pytest.mark.parametrize(
    "line",
    [
        '{"other":{"b":1,"arguments":{"a":7}},%s,"arguments":{"a":1}}',
        '{"arguments":{"a":1},%s,"other":{"b":1,"arguments":{"a":7}}}',
        '{%s,"arguments":{"a":7},"arguments":{"a":1}}',
        '{%s,"arguments":{"a":7,"a":1}}',
        '{%s,"arguments":{"a":1},"other":{"a":7}}',
        '{%s,"arguments":{"a":1 } }',
        '{%s,"arguments":{"a": 1}}',
        '{%s,"arguments":{"\\u0061":1}}',
    ],
)
def test_what_only_looks_like_the_arguments_is_not_taken_for_them(line: str) -> None:
    """Of two members with one name the last one counts, as for every reader of JSON."""
    members = f'"id":"{ID}","uri":"shipments","environment":"dev","partition":0'
    for split in (True, False):
        assert read_record((line % members).encode(), ID, STREAM, split=split) == {"a": b"1"}


@given(st.data(), st.dictionaries(st.sampled_from(["a", "b", "id", "erased", "größe", 'x"']), VALUES))
def test_the_fast_reading_of_arguments_is_like_the_slow_one(data: st.DataObject, arguments: dict[str, object]) -> None:
    """However the members are ordered and written, and whatever byte of it was lost or changed."""
    compact = data.draw(st.booleans())
    separators = data.draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]))
    payload = {name: json.dumps(value, separators=separators).encode() for name, value in arguments.items()}
    line = write_record(whole_record(METADATA, payload), STREAM)
    if not compact:
        members = data.draw(
            st.permutations(list({**json.loads(line), "other": {"b": 1, "arguments": {"a": 2}}}.items()))
        )
        line = json.dumps(dict(members), separators=separators, ensure_ascii=data.draw(st.booleans())).encode()
    split = data.draw(st.booleans())
    assert read_record(line, ID, STREAM, split=split) == payload_from_json(payload_from_json(line)["arguments"])
    at = data.draw(st.integers(0, len(line) - 1))
    changed = line[:at] + data.draw(st.sampled_from([b"", b" ", b'"', b"\\", b"}", b"{", b",", b"0"])) + line[at + 1 :]
    try:
        found = read_record(changed, ID, STREAM, split=split)
    except DecodeError:
        return
    assert found is None or found == payload_from_json(payload_from_json(changed)["arguments"])


def test_an_erased_record_keeps_its_metadata_and_its_length() -> None:
    """So the other lines of its pack stay where they are; erasing twice is like erasing once."""
    erased = erase_record(LINE, ID, STREAM)
    assert len(erased) == len(LINE)
    assert erase_record(erased, ID, STREAM) == erased
    assert read_record(erased, ID, STREAM) is None
    assert b"ada@example.com" not in erased
    members = json.loads(LINE)
    del members["arguments"]
    assert json.loads(erased) == {**members, "erased": True}


@pytest.mark.parametrize(
    ("line", "event_id", "stream"),
    [
        (LINE, ID.replace("01", "02"), STREAM),
        (LINE, ID, StreamName.of("shipments", "prod")),
        (LINE, ID, StreamName.of("orders", "dev")),
        (LINE, ID, STREAM._replace(partition=1)),
        (LINE[:-1], ID, STREAM),
        (LINE[:40], ID, STREAM),
        (LINE[1:], ID, STREAM),
        (b"", ID, STREAM),
        (b"[]", ID, STREAM),
        (b" " * 100, ID, STREAM),
        (b"[" * 100_000, ID, STREAM),
        (LINE.replace(b',"arguments":', b',"argument":'), ID, STREAM),
    ],
)
def test_what_is_not_the_record_of_this_event_is_refused(line: bytes, event_id: str, stream: StreamName) -> None:
    """A reader never takes another event's arguments for this one's."""
    for split in (True, False):
        with pytest.raises(DecodeError):
            read_record(line, event_id, stream, split=split)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"ada@example.com, and more of it that is not JSON, but of some length, as a line of a pack would be" * 2, {}),
        (LINE.replace(b'"partition":0', b'"partition":7'), {}),
        (b" " + LINE, {"key": "9"}),
        (json.dumps(dict(reversed(json.loads(LINE).items()))).encode(), {"key": "9"}),
    ],
    ids=["not JSON", "of another stream", "after a space", "in another order"],
)
def test_what_was_erased_reads_as_erased_whatever_it_was(line: bytes, kept: dict[str, str]) -> None:
    """Of what is not the record of this event nothing is kept, as nobody knows what it contains."""
    erased = erase_record(line, ID, STREAM)
    assert (len(erased), b"ada" in erased) == (len(line), False)
    assert read_record(erased, ID, STREAM) is None
    assert erase_record(erased, ID, STREAM) == erased
    found = json.loads(erased)
    assert (found["id"], {name: found.get(name) for name in kept}) == (ID, kept)


def test_a_line_too_short_to_say_that_it_was_erased_is_emptied() -> None:
    """The other lines of its pack stay where they are."""
    assert erase_record(b"ada@example.com", ID, STREAM) == b" " * 15
