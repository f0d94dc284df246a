"""Interceptors: what an application puts around producing and handling."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from event_backbone import (
    ArgumentsInvalid,
    Backbone,
    BackboneError,
    ConfigurationError,
    Consumer,
    Context,
    EventKey,
    HandleInterceptor,
    Outgoing,
    ProduceInterceptor,
    RetryPolicy,
)
from event_backbone.testing import context, memory_backbone
from tests.support.shipment import ShipmentTracking

URI = "shipments"


@asynccontextmanager
async def _backbone(
    request: pytest.FixtureRequest,
    kind: str,
    produce: tuple[ProduceInterceptor, ...] = (),
    handle: tuple[HandleInterceptor, ...] = (),
) -> AsyncGenerator[Backbone]:
    if kind == "memory":
        made = memory_backbone(produce_interceptors=produce, handle_interceptors=handle)
    else:
        url: str = request.getfixturevalue("redis_url")
        made = Backbone(url, environment="test", produce_interceptors=produce, handle_interceptors=handle)
    async with made as opened:
        yield opened


both = pytest.mark.parametrize("kind", ["memory", "redis"])


@both
async def test_produce_interceptors_wrap_the_call(request: pytest.FixtureRequest, kind: str) -> None:
    """The first is the outermost; each sees metadata and arguments by name, and the key on the way back."""
    seen: list[object] = []

    def named(name: str) -> ProduceInterceptor:
        async def intercept(event: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]]) -> EventKey:
            seen.append((name, event.metadata.event, dict(event.arguments)))
            key = await call_next(event)
            seen.append((name, key))
            return key

        return intercept

    async with _backbone(request, kind, (named("outer"), named("inner"))) as backbone:
        key = await backbone.producer(ShipmentTracking, uri=URI).note("x")
    arguments = {"text": "x"}
    assert seen == [("outer", "note", arguments), ("inner", "note", arguments), ("inner", key), ("outer", key)]


def changing(change: dict[str, Any]) -> ProduceInterceptor:
    """An interceptor that changes metadata."""

    async def intercept(event: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]]) -> EventKey:
        return await call_next(replace(event, metadata=replace(event.metadata, **change)))

    return intercept


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"uri": "elsewhere"}, ConfigurationError, "changed the uri of event 'note'; uri, environment"),
        ({"environment": "prod"}, ConfigurationError, "changed the environment"),
        ({"event": "other"}, ConfigurationError, "changed the event"),
        ({"version": 2}, ConfigurationError, "changed the version"),
        ({"event_id": uuid4()}, ArgumentsInvalid, "UUIDv7"),
    ],
)
async def test_an_interceptor_cannot_send_an_event_elsewhere(
    change: dict[str, Any], error: type[BackboneError], sentence: str
) -> None:
    """What decides where an event goes, and what it is, stays."""
    async with memory_backbone(produce_interceptors=(changing(change),)) as backbone:
        with pytest.raises(error, match=sentence):
            await backbone.producer(ShipmentTracking, uri=URI).note("x")
        assert [event async for event in backbone.reader(URI).scan()] == []


async def test_an_interceptor_may_change_the_identity_of_an_event_and_its_cause() -> None:
    """To an id of the last minutes, as of any call."""
    change = {"event_id": context().metadata.event_id, "correlation_id": "order-1", "causation_id": "click-1"}
    async with memory_backbone(produce_interceptors=(changing(change),)) as backbone:
        await backbone.producer(ShipmentTracking, uri=URI).note("x")
        (written,) = [event.metadata async for event in backbone.reader(URI).scan()]
    assert {name: getattr(written, name) for name in change} == change


@both
async def test_headers_and_arguments_can_be_changed(request: pytest.FixtureRequest, kind: str) -> None:
    """Headers travel to the consumer; changed arguments are validated like those of a call."""

    async def intercept(event: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]]) -> EventKey:
        text = str(event.arguments["text"])
        return await call_next(event.with_headers(tenant="blue").with_arguments(text=text.upper()))

    async with _backbone(request, kind, (intercept,)) as backbone:
        key = await backbone.producer(ShipmentTracking, uri=URI).note("x")
        stored = await backbone.reader(URI).get(key)
    assert stored.metadata.headers["tenant"] == "blue"
    assert stored.arguments == {"text": "X"}


@both
async def test_an_interceptor_that_raises_sends_nothing(request: pytest.FixtureRequest, kind: str) -> None:
    """Its own error, or that of arguments which no longer fit, reaches the caller."""

    async def intercept(event: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]]) -> EventKey:
        if event.arguments["text"] == "forbidden":
            raise PermissionError
        return await call_next(event.with_arguments(text=7))

    async with _backbone(request, kind, (intercept,)) as backbone:
        producer = backbone.producer(ShipmentTracking, uri=URI)
        with pytest.raises(PermissionError):
            await producer.note("forbidden")
        with pytest.raises(ArgumentsInvalid, match="text"):
            await producer.note("changed")
        assert [event async for event in backbone.reader(URI).scan()] == []


@both
async def test_an_interceptor_may_try_again(request: pytest.FixtureRequest, kind: str) -> None:
    """Calling on twice produces one event, as its id is the same."""

    async def intercept(event: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]]) -> EventKey:
        await call_next(event)
        return await call_next(event)

    async with _backbone(request, kind, (intercept,)) as backbone:
        key = await backbone.producer(ShipmentTracking, uri=URI).note("x")
        assert [event.key async for event in backbone.reader(URI).scan()] == [key]


@both
async def test_handle_interceptors_wrap_every_attempt(request: pytest.FixtureRequest, kind: str) -> None:
    """Also around failed ones; what an interceptor raises counts as raised by the handler."""
    seen: list[str] = []
    consumer = Consumer(ShipmentTracking)

    @consumer.on(ShipmentTracking.note)
    async def handle(ctx: Context, text: str) -> None:
        seen.append(f"handle {text}")

    async def outer(ctx: Context, call_next: Callable[[Context], Awaitable[None]]) -> None:
        seen.append(f"outer {ctx.metadata.event} {ctx.attempt}")
        await call_next(ctx)

    async def inner(ctx: Context, call_next: Callable[[Context], Awaitable[None]]) -> None:
        if ctx.attempt == 1:
            raise RuntimeError
        await call_next(ctx)

    async with _backbone(request, kind, (), (outer, inner)) as backbone:
        await backbone.producer(ShipmentTracking, uri=URI).note("x")
        retry = RetryPolicy(max_attempts=3, backoff=timedelta(milliseconds=1))
        async with asyncio.timeout(15):
            async with backbone.subscribe(consumer, uri=URI, group="g", max_events=1, retry=retry) as subscription:
                await subscription.wait()
    assert seen == ["outer note 1", "outer note 2", "handle x"]
