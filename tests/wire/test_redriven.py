"""Entries that let a group handle an archived event again."""

import pytest

from event_backbone.model import EventKey
from event_backbone.wire import is_redriven, read_redriven

OWN = {b"wire": b"1", b"metadata": b"{}"}


@pytest.mark.parametrize("group", ["main-consumer", "group of\nanother program", "Zo\u00eb"])
def test_a_redriven_entry_names_its_event_and_its_group(group: str) -> None:
    """With the fields of the event's own entry; whatever the name of the group."""
    fields = {b"wire": b"1", b"redriven": f"5-7 {group}".encode(), b"redriven:metadata": b"{}"}
    assert is_redriven(fields)
    assert read_redriven(fields, 3) == (EventKey(5, 7, 3), group, OWN)


@pytest.mark.parametrize("address", [b"", b"5-7", b"five group", b"5-7group"])
def test_what_another_program_wrote_is_no_event_and_nobodys(address: bytes) -> None:
    """Readers pass over it, and a group that reads it finds it unreadable."""
    fields = {b"redriven": address}
    assert is_redriven(fields)
    assert read_redriven(fields, 0) is None
    assert read_redriven(OWN, 0) is None
