"""The demo loses its Redis with all data, restores it from S3, and has a new group handle the same events."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from event_backbone.cli.demo.journal import Journal
from event_backbone.cli.demo.processes import DemoProcess, JournalEntry
from event_backbone.cli.output import print_line, print_table
from event_backbone.cli.project import Project, without_server_warnings
from event_backbone.consumer import Consumer, Context
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import BackboneError, Reject

NEW_GROUP = "after-the-restore"

EndOf = Callable[[DemoProcess], Awaitable[None]]
"""Waits until a process has ended; raises BackboneError when that takes too long."""


async def lose_and_restore(
    project: Project,
    stack: contextlib.ExitStack,
    environment: Mapping[str, str],
    sent: Sequence[JournalEntry],
    *,
    end_of: EndOf,
) -> None:
    """Show that every event survives the loss of Redis; ``environment`` already points to an empty one.

    Raises:
        BackboneError: a process failed, or an event was not handled again, once, under its own key.
    """
    print_line("Redis was killed, and its data deleted; an empty one runs in its place.")
    restore = stack.enter_context(DemoProcess("The restore", project, "restore"))
    await restore.start(environment, journal=False)
    await end_of(restore)
    print_line(restore.log().rstrip())
    handler = stack.enter_context(DemoProcess("The new group", project, "_handle-every-event"))
    await handler.start(environment)
    await end_of(handler)
    await handler.read_all()
    attempts = {each.key: each for each in handler.entries}
    if sorted((each.key, each.outcome) for each in handler.entries) != sorted((each.key, "handled") for each in sent):
        raise BackboneError(f"The new group did not handle each event once; its log: {handler.log()}")
    rows = [(each.event, each.key, f"process {attempts[each.key].pid}: {attempts[each.key].outcome}") for each in sent]
    print_table("The same events again", ("Event", "Key", f"Handled by the new group {NEW_GROUP}"), rows)


async def handle_every_event(project: Project, descriptor: int) -> None:
    """Handle all events of the stream in the new group, and write each to the journal at this file descriptor.

    One whose payload is missing is rejected. Parts that were in Redis alone may be: the restore has said so.
    """
    consumer, interceptors = Consumer(project.contract), (Journal(descriptor).interceptor,)

    @consumer.fallback
    async def handle(_: Context, event: StoredEvent) -> None:
        if event.payload not in {"present", "partial"}:
            raise Reject(f"The payload is {event.payload}.")

    async with (
        without_server_warnings(),
        project.open_backbone(project.load_settings(), handle_interceptors=interceptors) as backbone,
        backbone.subscribe(consumer, uri=project.uri, group=NEW_GROUP) as subscription,
    ):
        await subscription.until_idle()
