"""Entries of every wire format so far still read as they did when they were written."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from event_backbone.model import EventKey, PayloadReference, StreamName
from event_backbone.wire import read_entry, read_inline

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_entry_reads_as_it_did_when_it_was_written(path: Path) -> None:
    """The file has an entry's fields, and what they mean."""
    golden: dict[str, Any] = json.loads(path.read_text())
    expected = golden["expected"]
    fields = {name.encode(): value.encode() for name, value in golden["fields"].items()}

    metadata, references = read_entry(fields, StreamName.of("shipments", "dev"), EventKey(7, 1))

    assert metadata.event_id == UUID(expected["event_id"])
    assert metadata.produced_at == datetime.fromisoformat(expected["produced_at"])
    for name in ("event", "version", "correlation_id", "causation_id", "partition_key", "headers", "size_bytes"):
        assert getattr(metadata, name) == expected[name], name
    assert references == tuple(PayloadReference(*reference) for reference in expected["references"])
    inline = None if references else {name: value.decode() for name, value in read_inline(fields).items()}
    assert inline == expected["inline"]


def test_there_are_golden_entries() -> None:
    """An empty folder would test nothing."""
    assert GOLDEN
