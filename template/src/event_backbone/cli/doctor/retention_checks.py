"""Does the stream stay small, what keeps it from doing so, and when will Redis be full?"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from event_backbone.cli.doctor.finding import Finding, ok, warn
from event_backbone.cli.output import about, bytes_text, counted, when
from event_backbone.cli.trim import held_by
from event_backbone.errors import BackboneError

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project
    from event_backbone.retention.by_hand import RetentionState

_SUBJECT = "Stream"
_MEMORY = "Redis memory"
_HELD_TOO_LONG = timedelta(hours=1)
_SOON = timedelta(days=7)
_NEARLY_FULL = 0.8


async def check_retention(backbone: Backbone, project: Project) -> list[Finding]:
    """Check the size and the age of the stream, and the memory of its Redis."""
    if backbone.redis is None:
        return []
    try:
        state = await backbone.retention_state(project.uri)
    except BackboneError as error:
        return [warn(_SUBJECT, str(error))]
    return [_stream(backbone, state), *_memory(state)]


def _stream(backbone: Backbone, state: RetentionState) -> Finding:
    size = bytes_text(state.stream_bytes + state.payload_bytes)
    text = f"{counted(state.length, 'event')}, {size} of Redis' memory"
    if state.oldest is not None:
        text += f"; the oldest is of {when(state.oldest.time)}"
    if backbone.retention is None:
        return ok(_SUBJECT, f"{text}; nothing is ever removed")
    if state.overdue < _HELD_TOO_LONG:
        return ok(_SUBJECT, text)
    if state.held is None:
        why = "although nobody needs it: no process with this retention runs, or its log says what fails"
    else:
        why = f"as {held_by(state.held)}"
    return warn(_SUBJECT, f"{text}: it is kept {about(state.overdue)} longer than it should be, {why}")


def _memory(state: RetentionState) -> list[Finding]:
    if not state.memory_limit:
        return []
    share = state.memory_used / state.memory_limit
    text = f"{bytes_text(state.memory_used)} of {bytes_text(state.memory_limit)} are used ({share:.0%})"
    if state.full_in is not None and (state.full_in < _SOON or share >= _NEARLY_FULL):
        rate = f"{state.events_per_second:,.1f} events a second"
        text += f"; full in about {about(state.full_in)}, if events go on to come at {rate}: new ones are then refused"
        return [warn(_MEMORY, text)]
    return [warn(_MEMORY, text) if share >= _NEARLY_FULL else ok(_MEMORY, text)]
