"""Where in the bucket an object is: the keys of payloads, and of the marker."""

from __future__ import annotations

from datetime import UTC, datetime

from event_backbone.model import StreamName
from event_backbone.storage.s3.options import S3Options


def pack_time(key: str) -> float:
    """Return when the pack with this key was begun, in seconds since 1970, by the writer's clock."""
    return int(key[-38:-26], 16) / 1000  # the first 12 of the 32 hex digits before ".jsonl"


def pack_key(options: S3Options, stream: StreamName, pack_id: str) -> str:
    """Return ``[<prefix>/][<environment>/]packs/<uri>/<yyyy>/<mm>/<dd>/<hh>/<pack id>.jsonl``.

    The time (UTC) is that of the pack id, a UUIDv7 in 32 hex digits.
    """
    hour = datetime.fromtimestamp(int(pack_id[:12], 16) / 1000, UTC).strftime("%Y/%m/%d/%H")
    return below_environment(options, stream.environment, f"packs/{stream.uri}/{hour}/{pack_id}.jsonl")


def marker_key(options: S3Options, environment: str) -> str:
    """Return the key of the object that says whose packs these are."""
    return below_environment(options, environment, "event-backbone.json")


def below_environment(options: S3Options, environment: str, key: str) -> str:
    """Return a key below the prefix and, if it is to be in the key, the environment."""
    above = (options.prefix, environment if options.environment_in in {None, "key"} else "", key)
    return "/".join(part for part in above if part)
