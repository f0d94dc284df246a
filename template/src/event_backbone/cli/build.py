"""The commands of a project: those that make sense for it, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from event_backbone.cli import bucket, dead_letters, demo, doctor, events, pending, produce, read, serve, worker

if TYPE_CHECKING:
    from event_backbone.cli.project import Project


def build_cli(project: Project) -> typer.Typer:
    """Make the command line of a project; ``run`` runs it. Nothing is imported or connected before a command needs it.

    Without an API there is no ``serve``, without a consumer group no ``worker``, ``pending`` and ``dead-letters``,
    without producing no ``produce``, and without S3 no ``bucket``.
    """
    cli = typer.Typer(
        name=project.name,
        help=f"Events of {project.contract.__name__}, on the stream {project.uri!r}.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    demo.add_to(cli, project)
    if project.api is not None:
        serve.add_to(cli, project.api)
    if project.subscribe is not None:
        worker.add_to(cli, project, project.subscribe)
    if project.produces:
        produce.add_to(cli, project)
    read.add_to(cli, project)
    if project.group is not None:
        pending.add_to(cli, project, project.group)
        dead_letters.add_to(cli, project, project.group)
    events.add_to(cli, project)
    if project.s3 is not None:
        bucket.add_to(cli, project, project.s3)
    doctor.add_to(cli, project)
    return cli
