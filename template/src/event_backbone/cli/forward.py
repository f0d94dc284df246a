"""`forward`: copy the project's events to another Redis, environment or URI, and compare both sides."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic_core import from_json

from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.events import complete_event, event_of
from event_backbone.cli.exit_watchdog import start_exit_watchdog
from event_backbone.cli.logs import LogLevel
from event_backbone.cli.origin import Origin
from event_backbone.cli.output import counted, print_json, print_line, print_table
from event_backbone.cli.project import project_of, without_server_warnings
from event_backbone.cli.read import start_of
from event_backbone.cli.until_signal import (
    HealthHost,
    HealthPort,
    LeastSevere,
    health_address,
    run_until_signal,
)
from event_backbone.settings import RedisSettings

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project
    from event_backbone.forward import Forwarder, VerifyReport

ENDPOINT_VARIABLE = "FORWARD_REDIS_ENDPOINT"
PASSWORD_VARIABLE = "FORWARD_REDIS_PASS"  # noqa: S105 - the name of the variable

_REDIS_HELP = f"The target's Redis; by default {ENDPOINT_VARIABLE} with {PASSWORD_VARIABLE}, else the project's own."
_SITE_HELP = "The target's site, if its environment and URI are the same as the project's."
_NAME_HELP = "What tells links into one stream apart; by default the source's identity."
_START_HELP = "Where a new link begins: beginning, now, an event key, or a time such as 2025-01-31T12:00:00Z."
_END_HELP = "End before this event key or time; like --once."


@dataclass(frozen=True, slots=True)
class _Link:
    """What the options before a command say of the link."""

    redis: str | None
    environment: str | None
    uri: str | None
    site: str | None
    arguments: dict[str, Any]


def forward(  # noqa: PLR0917 - Typer passes them by name
    ctx: typer.Context,
    to_redis: Annotated[str | None, typer.Option(metavar="ENDPOINT", help=_REDIS_HELP)] = None,
    to_environment: Annotated[str | None, typer.Option(metavar="NAME", help="The target's environment.")] = None,
    to_uri: Annotated[str | None, typer.Option(metavar="URI", help="The target's URI.")] = None,
    to_site: Annotated[str | None, typer.Option(metavar="NAME", help=_SITE_HELP)] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help=_NAME_HELP)] = None,
    events: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="NAME", help="Only this event; may repeat.", autocompletion=complete_event),
    ] = None,
    origin: Annotated[Origin, typer.Option(help="Only events that were produced to the source, or forwarded.")] = (
        Origin.ANY
    ),
    start: Annotated[str | None, typer.Option(help=_START_HELP)] = None,
    end: Annotated[str | None, typer.Option(help=_END_HELP)] = None,
    rate: Annotated[float | None, typer.Option(help="At most so many events a second.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End with the newest event that is there now.")] = False,
    health_port: HealthPort = None,
    health_host: HealthHost = None,
    log_level: LeastSevere = LogLevel.INFO,
) -> None:
    """Forward events to another Redis, environment or URI until Ctrl-C or SIGTERM, each once."""
    project = project_of(ctx)
    wanted = [event_of(project.contract, each) for each in events] if events else None
    filters: dict[str, Any] = {"to_uri": to_uri, "name": name, "events": wanted, "origin": origin.wanted}
    link = ctx.meta["link"] = _Link(to_redis, to_environment, to_uri, to_site, filters)
    if ctx.invoked_subcommand is not None:
        return
    options = {**filters, **_bounds(start, end), "rate": rate, "follow": not once and end is None}
    if not options["follow"] and (health_port is not None or health_host is not None):
        fail("Give --once or a health port, not both.", USAGE_ERROR)
    project.configure_logging(log_level.number)
    health = (health_host, health_port)
    run_async(_forward(project, link, options, health) if options["follow"] else _once(project, link, options))


def verify(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on one line.")] = False,
) -> None:
    """Compare source and target, as far as the link has forwarded; give its options before this command."""
    link: _Link = ctx.meta["link"]
    report = run_async(_verify(project_of(ctx), link))
    if as_json:
        print_json(_facts(report))
    else:
        for line in _lines(report):
            print_line(line)
    if not report.ok:
        fail("Source and target differ.")


def list_links(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the links that forward to the project's own stream, and how far each is."""
    project = project_of(ctx)
    rows = run_async(_links(project))
    if as_json:
        for each in rows:
            print_json(each)
    elif not rows:
        print_line(f"Nothing forwards to stream {project.uri}.")
    else:
        print_table(
            "", [each.replace("_", " ").capitalize() for each in rows[0]], [list(each.values()) for each in rows]
        )


