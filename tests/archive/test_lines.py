"""A line of a segment gives back the event as it was, whatever is in it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_backbone.errors import DecodeError
from event_backbone.model import EventKey, StreamName
from event_backbone.wire.archived_event import ArchivedEvent, key_of_archived, read_archived, write_archived

STREAM = StreamName.of("a/b", "test")
OWN = ["event_key", "uri", "environment", "partition", "missing", "parts", "arguments"]

names = st.sampled_from(OWN) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
nested: object = {"event_key": "1-0", "arguments": {"a": 1}, "missing": [1.5, None]}
values: st.SearchStrategy[object] = st.sampled_from(
    [nested, {"b": 1, "arguments": {}}, [nested], 'a,"arguments":{"b":1}}', "\n", -1, 2.5, True, None]
)
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n ", "\t: ")])
numbers = st.integers(0, 2**64 - 1)


@st.composite
def documents(draw: st.DrawFn, within: st.SearchStrategy[str] = names) -> bytes:
    """A JSON object as any program may write it."""
    members = draw(st.dictionaries(within, values, min_size=1, max_size=4))
    return json.dumps(members, separators=draw(separators), ensure_ascii=draw(st.booleans())).encode()


@st.composite
def events(draw: st.DrawFn) -> ArchivedEvent:
    """An event with all of its payload, none of it, or that of some parts."""
    key = EventKey(draw(numbers), draw(numbers))
    document = json.dumps({"id": "x", **json.loads(draw(documents()))}, separators=draw(separators)).encode()
    arguments = json.loads(draw(documents()))
    payload = {
        name: json.dumps(value, indent=draw(st.none() | st.just(1))).encode() for name, value in arguments.items()
    }
    if draw(st.booleans()):
        return ArchivedEvent(key, document, draw(st.none() | st.just(payload)))
    where = {name: draw(st.sampled_from(["s3", "personal"])) for name in payload}
    parts = {part: tuple(name for name in payload if where[name] == part) for part in ("s3", "personal")}
    return ArchivedEvent(key, document, payload, {"third": "gone"}, parts)


def metadata_of(event: ArchivedEvent) -> dict[str, object]:
    """Return the members that a line keeps."""
    return {name: value for name, value in json.loads(event.document).items() if name not in OWN}


def arguments_of(event: ArchivedEvent) -> dict[str, object]:
    """Return the values of the arguments."""
    return {name: json.loads(value) for name, value in (event.payload or {}).items()}


@given(events())
def test_what_was_written_is_read(event: ArchivedEvent) -> None:
    """On one line, which is JSON; of metadata only what has the name of a line's member is left out."""
    line = write_archived(event, STREAM)
    assert b"\n" not in line
    assert b"\r" not in line
    assert key_of_archived(line) == event.key.entry_id.encode()
    read, shown = read_archived(line, STREAM), json.loads(line)
    assert (read.key, read.missing, read.parts) == (event.key, event.missing, event.parts)
    assert metadata_of(read) == json.loads(read.document) == metadata_of(event)
    assert (read.payload is None, arguments_of(read)) == (event.payload is None, arguments_of(event))
    assert (shown["event_key"], shown["uri"], shown["environment"]) == (event.key.entry_id, "a/b", "test")
    assert shown.get("arguments", {}) == arguments_of(event)


@given(events())
def test_what_was_erased_is_not_in_the_line_any_more(event: ArchivedEvent) -> None:
    """One part, the others staying as they are, or all of it. Erased again, nothing changes."""
    names = list(event.parts) or ["s3"]
    erased = event.without(names[:1])
    assert erased.without(names[:1]) == erased
    assert erased.missing == {**event.missing, names[0]: "erased"}
    kept = {name for part in names[1:] for name in event.parts.get(part, ())}
    assert set(erased.payload or {}) == kept
    nothing = read_archived(write_archived(event.without(names), STREAM), STREAM)
    assert (nothing.payload or {}, nothing.parts) == ({}, {})
    assert metadata_of(nothing) == metadata_of(event)


@pytest.mark.parametrize("payload", [b"", b"nan", b"{", b"1,2", b'"a\nb"', b"\xff"])
def test_what_is_not_json_is_refused(payload: bytes) -> None:
    """So nothing can stand in a line that is not the event's."""
    event = ArchivedEvent(EventKey(1, 2), b'{"id":"x"}', {"number": payload})
    with pytest.raises(DecodeError, match="not JSON"):
        write_archived(event, STREAM)


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"{}", b"nothing", b'{"event_key":"1-1"', b'{"event_key":"1-1","uri":"c"}']
)
def test_other_lines_are_refused(line: bytes) -> None:
    """Also those of another stream."""
    for each in (line, write_archived(ArchivedEvent(EventKey(1, 2), b'{"id":"x"}'), StreamName.of("a", "test"))):
        with pytest.raises(DecodeError, match=r"is not an archived event|of another stream"):
            read_archived(each, STREAM)
