"""Events that are deprecated: who is told, and who is not."""

import asyncio
import warnings
from collections.abc import Iterator
from inspect import currentframe

import pytest
from fastapi import FastAPI

from event_backbone import Consumer, Context, Contract, ContractError, event
from event_backbone.contract import events_of, send_of
from event_backbone.testing import context, memory_backbone
from event_backbone.web import event_routes

TEXT = "Event Parcels.packing is deprecated: use packed instead."


class Parcels(Contract):
    """What happens to parcels."""

    @event(deprecated="use packed instead")
    def packing(self, number: int) -> None:
        """The parcel is being packed."""

    @event
    def packed(self, number: int) -> None:
        """The parcel is packed."""


@pytest.fixture
def warned() -> Iterator[list[warnings.WarningMessage]]:
    """What was warned of, each place once, as Python does by default."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        yield caught


def _next_line() -> int:
    frame = currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno + 1


async def test_producers_are_warned_at_the_line_of_their_call(warned: list[warnings.WarningMessage]) -> None:
    """Once for each place, also through a task and ``using``, and the event is produced; others are not warned of."""
    async with memory_backbone() as backbone:
        parcels = backbone.producer(Parcels, uri="parcels")
        await parcels.packed(0)
        lines = [_next_line() + 1]
        for number in (1, 2):
            await parcels.packing(number)  # pyright: ignore[reportDeprecated]
        lines.append(_next_line())
        await asyncio.create_task(parcels.packing(3))  # pyright: ignore[reportDeprecated]
        lines.append(_next_line())
        await parcels.packing.using(correlation_id="order-1")(4)  # pyright: ignore[reportDeprecated]
        produced = [each.arguments["number"] async for each in backbone.reader("parcels").scan()]
    assert produced == [0, 1, 2, 3, 4]
    assert [(str(each.message), each.category, each.filename) for each in warned] == [
        (TEXT, DeprecationWarning, __file__)
    ] * 3
    assert [each.lineno for each in warned] == lines


async def test_who_handles_or_reads_it_is_not_warned(warned: list[warnings.WarningMessage]) -> None:
    """Nor is code that sends whatever event others choose, such as the web API, which says so in its OpenAPI."""
    consumer, numbers = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packing)
    async def packing(ctx: Context, number: int) -> None:
        numbers.append(number)

    async with memory_backbone() as backbone:
        key = await send_of(backbone.producer(Parcels, uri="parcels"), events_of(Parcels)[0])(1)
        async with backbone.subscribe(consumer, uri="parcels", group="main", max_events=1) as subscription:
            await subscription.wait()
        read = (await backbone.reader("parcels").get(key)).as_(Parcels.packing)
        await packing(context(), **read.arguments)
    assert numbers == [1, 1]
    app = FastAPI()
    app.include_router(event_routes(Parcels, uri="parcels"))
    paths = app.openapi()["paths"]
    assert {path: about["post"].get("deprecated") for path, about in paths.items() if "post" in about} == {
        "/events/packing": True,
        "/events/packed": None,
    }
    assert warned == []


def test_a_deprecation_says_what_to_do_instead() -> None:
    """An empty one is refused when the class is made."""

    def packing(self: Contract) -> None: ...

    with pytest.raises(ContractError, match="deprecated= of event 'packing' must say what to do instead"):
        type("Silent", (Contract,), {"packing": event(deprecated=" ")(packing)})
