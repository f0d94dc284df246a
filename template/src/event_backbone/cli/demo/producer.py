"""The demo's producer: every event of the contract once, with made-up arguments."""

from __future__ import annotations

from typing import cast

from event_backbone.cli.journal import Journal
from event_backbone.cli.project import Project
from event_backbone.contract import Send, events_of
from event_backbone.testing.samples import sample_json


async def send_every_event(project: Project, journal: int) -> None:
    """Send the events in the contract's order, and write the key of each to the journal."""
    told = Journal(journal)
    arguments = [(each, each.codec.parse(sample_json(each))) for each in events_of(project.contract)]
    async with project.open_backbone() as backbone:
        producer = backbone.producer(project.contract, uri=project.uri)
        for definition, values in arguments:
            key = await cast("Send[...]", getattr(producer, definition.attribute))(**values)
            told.write(key=str(key), event=definition.attribute)
