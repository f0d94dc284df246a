"""What the archive keeps of consumer groups: what each has handled, and its dead letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple, cast

from pydantic_core import from_json, to_json

from event_backbone.archive.keys import archive_prefix, dead_letters_key, group_key
from event_backbone.archive.s3_archive import S3Archive
from event_backbone.errors import ArchiveUnreadable, DecodeError
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.group_admin import GroupAdmin
from event_backbone.stream.values import DeadLetter
from event_backbone.wire.archived_event import read_key
from event_backbone.wire.fields import (
    DEAD_LETTER_ATTEMPTS,
    DEAD_LETTER_DETAIL,
    DEAD_LETTER_ERROR,
    DEAD_LETTER_PLACE,
    DEAD_LETTER_REASON,
    DEAD_LETTER_REDRIVES,
)

if TYPE_CHECKING:
    from event_backbone.stream.redis.group_snapshots import GroupSnapshot, GroupSnapshots

_FORMAT = 1
_MOST_DEAD_LETTERS = 10_000
_PAGE = 500


class SavedGroup(NamedTuple):
    """What the archive knows of a group: it has handled everything up to ``position``, except what is ``pending``.

    Retention keeps no events for a group that it has ``forgotten``.
    """

    name: str
    position: EventKey
    pending: tuple[EventKey, ...]
    forgotten: bool = False


class SavedDeadLetter(NamedTuple):
    """A dead letter without the fields of its entry, which are those of the event that it is about."""

    id: str
    source: EventKey
    about: Mapping[str, str]


class GroupStates:
    """Keeps the states of a stream's groups in the archive; each is written when it has changed.

    Two archivers may save at the same time: whoever finds that another has written meanwhile lets that stand.
    """

    def __init__(
        self,
        archive: S3Archive,
        stream: StreamName,
        snapshots: GroupSnapshots,
        admin: Callable[[str], GroupAdmin],
    ) -> None:
        """Save what ``snapshots`` finds; ``admin`` reads the dead letters of a group."""
        self._archive = archive
        self._stream = stream
        self._snapshots = snapshots
        self._admin = admin
        self._written: dict[str, bytes] = {}
        self._letters: dict[str, tuple[object, bytes]] = {}
        self._saved: set[str] | None = None
        self._saved_letters: set[str] = set()

    async def take(self) -> Mapping[str, bytes]:
        """Return what is to be in the bucket, by key: of every group that there is, or that is saved there.

        Raises:
            StreamUnavailable, StorageUnavailable, ConfigurationError: outages, or S3 refuses.
            ArchiveUnreadable: what is saved is damaged, or a later version wrote it.
        """
        if self._saved is None:
            self._saved_letters = set(await read_dead_letters(self._archive, self._stream))
            self._saved = {each.name for each in await read_groups(self._archive, self._stream)}
        documents: dict[str, bytes] = {}
        snapshots = await self._snapshots.take()
        for each in snapshots:
            documents[self._group_key(each.name)] = _group_document(each)
            if each.dead_letters or each.name in self._saved_letters:
                documents[self._letters_key(each.name)] = await self._letters_document(each)
                self._saved_letters.add(each.name)
        there = {each.name for each in snapshots}
        for name in self._saved - there:
            documents[self._group_key(name)] = _deleted_document(name)
        for name in self._saved_letters - there:
            documents[self._letters_key(name)] = _deleted_document(name)
        self._saved |= there
        return documents

    async def save(self, documents: Mapping[str, bytes]) -> None:
        """Write those that differ from what was written last.

        Raises:
            StorageUnavailable, ConfigurationError: some may be written; take them again.
        """
        for key, document in documents.items():
            if self._written.get(key) != document:
                await self._save(key, document)

    async def _save(self, key: str, document: bytes) -> None:
        objects = await self._archive.objects(self._stream.environment)
        version = await self._archive.read_version(self._stream.environment, key)
        if version is None:
            if await objects.create(key, document):
                self._written[key] = document
            return
        found, e_tag = version
        # What another archiver wrote since may be newer than this document; the next one is newer still.
        if found != document and self._written.get(key) in {None, found}:
            found = document if await objects.replace(key, document, e_tag) else found
        self._written[key] = found

    def _group_key(self, group: str) -> str:
        return group_key(self._archive.options, self._stream, group)

    def _letters_key(self, group: str) -> str:
        return dead_letters_key(self._archive.options, self._stream, group)

    async def _letters_document(self, snapshot: GroupSnapshot) -> bytes:
        seen = (snapshot.newest_dead_letter, snapshot.dead_letters)
        known, document = self._letters.get(snapshot.name, (None, b""))
        if known != seen:
            document = _letters_document(snapshot.name, await self._dead_letters(snapshot.name))
            self._letters[snapshot.name] = seen, document
        return document

    async def _dead_letters(self, group: str) -> list[DeadLetter]:
        admin, letters = self._admin(group), list[DeadLetter]()
        while len(letters) < _MOST_DEAD_LETTERS:
            page = await admin.dead_letters(letters[-1].id if letters else None, _PAGE)
            letters += page
            if len(page) < _PAGE:
                break
        return letters


async def save_restored(
    archive: S3Archive, stream: StreamName, group: SavedGroup, letters: Sequence[DeadLetter]
) -> None:
    """Save where a restore has put a group, whatever was saved before.

    What was saved may be ahead of what was restored, and new events may get keys that are below it.

    Raises StorageUnavailable or ConfigurationError; some may be written.
    """
    documents = {
        group_key(archive.options, stream, group.name): _group_document(group),
        dead_letters_key(archive.options, stream, group.name): _letters_document(group.name, letters),
    }
    for key, document in documents.items():
        await archive.overwrite(stream.environment, key, document)


async def save_deleted(archive: S3Archive, stream: StreamName, group: str, *, dry_run: bool = False) -> bool:
    """Mark what is saved of a group as deleted, so that no restore makes it again; return whether anything was saved.

    A dry run marks nothing.

    An archiver that is at work does so too, but not before its next round.

    Raises StorageUnavailable or ConfigurationError; call it again.
    """
    keys = (group_key(archive.options, stream, group), dead_letters_key(archive.options, stream, group))
    found = [key for key in keys if await archive.read(stream.environment, key) is not None]
    for key in [] if dry_run else found:
        await archive.overwrite(stream.environment, key, _deleted_document(group))
    return bool(found)


async def read_groups(archive: S3Archive, stream: StreamName) -> list[SavedGroup]:
    """Return the saved state of every group.

    Raises:
        StorageUnavailable, ConfigurationError: S3 does not answer, or refuses.
        ArchiveUnreadable: an object is damaged, or a later version wrote it.
    """
    found: list[SavedGroup] = []
    for key, document in await _documents(archive, stream, "groups/"):
        try:
            position = read_key(str(document["position"]).encode(), stream)
            pending = [read_key(str(each).encode(), stream) for each in cast("list[object]", document["pending"])]
            forgotten = document.get("forgotten") is True
            found.append(SavedGroup(str(document["group"]), position, tuple(pending), forgotten))
        except (KeyError, ValueError, TypeError, DecodeError):
            raise _damaged(key) from None
    return found


async def read_dead_letters(archive: S3Archive, stream: StreamName) -> dict[str, list[SavedDeadLetter]]:
    """Return the saved dead letters by their group, in order. Raises as ``read_groups`` does."""
    found: dict[str, list[SavedDeadLetter]] = {}
    for key, document in await _documents(archive, stream, "dead-letters/"):
        try:
            found[str(document["group"])] = [
                SavedDeadLetter(
                    str(each["id"]),
                    read_key(str(each["source"]).encode(), stream),
                    cast("dict[str, str]", each["about"]),
                )
                for each in cast("list[dict[str, object]]", document["dead_letters"])
            ]
        except (KeyError, ValueError, TypeError, DecodeError):
            raise _damaged(key) from None
    return found


async def _documents(archive: S3Archive, stream: StreamName, folder: str) -> list[tuple[str, dict[str, object]]]:
    objects = await archive.objects(stream.environment)
    prefix = archive_prefix(archive.options, stream) + folder
    documents: list[tuple[str, dict[str, object]]] = []
    async with aclosing(objects.list_keys(prefix)) as pages:
        keys = [key async for page in pages for key in page if "/" not in key.removeprefix(prefix)]
    for key in keys:
        data = await archive.read(stream.environment, key)
        if data is None:
            continue
        try:
            document = cast("dict[str, object]", from_json(data))
            version = document["format"]
        except (ValueError, KeyError, TypeError):
            raise _damaged(key) from None
        if version != _FORMAT:
            raise ArchiveUnreadable(
                f"The archive's object {key} has format {str(version)[:20]}, and this version of event_backbone reads "
                f"format {_FORMAT}; update it."
            )
        if not document.get("deleted"):
            documents.append((key, document))
    return documents


def _group_document(group: GroupSnapshot | SavedGroup) -> bytes:
    document: dict[str, object] = {
        "format": _FORMAT,
        "group": group.name,
        "position": group.position.entry_id,
        "pending": [key.entry_id for key in group.pending],
    }
    if group.forgotten:
        document["forgotten"] = True
    return to_json(document) + b"\n"


def _deleted_document(group: str) -> bytes:
    return to_json({"format": _FORMAT, "group": group, "deleted": True}) + b"\n"


def _letters_document(group: str, letters: Sequence[DeadLetter]) -> bytes:
    rows = [
        {
            "id": each.id,
            "source": each.entry.key.entry_id,
            "about": {
                DEAD_LETTER_ATTEMPTS: str(each.attempts),
                DEAD_LETTER_REASON: each.reason,
                DEAD_LETTER_DETAIL: each.detail,
                DEAD_LETTER_ERROR: each.error,
                DEAD_LETTER_PLACE: "\n".join(each.place),
            }
            | ({DEAD_LETTER_REDRIVES: str(each.redrives)} if each.redrives else {}),
        }
        for each in letters
    ]
    return to_json({"format": _FORMAT, "group": group, "dead_letters": rows}) + b"\n"


def _damaged(key: str) -> ArchiveUnreadable:
    return ArchiveUnreadable(f"The archive's object {key} is damaged; restore the object.")
