"""The command line of a project: `build_cli(project)` makes it, `run(cli)` runs it.

A project's `cli.py` wires these to its parts, and its `__main__.py` runs it::

    cli = build_cli(Project(name="shipment-tracking", module="shipment_tracking", ...))

    run("shipment_tracking.cli:cli")
"""

from event_backbone.cli.commands import build_cli
from event_backbone.cli.errors import run
from event_backbone.cli.project import Project

__all__ = ["Project", "build_cli", "run"]
