"""The commands of a project: those that make sense for it, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from event_backbone.cli import (
    add_events,
    archive,
    bucket,
    dead_letters,
    debug,
    demo,
    doctor,
    erase,
    events,
    explain,
    forward,
    group,
    groups,
    health,
    migrate,
    pending,
    produce,
    read,
    replay,
    restore,
    root_options,
    serve,
    trim,
    worker,
)

if TYPE_CHECKING:
    from event_backbone.cli.project import Project


def build_cli(project: Project) -> typer.Typer:
    """Make the command line of a project; ``run`` runs it. Nothing is imported or connected before a command needs it.

    Without an API there is no ``serve``, without a consumer group no ``worker``, ``pending``, ``dead-letters`` and
    ``group``, without handlers no ``replay`` and ``debug``, without an archive no ``archive``, without all three no
    ``health``, without producing no ``produce``, without S3 no ``bucket``, without S3 and an archive no ``restore``.
    """
    cli = typer.Typer(
        name=project.name,
        help=f"Events of {project.contract.__name__}, on the stream {project.uri!r}.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"obj": project},
    )
    cli.callback()(root_options.options)
    _add_demo(cli)
    if project.api is not None:
        cli.command()(serve.serve)
    if project.open_worker is not None:
        cli.command()(worker.worker)
    if project.archives:
        cli.command()(archive.archive)
    if project.api is not None or project.has_worker_health:
        cli.command()(health.health)
    if project.produces:
        cli.command()(produce.produce)
    for command in (read.tail, read.show, explain.explain, erase.erase, trim.trim, migrate.migrate, groups.groups):
        cli.command()(command)
    _add_consuming(cli, project)
    _add_events_and_forward(cli)
    if project.s3_options is not None or project.archives:
        cli.command()(restore.restore)
    if project.s3_options is not None:
        cli.add_typer(_bucket(), name="bucket")
    cli.command()(doctor.doctor)
    return cli


def _add_demo(cli: typer.Typer) -> None:
    cli.command()(demo.demo)
    cli.command("_send-every-event", hidden=True)(demo.send_every_event)
    cli.command("_handle-every-event", hidden=True)(demo.handle_every_event)


def _add_consuming(cli: typer.Typer, project: Project) -> None:
    if project.group is not None:
        cli.command()(pending.pending)
        cli.add_typer(_dead_letters(project.group), name="dead-letters")
        cli.add_typer(_group(project.group), name="group")
    if project.consumer is not None:
        cli.command()(replay.replay)
        cli.command()(debug.debug)


def _add_events_and_forward(cli: typer.Typer) -> None:
    cli.add_typer(_events(), name="events")
    cli.add_typer(_forward(), name="forward")


def _dead_letters(name: str) -> typer.Typer:
    commands = typer.Typer(
        help=f"Events that a group gave up on: {name}, unless --group before the command names another.",
        no_args_is_help=True,
    )
    commands.command("list")(dead_letters.list_dead_letters)
    commands.command()(dead_letters.count)
    commands.command()(dead_letters.show)
    commands.command()(dead_letters.redrive)
    commands.command()(dead_letters.discard)
    return commands


def _group(name: str) -> typer.Typer:
    commands = typer.Typer(
        help=f"Where a group reads on: {name}, unless --group before the command names another.",
        no_args_is_help=True,
    )
    commands.command()(group.seek)
    commands.command()(group.delete)
    return commands


def _events() -> typer.Typer:
    commands = typer.Typer(invoke_without_command=True)
    commands.callback()(events.events)
    commands.command()(add_events.add)
    return commands


def _forward() -> typer.Typer:
    commands = typer.Typer(invoke_without_command=True)
    commands.callback()(forward.forward)
    commands.command()(forward.verify)
    commands.command("list")(forward.list_links)
    return commands


def _bucket() -> typer.Typer:
    commands = typer.Typer(no_args_is_help=True)
    commands.callback()(bucket.bucket)
    commands.command()(bucket.create)
    commands.command()(bucket.policy)
    commands.command()(bucket.lifecycle)
    return commands
