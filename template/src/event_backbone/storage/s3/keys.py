"""Where in the bucket an object is: the keys of payloads, and of the marker."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from event_backbone.model import StreamName
from event_backbone.storage.s3.options import S3Options
from event_backbone.wire.fields import EPOCH

_PACK = re.compile(r"\d{4}(?:/\d\d){3}/([0-9a-f]{32})\.jsonl")
_YEAR_10000 = "e677d21fdc00"  # in milliseconds; beyond it there is no folder


def pack_time(key: str) -> float:
    """Return when the pack with this key was begun, in seconds since 1970, by the writer's clock."""
    return int(key[-38:-26], 16) / 1000  # the first 12 of the 32 hex digits before ".jsonl"


def pack_key(options: S3Options, stream: StreamName, pack_id: str) -> str:
    """Return ``[<prefix>/][<environment>/]packs/<uri>/<yyyy>/<mm>/<dd>/<hh>/<pack id>.jsonl``.

    The time (UTC) is that of the pack id, a UUIDv7 in 32 hex digits.
    """
    hour = datetime.fromtimestamp(int(pack_id[:12], 16) / 1000, UTC).strftime("%Y/%m/%d/%H")
    return f"{packs_folder(options, stream)}{hour}/{pack_id}.jsonl"


def packs_folder(options: S3Options, stream: StreamName) -> str:
    """Return what the keys of a stream's packs begin with, the slash included."""
    return below_environment(options, stream.environment, f"packs/{stream.uri}/")


def pack_id_of(options: S3Options, stream: StreamName, key: str) -> str | None:
    """Return the pack id in the key of an object; None if it is not the key of a pack of this stream."""
    match = _PACK.fullmatch(key, len(packs_folder(options, stream)))
    if match is None or not is_pack_id(match[1]) or key != pack_key(options, stream, match[1]):
        return None
    return match[1]


def is_pack_id(text: str) -> bool:
    """Return whether 32 hex digits have a time for which there is a folder."""
    return text < _YEAR_10000


def earliest_pack_key(options: S3Options, stream: StreamName, since: datetime) -> str:
    """Return what comes before the keys of the packs that were begun since then, and after those of earlier ones."""
    milliseconds = max(0, (since - EPOCH) // timedelta(milliseconds=1))
    return pack_key(options, stream, f"{milliseconds:012x}").removesuffix(".jsonl")


def marker_key(options: S3Options, environment: str) -> str:
    """Return the key of the object that says whose packs these are."""
    return below_environment(options, environment, "event-backbone.json")


def below_environment(options: S3Options, environment: str, key: str) -> str:
    """Return a key below the prefix and, if it is to be in the key, the environment."""
    above = (options.prefix, environment if options.environment_in in {None, "key"} else "", key)
    return "/".join(part for part in above if part)
