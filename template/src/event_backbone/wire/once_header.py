"""The header ``once`` of a follow-up event: which event was handled when it was produced, by which group."""

from __future__ import annotations

import re
from typing import NamedTuple

from event_backbone.errors import ConfigurationError
from event_backbone.model.event_key import EventKey
from event_backbone.model.stream_name import StreamName

_TEXT = re.compile(r"(\S+) (\S+) (\S+) (.+) (\S+)")


class OnceHeader(NamedTuple):
    """What the header says.

    Attributes:
        stream: the Redis key of the handled event's stream.
        key: the handled event's key.
        event_id: its event id, which it keeps when a restore gives it another key.
        group: the group that handled it.
        label: what tells apart the follow-up events of one handled event.
    """

    stream: str
    key: EventKey
    event_id: str
    group: str
    label: str


def write_once_header(stream: StreamName, key: EventKey, event_id: str, group: str, label: str) -> str:
    """Return the value of the header. Only the group's name may contain spaces."""
    return f"{stream.key} {key} {event_id} {group} {label}"


def read_once_header(text: str) -> OnceHeader | None:
    """Return what the header says; None if another program wrote it."""
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    stream, key, event_id, group, label = match.groups()
    try:
        return OnceHeader(stream, EventKey.parse(key), event_id, group, label)
    except ConfigurationError:
        return None