def _bounds(start: str | None, end: str | None) -> dict[str, Any]:
    last = None if end is None else start_of(end)
    return {"start": None if start is None else start_of(start), "end": None if last == "now" else last}


async def _forward(
    project: Project, link: _Link, options: dict[str, Any], health: tuple[str | None, int | None]
) -> None:
    from event_backbone.worker import Worker  # noqa: PLC0415 - only what runs for long pays for it

    settings = project.load_settings()
    address = health_address(project, settings, health)
    async with project.open_backbone(settings) as backbone, _target(backbone, link) as target:
        forwarder = backbone.forwarder(project.uri, to=target, **options)
        await run_until_signal(Worker(forwarder), backbone, address)
    start_exit_watchdog()


async def _once(project: Project, link: _Link, options: dict[str, Any]) -> None:
    async with project.open() as backbone, _target(backbone, link) as target:
        await target.links(link.uri or project.uri)  # an outage ends the command, at its beginning
        async with backbone.forwarder(project.uri, to=target, **options) as forwarder:
            await forwarder.wait()
    print_line(_done(forwarder))
    if gone := forwarder.skipped.get("gone", 0):
        fail(f"{counted(gone, 'event')} could not be forwarded, as the payload is gone; the log names them.")


async def _verify(project: Project, link: _Link) -> VerifyReport:
    async with project.open() as backbone, _target(backbone, link) as target:
        return await backbone.verify_forward(project.uri, to=target, **link.arguments)


async def _links(project: Project) -> list[dict[str, object]]:
    async with project.open() as backbone:
        links = await backbone.links(project.uri)
    rows: list[dict[str, object]] = []
    for each in links:
        forwards = from_json(each.forwards)
        events = "all" if forwards["events"] is None else ", ".join(forwards["events"])
        is_new = each.checkpoint.milliseconds == 0
        rows.append(
            {
                "link": each.name,
                "source": forwards["source"],
                "events": events,
                "origin": forwards["origin"],
                "checkpoint": "" if is_new else str(each.checkpoint),
                "forwarded_until": None if is_new else each.checkpoint.time,
            }
        )
    return rows


@asynccontextmanager
async def _target(backbone: Backbone, link: _Link) -> AsyncGenerator[Backbone]:
    """Open the project's own backbone on the Redis and environment of the target."""
    endpoint = link.redis or os.environ.get(ENDPOINT_VARIABLE)
    redis = None if not endpoint else RedisSettings.parse(endpoint, os.environ.get(PASSWORD_VARIABLE) or None)
    elsewhere = backbone.elsewhere(redis, environment=link.environment, site=link.site)
    async with without_server_warnings(), elsewhere as target:
        yield target


def _done(forwarder: Forwarder) -> str:
    skipped = ", ".join(f"{count:,} {reason}" for reason, count in sorted(forwarder.skipped.items()))
    text = f"Forwarded {counted(forwarder.handled, 'event')} of {forwarder.uri} to {forwarder.target}"
    position = forwarder.position
    if position is not None and position.milliseconds:
        text += f", up to {position}"
    return f"{text}; not forwarded: {skipped}." if skipped else f"{text}."


def _facts(report: VerifyReport) -> dict[str, object]:
    facts: dict[str, object] = {"link": report.link, "checkpoint": str(report.checkpoint), "ok": report.ok}
    facts |= {"equal": report.equal, "other_way": report.other_way, "unchecked": report.unchecked}
    for name in ("missing", "duplicates", "differing", "extra"):
        found = getattr(report, name)
        facts[name] = {"count": found.count, "keys": [str(each) for each in found.keys]}
    return facts


def _lines(report: VerifyReport) -> list[str]:
    lines = [f"{counted(report.equal, 'event')} of link {report.link} up to {report.checkpoint}: same on both sides."]
    if report.other_way:
        lines.append(f"  {counted(report.other_way, 'event')} came to the target another way.")
    if report.unchecked:
        lines.append(f"  {counted(report.unchecked, 'event')} cannot be compared: they have left the source.")
    for name, what in (
        ("missing", "not in the target"),
        ("duplicates", "more than once in the target, or out of order"),
        ("differing", "not the same on both sides"),
        ("extra", "in the target alone"),
    ):
        found = getattr(report, name)
        if found.count:
            lines.append(f"  {counted(found.count, 'event')} {what}; the first: {', '.join(map(str, found.keys))}.")
    return lines
