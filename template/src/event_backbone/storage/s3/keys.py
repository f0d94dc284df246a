"""Where in the bucket an object is: the keys of payloads, and of the object by which access is tried."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from event_backbone.model import StreamName
from event_backbone.storage.s3.options import S3Options

# Segments that are legal in a URI but not in an object key; no URI has "_".
_AWKWARD_SEGMENTS: Mapping[str, str] = {"": "_", ".": "_dot"}


def payload_key(options: S3Options, stream: StreamName, key: str) -> str:
    """Return ``[<prefix>/][<environment>/]<2 hex digits>/<uri>/<key>.json`` for the key of a payload reference.

    The digits are the beginning of the key's SHA-256: they spread a busy stream over the partitions that S3 makes of
    prefixes.
    """
    segments = [_AWKWARD_SEGMENTS.get(segment, segment) for segment in stream.uri.split("/")]
    spread = sha256(key.encode()).hexdigest()[:2]
    return _below_environment(options, stream.environment, "/".join((spread, *segments, f"{key}.json")))


def probe_key(options: S3Options, environment: str) -> str:
    """Return the key of the object by which reading and writing are tried."""
    return _below_environment(options, environment, "_check.json")


def _below_environment(options: S3Options, environment: str, key: str) -> str:
    above = (options.prefix, environment if options.environment_in in {None, "key"} else "", key)
    return "/".join(part for part in above if part)
