"""The demo's producer: every event of the contract once, with sample arguments."""

from __future__ import annotations

from event_backbone.cli.demo.journal import Journal
from event_backbone.cli.project import Project
from event_backbone.contract import events_of, send_of
from event_backbone.testing.samples import sample_json


async def produce_every_event(project: Project, descriptor: int) -> None:
    """Send the events in the contract's order, and write the key of each to the journal at this file descriptor."""
    journal = Journal(descriptor)
    arguments = [(each, each.codec.parse(sample_json(each))) for each in events_of(project.contract)]
    async with project.open() as backbone:
        producer = backbone.producer(project.contract, uri=project.uri)
        for definition, values in arguments:
            key = await send_of(producer, definition)(**values)
            journal.write(key=str(key), event=definition.attribute)
