"""What a failover may lose right now, and whether it comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from event_backbone.cli.doctor.finding import Finding, ok, warn
from event_backbone.cli.doctor.payload_places import payload_places
from event_backbone.cli.output import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from event_backbone.backbone import Backbone
    from event_backbone.cli.doctor.primaries import Primary
    from event_backbone.cli.project import Project

_SUBJECT = "Failover"


def check_failover(backbone: Backbone, project: Project, primaries: Sequence[Primary]) -> list[Finding]:
    """Say what a replica that takes over may lack of what was acknowledged; nothing if no replica is seen."""
    most = max((len(each.replicas) for each in primaries), default=0)
    if not most:
        return []
    confirmed = backbone.min_replicas
    if confirmed >= most:
        return [ok(_SUBJECT, "It loses no event: each is on every replica when its produce call returns")]
    if confirmed:
        text = f"Each event is on {counted(confirmed, 'replica')} when its produce call returns"
        return [ok(_SUBJECT, f"{text}; it is lost only if another replica takes over")]
    return [_unconfirmed(backbone, project)]


def _unconfirmed(backbone: Backbone, project: Project) -> Finding:
    """Say it of events that nobody waits for a replica to have."""
    loses = "It may lose events of the last moments, as replicas follow later"
    places = payload_places(backbone, archived=backbone.archive is not None)
    if not places.in_redis:
        return ok(_SUBJECT, f"{loses}; their records are in S3: {project.name} restore brings them back")
    if places.all_in_redis:
        back = "nothing brings them back" if places.not_archived else "only those archived by then come back"
    else:
        back = f"they come back without their parts in {', '.join(places.in_redis)}"
        back += "" if places.not_archived else " that were not archived by then"
    return warn(_SUBJECT, f"{loses}, and {back}; Backbone(min_replicas=1) waits for a replica.")
