"""Does anything still refer to a storage that is only read?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from event_backbone.cli.doctor.finding import Finding, ok, warn
from event_backbone.cli.migrate import referring
from event_backbone.errors import BackboneError

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project


async def check_migration(backbone: Backbone, project: Project) -> list[Finding]:
    """Say of each storage of ``also_read`` whether it can be taken away."""
    try:
        found = await backbone.still_in(project.uri)
    except BackboneError as error:
        return [warn("Old storages", str(error))]
    findings: list[Finding] = []
    for name, still in found.items():
        if still.nothing:
            archive = "" if backbone.archive is None else ", but a restore may need it for what is only archived"
            findings.append(ok(f"Storage {name}", f"Nothing in Redis refers to it{archive}; it may be taken away"))
        else:
            text = f"{referring(still)} refer to it; move them: {project.name} migrate --from {name}"
            findings.append(ok(f"Storage {name}", text))
    return findings
