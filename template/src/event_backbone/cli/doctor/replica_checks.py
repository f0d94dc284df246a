"""Who could take over from a primary that is lost, and how far behind they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from event_backbone.cli.doctor.finding import Finding, fail, ok, warn
from event_backbone.cli.doctor.primaries import on_each
from event_backbone.cli.output import bytes_text, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from event_backbone.cli.doctor.primaries import Primary

_SUBJECT = "Replicas"
_SILENT_SECONDS = 10  # replicas report every second


def check_replicas(primaries: Sequence[Primary], topology: str, min_replicas: int) -> list[Finding]:
    """Check that each primary has as many replicas in sync as are needed."""

    def check(primary: Primary) -> Finding:
        return _too_few(primary, min_replicas) or _none(primary, topology) or _late(primary) or _in_sync(primary)

    return on_each(primaries, check)


def _too_few(primary: Primary, min_replicas: int) -> Finding | None:
    if primary.in_sync >= min_replicas:
        return None
    there = counted(primary.in_sync, "replica")
    return fail(
        _SUBJECT,
        f"min_replicas is {min_replicas}, but there is {there} in sync, so produce calls raise OutcomeUnknown; add "
        "replicas, or lower it.",
    )


def _none(primary: Primary, topology: str) -> Finding | None:
    if primary.replicas:
        return None
    if topology == "single":
        return ok(_SUBJECT, "None: while the server is away, producers raise and workers wait")
    return warn(_SUBJECT, "None: if this primary is lost, nobody takes over; add a replica.")


def _late(primary: Primary) -> Finding | None:
    late = [
        f"{each.address} ({'is silent for ' + str(each.silent_seconds) + ' s' if each.in_sync else each.state})"
        for each in primary.replicas
        if not each.in_sync or each.silent_seconds >= _SILENT_SECONDS
    ]
    return warn(_SUBJECT, f"Not in sync: {', '.join(late)}; look at its log.") if late else None


def _in_sync(primary: Primary) -> Finding:
    behind = bytes_text(max(each.behind_bytes for each in primary.replicas))
    most = "at most " if len(primary.replicas) > 1 else ""
    return ok(_SUBJECT, f"{counted(len(primary.replicas), 'replica')} in sync, {most}{behind} behind")
