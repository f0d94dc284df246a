"""Which links forward to the stream, and how far is each?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from event_backbone.cli.doctor.finding import Finding, ok, warn
from event_backbone.cli.output import when
from event_backbone.errors import BackboneError

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project


async def check_links(backbone: Backbone, project: Project) -> list[Finding]:
    """Name every link into the stream; what its source has beyond that is not known here."""
    try:
        links = await backbone.links(project.uri)
    except BackboneError as error:
        return [warn("Links", str(error))]
    return [
        ok(
            f"Link {each.name}",
            f"It has forwarded up to {each.checkpoint} of its source, {when(each.checkpoint.time)}"
            if each.checkpoint.milliseconds
            else "It has forwarded nothing yet",
        )
        for each in links
    ]
