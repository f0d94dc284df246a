"""The header of a follow-up event."""

import pytest

from event_backbone.model import EventKey, StreamName
from event_backbone.wire import read_once_header, write_once_header

STREAM = StreamName.of("ports/eu:docks", "test")
EVENT_ID = "01a219a5-fcac-77ea-98a1-f8f3b7e3df2f"


@pytest.mark.parametrize("group", ["main-consumer", "group of another program"])
@pytest.mark.parametrize("key", [EventKey(5, 7), EventKey(5, 7, 3)])
def test_what_is_written_is_read(key: EventKey, group: str) -> None:
    """Also of a partition, and of a group with spaces."""
    header = read_once_header(write_once_header(STREAM, key, EVENT_ID, group, "parcel"))
    assert header == (STREAM.key, key, EVENT_ID, group, "parcel")


@pytest.mark.parametrize("text", ["", "test:docks 5-7 group parcel", f"test:docks five {EVENT_ID} group parcel"])
def test_what_another_program_wrote_is_nothing(text: str) -> None:
    """A restore passes over it."""
    assert read_once_header(text) is None
