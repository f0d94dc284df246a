"""Does the archive work, and what would the loss of Redis cost right now?"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from event_backbone.cli.doctor.finding import Finding, fail, ok, warn
from event_backbone.cli.doctor.payload_places import payload_places
from event_backbone.errors import BackboneError
from event_backbone.storage.s3.keys import below_environment

if TYPE_CHECKING:
    from event_backbone.archive import S3Archive
    from event_backbone.archive.state import ArchiveState
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project

_SUBJECT = "Archive"
_LOSS = "Loss of Redis"
_WITHIN = timedelta(seconds=20)


async def check_archive(backbone: Backbone, project: Project) -> list[Finding]:
    """Check that the archive can be read and written, how far it is, and say what the loss of Redis would cost."""
    archive = backbone.archive
    if archive is None:
        return [_cost(backbone, None)]
    try:
        async with asyncio.timeout(_WITHIN.total_seconds()):
            await archive.check(backbone.environment)
            state = await backbone.archive_state(project.uri)
    except BackboneError as error:
        return [fail(_SUBJECT, str(error))]
    except TimeoutError:
        return [fail(_SUBJECT, f"No answer within {_WITHIN.total_seconds():g} seconds; check the servers' logs.")]
    if state.events_lost:
        restore = f"{project.name} restore {project.uri}"
        return [fail(_SUBJECT, f"Redis has lost events that the archive has; restore them with: {restore}")]
    return [_progress(archive, backbone.environment, state, project), _cost(backbone, state)]


def _progress(archive: S3Archive, environment: str, state: ArchiveState, project: Project) -> Finding:
    bucket = archive.options.bucket_of(environment)
    place = f"s3://{bucket}/{below_environment(archive.options, environment, f'archive/{project.uri}/')}"
    usable = f"It can be written and read, below {place}"
    if not state.lag:
        return ok(
            _SUBJECT, usable if state.committed is None else f"{usable}; all is archived, up to {state.committed}"
        )
    done = "nothing is archived yet" if state.committed is None else f"archived up to {state.committed}"
    waits = f"{done}, the next event has waited for {_seconds(state.lag)}"
    if state.lag >= archive.late_after:
        start = f"{project.name} archive {project.uri}"
        return warn(_SUBJECT, f"{waits}; look into the log of its archiver, or if none runs start one: {start}")
    return ok(_SUBJECT, f"{usable}; {waits}")


def _cost(backbone: Backbone, state: ArchiveState | None) -> Finding:
    """Say what the loss of Redis would cost now; ``state`` is that of the archive, if there is one."""
    in_redis, not_archived, all_in_redis = payload_places(backbone, archived=state is not None)
    lag = "" if state is None else _seconds(state.lag)
    if all_in_redis and not_archived == in_redis:
        return warn(_LOSS, "It would cost everything: events and payloads are in Redis only")
    if not_archived:
        return warn(_LOSS, f"It would cost the parts of payloads that are in Redis only: {', '.join(not_archived)}")
    if in_redis:
        what = "the events" if all_in_redis else "the parts in Redis of the events"
        if state is not None and state.lag:
            return ok(_LOSS, f"It would cost at most {what} of the last {lag}, which are not archived yet")
        return ok(_LOSS, "It would cost nothing: every event is archived")
    if state is None:
        return ok(
            _LOSS,
            "It would cost no event that was acknowledged, as packs have them all; but groups would start over",
        )
    events = f"all events but those of the last {lag}, which packs have" if state.lag else "all events"
    return ok(_LOSS, f"It would cost nothing that was acknowledged: the archive has {events}")


def _seconds(lag: timedelta) -> str:
    seconds = lag.total_seconds()
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - two minutes
