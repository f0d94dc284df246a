"""Moves a consumer group to another place in its stream, and deletes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from event_backbone.errors import GroupMissing, StreamError
from event_backbone.model import EventKey
from event_backbone.storage import StorageScope
from event_backbone.stream.base import Streams
from event_backbone.stream.group_admin import GroupAdmin
from event_backbone.stream.values import GroupDeletion, GroupState, Start, check_start, key_before

if TYPE_CHECKING:
    from event_backbone.archive.s3_archive import S3Archive

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class SeekReport:
    """What a seek has changed, or would change.

    Attributes:
        group: the group.
        left: the last event that it had been given before.
        position: the last event before those that it reads next.
        newest: the newest event of the stream. If ``position`` is later, and in the future, all events that are
            appended until then are skipped, too.
        come_again: how many events that it had been given come again; 0 when it moves forward.
        skipped: how many events it will never be given, since it moves forward over them; 0 when it moves back.
        given_up: how many of the events that come again were in flight or parked: their attempts and due times are
            forgotten, and their handlers cancelled.
        still_pending: how many events before ``position`` it has not finished; they stay in flight, or parked.
        vanished: how many pending events had left the stream, so they cannot come again.
        dead_letters: how many dead letters it has of events that come again. They stay; once redriven, their events are
            handled twice.
        complete_from: the key from which the stream has no gaps, if the group reads from before it: what retention has
            removed before that key does not come again, and only ``replay`` finds it, in the archive. Else None.
        forgotten: whether the group keeps no events from being removed until one of its consumers runs.
    """

    group: str
    left: EventKey
    position: EventKey
    newest: EventKey
    come_again: int
    skipped: int
    given_up: int
    still_pending: int
    vanished: int
    dead_letters: int
    complete_from: EventKey | None
    forgotten: bool


async def seek_group(streams: Streams, scope: StorageScope, group: str, to: Start, *, dry_run: bool) -> SeekReport:
    """Let a group read next the first event at or after ``to``; a dry run only counts."""
    check_start("to", to)
    stream, admin = streams.stream(scope.stream), streams.group_admin(scope.stream, group)
    newest = await stream.last_key()
    position = newest if to == "now" else key_before(to, scope.stream.partition)
    state = await _state(streams, scope, group)
    left, complete_from = state.last_delivered, await stream.complete_from()
    between = await admin.count(min(left, position), max(left, position))
    dead_letters = await _dead_letters(admin, after=position, until=left)
    pending_after, vanished = await _pending_after(admin, position), 0
    if not dry_run:
        moved = await admin.move(position)
        pending_after, vanished = moved.came_again, moved.vanished
    return SeekReport(
        group=group,
        left=left,
        position=position,
        newest=newest,
        come_again=between if position < left else 0,
        skipped=between if position > left else 0,
        given_up=pending_after,
        still_pending=max(0, state.pending - pending_after - vanished),
        vanished=vanished,
        dead_letters=dead_letters,
        complete_from=complete_from if complete_from is not None and position.successor() < complete_from else None,
        forgotten=state.forgotten,
    )


async def delete_group(
    streams: Streams,
    scope: StorageScope,
    group: str,
    archive: S3Archive | None,
    *,
    dead_letters: bool,
    dry_run: bool,
) -> GroupDeletion:
    """Delete a group and all that is kept of it, in Redis and in the archive; a dry run only counts."""
    found = await streams.group_admin(scope.stream, group).delete(dead_letters=dead_letters, dry_run=dry_run)
    if not found.exists and archive is None:
        raise GroupMissing(f"Stream {scope.stream.key} has no consumer group {group!r}.")
    if dry_run:
        if archive is not None and not found.exists:
            await _delete_saved(archive, scope, group, found, dry_run=True)
        return found
    if found.consumers:
        raise StreamError(
            f"Group {group} of {scope.stream.key} has {found.consumers} living "
            f"consumer{'s' if found.consumers > 1 else ''}, which would make it again, at the beginning of the stream: "
            "stop them first. A consumer that crashed counts until its lease has ended."
        )
    if found.dead_letters and not dead_letters:
        raise StreamError(
            f"Group {group} of {scope.stream.key} has {found.dead_letters} dead "
            f"letter{'s' if found.dead_letters > 1 else ''}: redrive or discard them first, or delete them with the "
            "group."
        )
    if archive is not None:
        await _delete_saved(archive, scope, group, found)
    return found


async def _delete_saved(
    archive: S3Archive, scope: StorageScope, group: str, found: GroupDeletion, *, dry_run: bool = False
) -> None:
    from event_backbone.archive.group_states import save_deleted  # noqa: PLC0415 - imports zstandard

    if not await save_deleted(archive, scope.stream, group, dry_run=dry_run) and not found.exists:
        raise GroupMissing(f"Neither stream {scope.stream.key} nor its archive has a consumer group {group!r}.")


async def _state(streams: Streams, scope: StorageScope, group: str) -> GroupState:
    for each in await streams.stream(scope.stream).groups():
        if each.name == group:
            return each
    raise GroupMissing(f"Stream {scope.stream.key} has no consumer group {group!r}.")


async def _pending_after(admin: GroupAdmin, position: EventKey) -> int:
    number, after = 0, position
    while page := await admin.pending(after, _PAGE):
        number, after = number + len(page), page[-1].key
    return number


async def _dead_letters(admin: GroupAdmin, *, after: EventKey, until: EventKey) -> int:
    number, last = 0, None
    while after < until and (page := await admin.dead_letters(last, _PAGE)):
        number, last = number + sum(after < each.entry.key <= until for each in page), page[-1].id
    return number
