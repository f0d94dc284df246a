"""Where in the bucket an object of the archive is."""

from __future__ import annotations

import re
from urllib.parse import quote

from event_backbone.model import EventKey, StreamName
from event_backbone.storage.s3.keys import below_environment
from event_backbone.storage.s3.options import S3Options

_SEGMENT = re.compile(r"\d{4}/\d\d/\d\d/(\d{20})-(\d{20})\.jsonl\.zst")


def archive_prefix(options: S3Options, stream: StreamName) -> str:
    """Return ``[<prefix>/][<environment>/]archive/<uri>/<partition>/``."""
    return below_environment(options, stream.environment, f"archive/{stream.uri}/{stream.partition}/")


def segment_key(options: S3Options, stream: StreamName, follows: EventKey) -> str:
    """Return ``.../<yyyy>/<mm>/<dd>/<20 digits>-<20 digits>.jsonl.zst``.

    The date (UTC) and the digits are those of the event key that the segment follows.
    """
    day = follows.time.strftime("%Y/%m/%d")
    name = f"{follows.milliseconds:020d}-{follows.sequence:020d}.jsonl.zst"
    return f"{archive_prefix(options, stream)}{day}/{name}"


def followed_by(options: S3Options, stream: StreamName, key: str) -> EventKey | None:
    """Return the key that the segment with this key follows; None for any other object, such as of another URI."""
    match = _SEGMENT.fullmatch(key.removeprefix(archive_prefix(options, stream)))
    return None if match is None else EventKey(int(match[1]), int(match[2]), stream.partition)


def group_key(options: S3Options, stream: StreamName, group: str) -> str:
    """Return the key of a group's saved position."""
    return f"{archive_prefix(options, stream)}groups/{_file_name(group)}.json"


def dead_letters_key(options: S3Options, stream: StreamName, group: str) -> str:
    """Return the key of a group's saved dead letters."""
    return f"{archive_prefix(options, stream)}dead-letters/{_file_name(group)}.json"


def unfinished_key(options: S3Options, stream: StreamName) -> str:
    """Return the key of what a restore has not finished."""
    return f"{archive_prefix(options, stream)}unfinished-restore.json"


def _file_name(group: str) -> str:
    """Return a group's name as one segment of a key."""
    return quote(group, safe="").replace(".", "%2E").replace("~", "%7E")
