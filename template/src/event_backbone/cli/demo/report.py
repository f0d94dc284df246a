"""What the demo shows: one row per event, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from event_backbone.cli.demo.processes import Told
from event_backbone.cli.demo.read_back import Place
from event_backbone.cli.output import print_line, print_table
from event_backbone.cli.project import Project


@dataclass(frozen=True, slots=True)
class LoadedEvent:
    """An event that was sent: where its payload was found, and each attempt to handle it."""

    sent: Told
    places: tuple[Place, ...]
    attempts: tuple[Told, ...]

    @property
    def in_s3(self) -> bool:
        """Whether the payload was found in S3."""
        return any(place.name.startswith("s3://") and place.size_bytes for place in self.places)


def print_report(arrived: Sequence[LoadedEvent], *, consumes: bool, took: timedelta) -> None:
    """Write the table of events."""
    columns = ["Event", "Key", "Where its payload lies (found by clients of the demo's own)"]
    rows = [[each.sent.event, each.sent.key, _places(each)] for each in arrived]
    if consumes:
        columns += ["Attempts", "Handled by"]
        rows = [[*row, str(len(each.attempts)), _handlers(each)] for row, each in zip(rows, arrived, strict=True)]
    print_table("", columns, rows)
    sender = f"sent by process {arrived[0].sent.pid}" if arrived else "sent"
    print_line(f"{len(arrived)} events {sender} in {took.total_seconds():.1f} seconds; servers and processes are gone.")


def print_next_steps(project: Project) -> None:
    """Write three commands that fit the project's role."""
    command = f"uv run {project.name}"
    steps = [(f"{command} events", "what the contract has, and how to add an event")]
    if project.api is not None:
        steps.append((f"{command} serve", "the web API, on http://127.0.0.1:8000/docs"))
    if project.group is not None:
        steps.append((f"{command} worker", "the handlers, until Ctrl-C"))
    steps += [(f"{command} doctor", "are the settings and servers right?"), ("uv run pytest", "the project's tests")]
    print_line("Next, with REDIS_EVENT_SOURCE_ENDPOINT in the environment or .env (see .env.example):")
    for text, meaning in steps[:3]:
        print_line(f"  {text:<40} {meaning}")


def _places(arrived: LoadedEvent) -> str:
    return "\n".join(f"{place.name} ({place.size_bytes} bytes)" for place in arrived.places) or "nowhere"


def _handlers(arrived: LoadedEvent) -> str:
    return "\n".join(f"process {each.pid}: {each.outcome}" for each in arrived.attempts) or "nobody"
