"""Names and units of wire format 1: what the fields of an entry are called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

WIRE_FORMAT = b"1"
FORMAT_FIELD = "wire"
METADATA_FIELD = "metadata"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
