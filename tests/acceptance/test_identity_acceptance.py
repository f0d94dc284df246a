"""What names an event, and what is a value, by the numbers of the acceptance list."""

import json
from typing import cast

import pytest
from pydantic import RootModel, TypeAdapter, ValidationError
from redis.asyncio import Redis

from event_backbone import Backbone, ConfigurationError, Consumer, Context, Contract, EventKey, event
from event_backbone.storage import S3Options
from tests.acceptance.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.parcels import run_to_the_end


class Executions(Contract):
    """One wire name in two versions: what overloads of an operation were."""

    @event
    def execute(self, command: str) -> None:
        """The first form."""

    @event(version=2, name="execute")
    def execute_with_priority(self, command: str, priority: int) -> None:
        """The second form."""


async def test_item_5_one_name_in_two_versions_reaches_the_handler_of_its_version(backbone: Backbone) -> None:
    """Each handler gets the form that it takes."""
    seen: list[tuple[object, ...]] = []
    consumer = Consumer(Executions)

    @consumer.on(Executions.execute)
    async def plain(ctx: Context, command: str) -> None:
        seen.append((command,))

    @consumer.on(Executions.execute_with_priority)
    async def urgent(ctx: Context, command: str, priority: int) -> None:
        seen.append((command, priority))

    producer = backbone.producer(Executions, uri="executions")
    await producer.execute("stop")
    await producer.execute_with_priority("go", 3)
    await run_to_the_end(backbone.subscribe(consumer, uri="executions", group="main", max_events=2))
    assert sorted(seen, key=len) == [("stop",), ("go", 3)]


class Command(RootModel[str]):
    """A separate type for what was a text."""


class Renamed(Contract):
    """The same events on the wire, under other names of class, methods and types."""

    @event(name="execute")
    def run(self, command: Command) -> None:
        """The first form."""

    @event(version=2, name="execute")
    def run_with_priority(self, command: Command, priority: float) -> None:
        """The second form."""


async def test_item_9_an_event_is_known_by_its_name_and_version_alone(
    backbone: Backbone, deployment: Deployment
) -> None:
    """No class or type name of Python is part of what is written, so that renaming them changes nothing."""
    producer = backbone.producer(Executions, uri="executions")
    await producer.execute("stop")
    await producer.execute_with_priority("go", 3)
    first, second = [each async for each in backbone.reader("executions").scan()]
    assert [(each.metadata.event, each.metadata.version) for each in (first, second)] == [
        ("execute", 1),
        ("execute", 2),
    ]
    assert first.as_(Renamed.run).arguments == {"command": Command("stop")}
    assert second.as_(Renamed.run_with_priority).arguments == {"command": Command("go"), "priority": 3.0}
    assert [each.arguments for each in (first, second)] == [{"command": "stop"}, {"command": "go", "priority": 3}]
    if deployment.redis is not None:  # where what is written can be looked at
        async with Redis.from_url(deployment.redis) as redis:
            entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrange("test:executions"))
            documents = [json.loads(fields[b"metadata"]) for _, fields in entries]
        assert [document.keys() for document in documents] == [{"id", "event", "version", "at", "size", "payload"}] * 2


def test_item_17_s3_options_are_values() -> None:
    """Equal options are one, as keys of a mapping too."""
    one, same = (S3Options(bucket="shipments", region="eu-central-1") for _ in range(2))
    other = S3Options(bucket="others", region="eu-central-1")
    assert one == same
    assert one != other
    assert len({one, same, other}) == 2


def test_item_18_an_event_key_has_one_text() -> None:
    """The text in web paths, which readers accept, is also its JSON; nothing else is taken for a key."""
    keys = TypeAdapter(EventKey)
    for text, key in (
        ("1764041094123-0", EventKey(1764041094123)),
        ("1764041094123-7", EventKey(1764041094123, 7)),
        ("1764041094123-7~2", EventKey(1764041094123, 7, 2)),
    ):
        assert (EventKey.parse(text), str(key)) == (key, text)
        assert keys.dump_json(key) == f'"{text}"'.encode()
        assert keys.validate_json(f'"{text}"') == key
    for text in ("", "1764041094123", "1764041094123-", "x1764041094123-0", "1764041094123-0 ", "1764041094123-0~"):
        with pytest.raises(ConfigurationError, match="is not a valid event key"):
            EventKey.parse(text)
        with pytest.raises(ValidationError):
            keys.validate_python(text)


async def test_item_22_two_groups_with_three_handlers_each(backbone: Backbone) -> None:
    """Each handler of each group gets each event once."""
    calls: list[tuple[str, int]] = []

    def consumer_of(group: str) -> Consumer[Executions]:
        consumer = Consumer(Executions)

        def add(name: str) -> None:
            @consumer.on(Executions.execute)
            async def handle(ctx: Context, command: str) -> None:
                calls.append((f"{group}-{name}", int(command)))

        for name in "abc":
            add(name)
        return consumer

    producer = backbone.producer(Executions, uri="executions")
    for number in range(3):
        await producer.execute(str(number))
    async with (
        backbone.subscribe(consumer_of("left"), uri="executions", group="left"),
        backbone.subscribe(consumer_of("right"), uri="executions", group="right"),
    ):
        await eventually(lambda: len(calls) == 18)
    assert len(set(calls)) == len(calls)
