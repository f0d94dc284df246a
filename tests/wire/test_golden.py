"""Entries and packs of every wire format so far still read as they did when they were written."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from event_backbone.model import EventKey, PayloadReference, StreamName
from event_backbone.storage.s3.pack_line import PackLine
from event_backbone.wire import read_entry, read_inline, read_record

STREAM = StreamName.of("shipments", "dev")
FOLDER = Path(__file__).parent / "golden"
GOLDEN = sorted(FOLDER.glob("*.json"))
PACKS = sorted((FOLDER / "packs").glob("*.jsonl"))


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


def test_there_are_golden_entries_and_packs() -> None:
    """An empty folder would test nothing."""
    assert GOLDEN
    assert PACKS
