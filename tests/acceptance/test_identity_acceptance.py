"""What names an event, and what is a value: the rest of the acceptance list that needs no server."""

from event_backbone import Consumer, Context, Contract, EventKey, event
from event_backbone.backbone import Backbone
from event_backbone.storage import S3Options
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


def test_item_9_an_event_is_known_by_its_name_and_version_alone() -> None:
    """No class or type name of Python is part of it, so that renaming them changes nothing."""
    first, second = Executions.execute.definition, Executions.execute_with_priority.definition
    assert (first.name, first.version) == ("execute", 1)
    assert (second.name, second.version) == ("execute", 2)


def test_item_17_s3_options_are_values() -> None:
    """Equal options are one, as keys of a mapping too."""
    one, same = (S3Options(bucket="shipments", region="eu-central-1") for _ in range(2))
    other = S3Options(bucket="others", region="eu-central-1")
    assert one == same
    assert one != other
    assert len({one, same, other}) == 2


def test_item_18_an_event_key_has_one_text() -> None:
    """The text that produce calls return, web paths hold, and readers take."""
    assert str(EventKey.parse("1764041094123-0")) == "1764041094123-0"


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
