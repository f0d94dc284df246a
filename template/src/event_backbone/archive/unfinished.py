"""What a restore has not finished: noted in the archive, as it may be interrupted, and Redis be lost again."""

from __future__ import annotations

from typing import cast

from pydantic_core import from_json, to_json

from event_backbone.archive.keys import unfinished_key
from event_backbone.archive.s3_archive import S3Archive
from event_backbone.errors import ArchiveUnreadable, DecodeError
from event_backbone.model import EventKey, StreamName
from event_backbone.wire.archived_event import read_key

_FORMAT = 1


class UnfinishedRestore:
    """Notes the last archived key from which on a restore appends the events that only packs have.

    Archivers go on meanwhile, so the end of the archive soon says nothing about it. All methods raise
    StorageUnavailable when S3 does not answer, ConfigurationError when it refuses, and ArchiveUnreadable for a note
    that is damaged, or that a later version wrote.
    """

    def __init__(self, archive: S3Archive, stream: StreamName) -> None:
        """Keep the note of this stream."""
        self._archive = archive
        self._stream = stream
        self._key = unfinished_key(archive.options, stream)

    async def read(self) -> EventKey | None:
        """Return what is noted; None if no restore is unfinished."""
        data = await self._archive.read(self._stream.environment, self._key)
        return None if data is None else self._noted(data)

    async def write(self, noted: EventKey | None) -> None:
        """Note this key, or by None that nothing is left to do."""
        document = to_json({"format": _FORMAT, "follows": None if noted is None else noted.entry_id}) + b"\n"
        await self._archive.overwrite(self._stream.environment, self._key, document)

    def _noted(self, data: bytes) -> EventKey | None:
        try:
            document = cast("dict[str, object]", from_json(data))
            if document["format"] == _FORMAT:
                return (
                    None if document["follows"] is None else read_key(str(document["follows"]).encode(), self._stream)
                )
            version = str(document["format"])
        except (ValueError, KeyError, TypeError, DecodeError):
            raise ArchiveUnreadable(f"The archive's object {self._key} is damaged; delete it.") from None
        raise ArchiveUnreadable(
            f"The archive's object {self._key} has format {version[:20]}, and this version of event_backbone reads "
            f"format {_FORMAT}; update it."
        )
