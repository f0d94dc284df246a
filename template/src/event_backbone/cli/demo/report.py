"""What the demo shows: one row per event, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from event_backbone.cli.demo.processes import JournalEntry
from event_backbone.cli.demo.read_back import PayloadLocation
from event_backbone.cli.output import print_line, print_table
from event_backbone.cli.project import Project


@dataclass(frozen=True, slots=True)
class EventResult:
    """An event that was sent: where its payload was found, and each attempt to handle it."""

    sent: JournalEntry
    locations: tuple[PayloadLocation, ...]
    attempts: tuple[JournalEntry, ...]

    @property
    def in_s3(self) -> bool:
        """Whether the payload was found in S3."""
        return any(each.name.startswith("s3://") and each.size_bytes for each in self.locations)


def print_report(results: Sequence[EventResult], archived: Sequence[PayloadLocation], *, consumes: bool) -> None:
    """Write the table of events, and the objects of the archive."""
    columns = ["Event", "Key", "Where its payload is stored (as plain clients of the servers see it)"]
    rows = [[each.sent.event, each.sent.key, _locations(each)] for each in results]
    if consumes:
        columns += ["Attempts", "Handled by"]
        rows = [[*row, str(len(each.attempts)), _handlers(each)] for row, each in zip(rows, results, strict=True)]
    print_table("", columns, rows)
    for each in results[:1]:
        for record in (location.record for location in each.locations if location.record):
            print_line(f"The record of {each.sent.event}, as it was read from S3:\n  {record}")
    for segment in archived:
        print_line(f"Archived in {segment}")
    sender = f"sent by process {results[0].sent.pid}" if results else "sent"
    print_line(f"{len(results)} events {sender}.")


def print_next_steps(project: Project) -> None:
    """Write three commands that fit the project's role."""
    command = f"uv run {project.name}"
    steps = [(f"{command} events", "the events of the contract, and how to add one")]
    if project.api is not None:
        steps.append((f"{command} serve", "the web API, on http://127.0.0.1:8000/docs"))
    if project.group is not None:
        steps.append((f"{command} worker", "the handlers, until Ctrl-C"))
    steps += [(f"{command} doctor", "check the settings and the servers"), ("uv run pytest", "the project's tests")]
    print_line("Next, with REDIS_EVENT_SOURCE_ENDPOINT in the environment or .env (see .env.example):")
    for text, meaning in steps[:3]:
        print_line(f"  {text:<40} {meaning}")


def _locations(result: EventResult) -> str:
    return "\n".join(map(str, result.locations)) or "nowhere"


def _handlers(result: EventResult) -> str:
    return "\n".join(f"process {each.pid}: {each.outcome}" for each in result.attempts) or "nobody"
