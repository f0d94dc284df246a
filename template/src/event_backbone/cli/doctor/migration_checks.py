"""Does anything still refer to a storage that is only read?"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from event_backbone.cli.doctor.finding import Finding, ok, warn
from event_backbone.cli.migrate import referring
from event_backbone.errors import BackboneError

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project

_WITHIN = timedelta(seconds=20)


async def check_migration(backbone: Backbone, project: Project) -> list[Finding]:
    """Say of each storage of ``also_read`` whether it can be taken away, and of others what needs them."""
    try:
        async with asyncio.timeout(_WITHIN.total_seconds()):
            found = await backbone.storage_references(project.uri)
    except TimeoutError:
        within = f"{_WITHIN.total_seconds():g} seconds"
        return [ok("Old storages", f"The stream is too long to say within {within} what refers to them")]
    except BackboneError as error:
        return [warn("Old storages", str(error))]
    findings: list[Finding] = []
    for name, still in found.items():
        if not still.given:
            archive = "" if backbone.archive is None else ", unless the archive has copies"
            text = f"{referring(still)} refer to it, and the project has no such storage, so they wait{archive}"
            findings.append(warn(f"Storage {name}", f"{text}; add it to also_read="))
        elif still.nothing:
            archive = "" if backbone.archive is None else ", but a restore may need it for what is only archived"
            findings.append(ok(f"Storage {name}", f"Nothing in Redis refers to it{archive}; it may be taken away"))
        else:
            text = f"{referring(still)} refer to it; move them: {project.name} migrate --from {name}"
            findings.append(ok(f"Storage {name}", text))
    return findings
