"""Erases records: their pack is written again without the arguments, if nobody has changed it meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from pydantic_core import from_json

from event_backbone.backoff import Backoff, Delays
from event_backbone.errors import DecodeError, PayloadGone, StorageUnavailable
from event_backbone.model import StreamName
from event_backbone.storage.s3.pack_line import PackLine
from event_backbone.storage.s3.pack_writer import PACK_CONTENT_TYPE
from event_backbone.wire import erase_record, read_record

if TYPE_CHECKING:
    from event_backbone.storage.s3.objects import S3Objects

_BACKOFF = Backoff(first=timedelta(milliseconds=20), longest=timedelta(seconds=1), jitter=1)
_COPIES = 3  # at most, until two are the same


async def erase_lines(objects: S3Objects, key: str, stream: StreamName, lines: Sequence[tuple[PackLine, str]]) -> None:
    """Erase lines of one pack, each with the id of its event, in one rewrite.

    Others that erase lines of this pack at the same time lose nothing: a pack that has changed is read again.

    Raises:
        PayloadGone: there is no such pack, or, after the others were erased, a line is not a record of its event.
        StorageUnavailable, ConfigurationError: S3 does not answer, or refuses.
    """
    delays = Delays(_BACKOFF)
    while True:
        pack, e_tag = await _read_whole(objects, key)
        erased = bytearray(pack)
        foreign = [event_id for line, event_id in lines if not _erase(erased, line, event_id, stream)]
        rewritten = bytes(erased)
        if rewritten == pack or await objects.replace(key, rewritten, e_tag, content_type=PACK_CONTENT_TYPE):
            break
        await delays.wait()
    if foreign:
        raise PayloadGone(f"The record of event {foreign[0]} in S3 is damaged: {key} has another one in its place.")


async def _read_whole(objects: S3Objects, key: str) -> tuple[bytes, str | None]:
    """Return a pack as S3 has it. It is written again, so a torn copy would cost other events their lines.

    A copy that does not look whole counts only if another one is the same: then the pack itself is damaged.
    """
    before: tuple[bytes, str | None] | None = None
    for _ in range(_COPIES):
        found = await objects.read_version(key)
        if _looks_whole(found[0]) or found == before:
            return found
        before = found
    raise StorageUnavailable(f"S3 answers with another damaged {key} each time; look at what is between here and S3.")


def _looks_whole(pack: bytes) -> bool:
    *lines, end = pack.split(b"\n")
    return not end and all(line.startswith(b"{") and line.rstrip(b" ").endswith(b"}") for line in lines)


def _erase(pack: bytearray, line: PackLine, event_id: str, stream: StreamName) -> bool:
    """Erase a line in place; return False if it is not one line, or the record of another event."""
    first, after = line.offset_bytes, line.offset_bytes + line.length_bytes
    record = bytes(pack[first:after])
    is_line = first == 0 or pack.startswith(b"\n", first - 1)
    is_line = is_line and pack.startswith(b"\n", after) and b"\n" not in record
    if not is_line or _is_of_another(record, event_id, stream):
        return False
    pack[first:after] = erase_record(record, event_id, stream)
    return True


def _is_of_another(record: bytes, event_id: str, stream: StreamName) -> bool:
    """What is not a record at all may be what is left of this one."""
    try:
        read_record(record, event_id, stream)
    except DecodeError:
        try:
            members: object = from_json(record)
        except ValueError:
            return False
        return isinstance(members, dict) and "id" in cast("dict[str, object]", members)
    return False
