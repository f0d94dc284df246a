"""A worker runs several subscriptions as one; ``until_idle`` and ``handle_all`` say when nothing is left to do."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

import pytest
from redis.asyncio import Redis

from event_backbone import (
    Backbone,
    Backoff,
    ConfigurationError,
    Consumer,
    Context,
    Contract,
    Retry,
    RetryPolicy,
    Subscription,
    Worker,
    event,
)
from event_backbone.testing import context, handle_all, memory_backbone
from tests.support.eventually import eventually
from tests.support.parcels import Parcels

SOON = RetryPolicy(max_attempts=3, backoff=Backoff(first=timedelta(milliseconds=20)))


class Orders(Contract):
    """What is ordered."""

    @event
    def placed(self, number: int) -> None:
        """A customer placed an order."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers need: a producer, and somewhere to note what they did."""

    parcels: Parcels
    packed: list[int] = field(default_factory=list[int])


orders = Consumer(Orders, services=Services)
parcels = Consumer(Parcels, services=Services)


@orders.on(Orders.placed)
async def placed(ctx: Context[Services], number: int) -> None:
    """Produces an event of the other contract; the first attempt fails."""
    if ctx.attempt == 1 and number == 1:
        raise Retry(after=timedelta(milliseconds=50))
    await ctx.services.parcels.packed(number)


@parcels.on(Parcels.packed)
async def packed(ctx: Context[Services], number: int) -> None:
    """Notes the number; there is no parcel 13."""
    if number == 13:
        raise LookupError("no parcel")
    ctx.services.packed.append(number)


def make_worker(backbone: Backbone, services: Services) -> Worker:
    """Subscribe both consumers, the one that waits for the other first."""
    return Worker(
        backbone.subscribe(parcels, services=services, uri="parcels", group="g", retry=SOON),
        backbone.subscribe(orders, services=services, uri="orders", group="g", retry=SOON),
    )


async def produce(backbone: Backbone, *numbers: int) -> Services:
    """Place an order of each number, and return the services of its handlers."""
    for number in numbers:
        await backbone.producer(Orders, uri="orders").placed(number)
    return Services(backbone.producer(Parcels, uri="parcels"))


async def test_idle_means_that_retries_and_what_handlers_produce_are_done_too(backbone: Backbone) -> None:
    """In all subscriptions of the worker: nothing is unread or pending in any of its groups."""
    services = await produce(backbone, 1, 2)
    async with asyncio.timeout(20), make_worker(backbone, services) as worker:
        await worker.until_idle()
        assert sorted(services.packed) == [1, 2]
        assert [each.handled for each in worker.subscriptions] == [2, 2]
        for uri in ("orders", "parcels"):
            assert [(each.pending, each.unread) for each in await backbone.groups(uri)] == [(0, 0)]


async def test_a_worker_ends_when_no_group_has_anything_left(backbone: Backbone) -> None:
    """The first subscription has nothing to do until the second one has; ``wait`` returns by itself."""
    services = await produce(backbone, 1, 2)
    worker = Worker(
        backbone.subscribe(parcels, services=services, uri="parcels", group="g", retry=SOON, until="empty"),
        backbone.subscribe(orders, services=services, uri="orders", group="g", retry=SOON, until="empty"),
    )
    async with asyncio.timeout(20), worker:
        await worker.wait()
    assert sorted(services.packed) == [1, 2]


async def test_only_subscriptions_that_are_to_end_do(backbone: Backbone) -> None:
    """Another one goes on until the worker is stopped."""
    services = await produce(backbone, 1)
    worker = Worker(
        backbone.subscribe(parcels, services=services, uri="parcels", group="g"),
        backbone.subscribe(orders, services=services, uri="orders", group="g", until="empty"),
    )
    async with asyncio.timeout(20), worker:
        await worker.subscriptions[1].wait()
        await eventually(lambda: services.packed == [1])
        assert worker.subscriptions[0].alive


async def test_a_worker_starts_stops_and_is_judged_as_one(backbone: Backbone) -> None:
    """It is alive and ready when all its subscriptions are; stopping stops all."""
    worker = make_worker(backbone, await produce(backbone))
    assert not worker.alive
    async with asyncio.timeout(20), worker:
        await eventually(lambda: worker.ready)
        worker.subscriptions[0].stop()
        await worker.subscriptions[0].wait()
        assert (worker.alive, worker.ready) == (False, False)
        assert worker.subscriptions[1].alive
        worker.stop()
        await worker.wait()
        assert not worker.subscriptions[1].alive


async def test_what_breaks_one_subscription_stops_the_others_and_is_raised(redis_url: str, redis: Redis) -> None:
    """By ``wait``, and not a second time on the way out."""
    async with Backbone(redis_url, environment="test") as backbone, asyncio.timeout(20):
        services = await produce(backbone)
        async with make_worker(backbone, services) as worker:
            await redis.set("test:orders", "not a stream")
            with pytest.raises(ConfigurationError):
                await worker.wait()
            assert not any(each.alive for each in worker.subscriptions)


async def test_when_one_subscription_cannot_start_none_runs(backbone: Backbone) -> None:
    """Those that had started are stopped."""
    services = await produce(backbone)
    used = backbone.subscribe(parcels, services=services, uri="parcels", group="h")
    async with used:
        pass
    first = backbone.subscribe(parcels, services=services, uri="parcels", group="g")
    with pytest.raises(ConfigurationError, match="runs once"):
        async with Worker(first, used):
            pytest.fail("The worker started.")
    assert not first.alive
    with pytest.raises(ConfigurationError, match="needs a part"):
        Worker()


async def test_handle_all_raises_what_a_handler_raised_at_once(backbone: Backbone) -> None:
    """Its own error, not a timeout and not a dead letter after the last retry; the note says which event it was."""
    services = await produce(backbone, 2)
    await handle_all(make_worker(backbone, services))
    assert services.packed == [2]

    await services.parcels.packed(13)
    with pytest.raises(LookupError, match="no parcel") as failure:
        await handle_all(make_worker(backbone, services))
    assert "Event packed" in failure.value.__notes__[0]
    assert not [each async for each in backbone.dead_letters("parcels", "g").list()]


async def test_services_are_given_where_the_consumer_declares_them() -> None:
    """And only there; each mistake is one sentence, before anything is read."""
    async with memory_backbone() as backbone:
        subscribe = cast("Callable[..., Subscription]", backbone.subscribe)
        for services in (None, Services):
            with pytest.raises(ConfigurationError, match=r"pass an instance of Services, as services=Services\("):
                subscribe(parcels, services=services, uri="parcels", group="g")
        with pytest.raises(ConfigurationError, match="declares no services"):
            subscribe(Consumer(Parcels), services=1, uri="parcels", group="g")


async def test_a_unit_test_gives_its_own_services_to_the_context() -> None:
    """A handler is a plain function."""
    async with memory_backbone() as backbone:
        services = await produce(backbone)
        await packed(context(services=services), 7)
    assert services.packed == [7]
