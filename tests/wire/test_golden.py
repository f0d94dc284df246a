"""Entries, packs and segments of every wire format so far still read as they did when they were written."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from event_backbone.archive.segment import unpack_segment
from event_backbone.errors import ArchiveUnreadable
from event_backbone.model import EventKey, PayloadReference, StreamName
from event_backbone.storage.s3.pack_line import PackLine
from event_backbone.wire import FORMAT_FIELD, METADATA_FIELD, WIRE_FORMAT, read_entry, read_inline, read_record
from event_backbone.wire.archived_event import read_archived

STREAM = StreamName.of("shipments", "dev")
FOLDER = Path(__file__).parent / "golden"
GOLDEN = sorted(FOLDER.glob("*.json"))
PACKS = sorted((FOLDER / "packs").glob("*.jsonl"))
SEGMENTS = sorted((FOLDER / "segments").glob("*.jsonl.zst"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_entry_reads_as_it_did_when_it_was_written(path: Path) -> None:
    """The file has an entry's fields, and what they mean."""
    golden: dict[str, Any] = json.loads(path.read_text())
    expected = golden["expected"]
    fields = {name.encode(): value.encode() for name, value in golden["fields"].items()}

    metadata, references = read_entry(fields, STREAM, EventKey(7, 1))

    assert metadata.event_id == UUID(expected["event_id"])
    assert metadata.produced_at == datetime.fromisoformat(expected["produced_at"])
    for name in ("event", "version", "correlation_id", "causation_id", "partition_key", "headers", "size_bytes"):
        assert getattr(metadata, name) == expected[name], name
    assert references == tuple(PayloadReference(*reference) for reference in expected["references"])
    inline = None if references else {name: value.decode() for name, value in read_inline(fields).items()}
    assert inline == expected["inline"]


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_the_lines_of_a_golden_pack_read_as_they_did_when_it_was_written(path: Path) -> None:
    """Beside the pack are the key of each reference and the arguments; none where the line was erased."""
    pack = path.read_bytes()
    expected: list[dict[str, Any]] = json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8"))
    for each in expected:
        _, offset, length = PackLine.parse(each["key"])
        found = read_record(pack[offset : offset + length], each["event_id"], STREAM)
        assert (None if found is None else {name: value.decode() for name, value in found.items()}) == each["arguments"]
    assert [json.loads(line)["id"] for line in pack.splitlines()] == [each["event_id"] for each in expected]


@pytest.mark.parametrize("path", SEGMENTS, ids=lambda path: path.name)
def test_a_golden_segment_reads_as_it_did_when_it_was_written(path: Path) -> None:
    """Beside it are its place in the archive and its events: whole, split, erased, gone, and without arguments."""
    golden = path.with_name(path.name.replace(".jsonl.zst", ".expected.json"))
    expected: dict[str, Any] = json.loads(golden.read_text(encoding="utf-8"))

    segment = unpack_segment(path.read_bytes(), path.name)

    header = segment.header
    places = {name: getattr(header, name) for name in ("follows", "previous", "last")}
    found = {name: key.entry_id for name, key in places.items()} | {"events": header.events, "total": header.total}
    assert (header.stream, found) == (STREAM, expected["header"])
    assert [_read_line(line) for line in segment.lines()] == expected["events"]


def _read_line(line: bytes) -> dict[str, Any]:
    event = read_archived(line, STREAM)
    fields = {FORMAT_FIELD.encode(): WIRE_FORMAT, METADATA_FIELD.encode(): event.document}
    metadata, references = read_entry(fields, STREAM, event.key)
    payload = event.payload
    return {
        "event_key": event.key.entry_id,
        "event_id": str(metadata.event_id),
        "event": metadata.event,
        "references": [[each.storage, each.key] for each in references],
        "arguments": None if payload is None else {name: value.decode() for name, value in payload.items()},
        "missing": dict(event.missing),
        "parts": {name: list(names) for name, names in event.parts.items()},
    }


def test_a_segment_of_a_later_format_is_refused() -> None:
    """In one sentence; it is neither read in part nor taken for damage."""
    data = SEGMENTS[-1].read_bytes().replace(b'"format":1', b'"format":2')
    with pytest.raises(ArchiveUnreadable, match=r"has format 2, .* reads format 1; update it"):
        unpack_segment(data, "later")


def test_there_are_golden_entries_packs_and_segments() -> None:
    """An empty folder would test nothing."""
    assert GOLDEN
    assert PACKS
    assert SEGMENTS
