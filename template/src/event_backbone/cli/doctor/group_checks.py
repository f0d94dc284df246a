"""Do the consumer groups keep up?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from event_backbone.cli.doctor.finding import Finding, ok, warn
from event_backbone.cli.output import counted, when
from event_backbone.errors import BackboneError

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project
    from event_backbone.stream.values import GroupState

_CUT_IS_NEWS_FOR = timedelta(days=7)


async def check_groups(backbone: Backbone, project: Project) -> list[Finding]:
    """Check every group of the stream: consumers, lag and dead letters."""
    try:
        states = await backbone.groups(project.uri)
    except BackboneError as error:
        return [warn("Groups", str(error))]
    findings = [_group(each, project) for each in states]
    if project.group is not None and all(each.name != project.group for each in states):
        findings.append(
            warn(f"Group {project.group}", f"It does not exist yet; a worker creates it: {project.name} worker")
        )
    return findings or [ok("Groups", "The stream has no consumer group")]


def _group(state: GroupState, project: Project) -> Finding:
    subject = f"Group {state.name}"
    waiting = f" ({state.parked:,} waiting for a retry)" if state.parked else ""
    text = (
        f"{counted(state.consumers, 'consumer')}, {state.pending:,} pending{waiting}, {state.unread:,} unread,"
        f" {counted(state.dead_letters, 'dead letter')}"
    )
    if state.forgotten:
        since = "" if state.looked is None else f" since {when(state.looked)}"
        text += f"; it has had no consumer{since}, and is forgotten: it keeps no events in Redis"
    if state.cut_at is not None and datetime.now(UTC) - state.cut_at < _CUT_IS_NEWS_FOR:
        cut = counted(state.cut, "event")
        return warn(subject, f"{text}; it has lost {cut} unfinished, up to {state.cut_until}, by {when(state.cut_at)}")
    if state.forgotten:
        return warn(subject, text)
    if state.dead_letters:
        other = "" if state.name == project.group else f" --group {state.name}"
        return warn(subject, f"{text}; see: {project.name}{other} dead-letters list")
    if not state.consumers and (state.unread or state.pending):
        return warn(subject, f"{text}; no consumer is running; start one: {project.name} worker")
    return ok(subject, text)
