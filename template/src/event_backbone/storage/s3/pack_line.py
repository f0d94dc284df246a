"""Where a record is: a line of a pack, as the key of a payload reference says it."""

from __future__ import annotations

import re
from typing import NamedTuple

from event_backbone.errors import DecodeError
from event_backbone.model.fast_objects import new_named_tuple
from event_backbone.storage.s3.keys import is_pack_id

_KEY = re.compile(r"([0-9a-f]{32})_([0-9]{1,10})_([0-9]{1,10})")


class PackLine(NamedTuple):
    """A line of a pack: the pack's id (a UUIDv7 in 32 hex digits), and its first byte and length without newline."""

    pack_id: str
    offset_bytes: int
    length_bytes: int

    @classmethod
    def parse(cls, key: str) -> PackLine:
        """Read the key of a reference; raise DecodeError when it is not one of a pack."""
        match = _KEY.fullmatch(key)
        if match is None or not is_pack_id(match[1]):
            raise DecodeError("The key of a payload reference to S3 must be <pack id>_<offset>_<length>.")
        return new_named_tuple(cls, (match[1], int(match[2]), int(match[3])))

    def __str__(self) -> str:
        """Return the key of a reference to this line."""
        return key_of_line(*self)


def key_of_line(pack_id: str, offset_bytes: int, length_bytes: int) -> str:
    """Return the key of a reference to a line."""
    return f"{pack_id}_{offset_bytes}_{length_bytes}"
