"""Redriven entries: each lets one group handle an event again whose own entry has left the stream.

Such an entry is not an event itself. It says which event of the archive is meant, and who is to handle it; readers,
archivers and restores leave it out, and other groups only ack it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from event_backbone.model.event_key import EventKey
from event_backbone.wire.fields import METADATA_FIELD, REDRIVEN_FIELD, REDRIVEN_METADATA_FIELD

_REDRIVEN, _REDRIVEN_METADATA = REDRIVEN_FIELD.encode(), REDRIVEN_METADATA_FIELD.encode()
_METADATA = METADATA_FIELD.encode()
_ADDRESS = re.compile(rb"(\d{1,20})-(\d{1,20}) (.+)", re.DOTALL)


class RedrivenEntry(NamedTuple):
    """What a redriven entry says.

    Attributes:
        key: the event's own key.
        group: the group that is to handle it.
        fields: those of the event's own entry, without an inline payload.
    """

    key: EventKey
    group: str
    fields: Mapping[bytes, bytes]


def is_redriven(fields: Mapping[bytes, bytes]) -> bool:
    """Return whether an entry with these fields is a redriven one."""
    return _REDRIVEN in fields


def read_redriven(fields: Mapping[bytes, bytes], partition: int) -> RedrivenEntry | None:
    """Read a redriven entry; return None for any other, also for one that another program wrote in another form."""
    address = fields.get(_REDRIVEN)
    match = None if address is None else _ADDRESS.fullmatch(address)
    if match is None:
        return None
    milliseconds, sequence, group = match.groups()
    own = {name: value for name, value in fields.items() if name not in {_REDRIVEN, _REDRIVEN_METADATA}}
    if _REDRIVEN_METADATA in fields:
        own[_METADATA] = fields[_REDRIVEN_METADATA]
    return RedrivenEntry(EventKey(int(milliseconds), int(sequence), partition), group.decode(errors="replace"), own)
