"""Environments and URIs: which stream an event goes to, by the numbers of the acceptance list."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from event_backbone import Consumer, Context, EventNotFound
from tests.acceptance.deployment import ON_SERVERS, Deployment
from tests.support.eventually import eventually
from tests.support.parcels import stopped_within
from tests.support.shipment import URI, ShipmentTracking, consume

DEV, PROD = "dev", "prod"


def noting(into: list[tuple[str, str]]) -> Consumer[ShipmentTracking]:
    """Return a consumer that appends the environment and the text of each note."""
    consumer = Consumer(ShipmentTracking)

    @consumer.on(ShipmentTracking.note)
    async def note(ctx: Context, text: str) -> None:
        into.append((ctx.metadata.environment, text))

    return consumer


@ON_SERVERS
async def test_item_21_events_reach_the_consumers_of_their_environment_alone(deployment: Deployment) -> None:
    """Three events in each of two environments, once each; the other environment's consumer runs meanwhile."""
    in_prod, in_dev = list[tuple[str, str]](), list[tuple[str, str]]()
    async with (
        deployment.backbone(environment="Production") as prod,
        deployment.backbone(environment=DEV) as dev,
        stopped_within(dev.subscribe(noting(in_dev), uri=URI, group="g")),
    ):
        for text in ("a", "b", "c"):
            await prod.producer(ShipmentTracking, uri=URI).note(text)
        await consume(prod, noting(in_prod), 3)
        assert in_dev == []
        for text in ("d", "e", "f"):
            await dev.producer(ShipmentTracking, uri=URI).note(text)
        await eventually(lambda: len(in_dev) >= 3)
    assert sorted(in_prod) == [(PROD, "a"), (PROD, "b"), (PROD, "c")]
    assert sorted(in_dev) == [(DEV, "d"), (DEV, "e"), (DEV, "f")]


@ON_SERVERS
async def test_item_25_a_reader_of_another_environment(deployment: Deployment) -> None:
    """Finds what was produced there, and nothing of this one."""
    async with deployment.backbone(environment=DEV) as dev, deployment.backbone(environment="test") as other:
        key = await dev.producer(ShipmentTracking, uri=URI).note("dev")
        with pytest.raises(EventNotFound):
            await other.reader(URI).get(key)
    async with deployment.backbone(environment=DEV) as later:
        assert (await later.reader(URI).get(key)).arguments == {"text": "dev"}


def route(text: str) -> tuple[str, str]:
    """Choose environment and URI by the content of the event, as a program may."""
    return DEV, f"shop/{text[0]}"


@ON_SERVERS
async def test_item_33_events_are_routed_to_six_streams_and_received_separately(deployment: Deployment) -> None:
    """Another environment, a prefix, a suffix, and URIs that a function of the program chooses for each event."""
    sent = [
        ((DEV, "shop"), "plain"),
        ((PROD, "shop"), "another environment"),
        ((DEV, "north/shop"), "prefix"),
        ((DEV, "shop/returns"), "suffix"),
        *((route(text), text) for text in ("apples", "bread", "avocados", "beans")),
    ]
    expected: dict[tuple[str, str], list[str]] = {}
    for stream, text in sent:
        expected.setdefault(stream, []).append(text)
    received: dict[tuple[str, str], list[tuple[str, str]]] = {stream: [] for stream in expected}

    async with AsyncExitStack() as stack:
        backbones = {
            name: await stack.enter_async_context(deployment.backbone(environment=name)) for name in (DEV, PROD)
        }
        for (environment, uri), text in sent:
            await backbones[environment].producer(ShipmentTracking, uri=uri).note(text)
        await asyncio.gather(
            *(
                consume(backbones[environment], noting(received[environment, uri]), len(texts), uri=uri)
                for (environment, uri), texts in expected.items()
            )
        )
        for (environment, uri), texts in expected.items():
            found = [each async for each in backbones[environment].reader(uri).scan()]
            assert [each.arguments["text"] for each in found] == texts
    assert len(expected) == 6
    for stream, texts in expected.items():
        assert sorted(received[stream]) == sorted((stream[0], text) for text in texts)
