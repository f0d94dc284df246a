"""Consumers: registering handlers, and the mistakes that are found then."""

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from event_backbone.consumer import Batch, Consumer, Context
from event_backbone.contract import Contract, event
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import ConfigurationError, ContractError
from event_backbone.model.correlation import current_event
from event_backbone.testing import batch, context


class Ship(Contract):
    """A base contract."""

    @event
    def packing(self, email: str, product_id: int = 3) -> None:
        """The parcel is being packed."""

    @event
    def lost(self) -> None:
        """Nobody knows where it is."""


class Express(Ship):
    """A contract with one event more."""

    @event
    def flown(self, *, flight: str) -> None:
        """It went by air."""


async def handle_packing(ctx: Context, email: str, product_id: int = 3) -> None:
    """Do nothing."""


async def handle_flown(ctx: Context, *, flight: str) -> None:
    """Do nothing."""


def refusal(register: Callable[[], object]) -> str:
    """Return the sentence of the ContractError that the registration raises."""
    with pytest.raises(ContractError) as raised:
        register()
    return str(raised.value)


def test_a_registered_function_is_returned_unchanged_and_found_by_its_event() -> None:
    """The decorator only registers it."""
    consumer = Consumer(Ship)
    assert consumer.on(Ship.packing)(handle_packing) is handle_packing
    assert consumer.handlers_of(Ship.packing.definition) == (handle_packing,)
    assert consumer.handlers_of(Ship.lost.definition) == ()


def test_bound_methods_and_partials_are_handlers() -> None:
    """Services register their own methods."""

    class Service:
        async def packed(self, ctx: Context, email: str, product_id: int = 3) -> None:
            """Do nothing."""

    async def labelled(label: str, ctx: Context, email: str, product_id: int = 3) -> None:
        """Do nothing."""

    consumer, service = Consumer(Ship), Service()
    consumer.on(Ship.packing)(service.packed)
    consumer.on(Ship.packing)(functools.partial(labelled, "a"))
    assert len(consumer.handlers_of(Ship.packing.definition)) == 2


def test_two_handlers_of_one_event_are_kept_in_order() -> None:
    """Both run when the event comes."""

    async def second(ctx: Context, email: str, product_id: int = 3) -> None:
        """Do nothing."""

    consumer = Consumer(Ship)
    consumer.on(Ship.packing)(handle_packing)
    consumer.on(Ship.packing)(second)
    assert consumer.handlers_of(Ship.packing.definition) == (handle_packing, second)


def test_a_consumer_of_the_longer_contract_takes_inherited_events() -> None:
    """Inherited events are the contract's own."""
    consumer = Consumer(Express)
    consumer.on(Express.packing)(handle_packing)
    consumer.on(Express.flown)(handle_flown)
    assert consumer.handlers_of(Ship.packing.definition) == (handle_packing,)


def test_an_event_of_another_contract_is_refused() -> None:
    """A consumer of a base contract handles its part only."""
    consumer = Consumer(Ship)
    text = refusal(lambda: consumer.on(Express.flown))  # pyright: ignore[reportArgumentType]
    assert text == "Express.flown is not an event of Ship, the contract of this consumer; it has lost, packing."


def test_a_handler_with_other_argument_names_is_refused() -> None:
    """Arguments are given by name."""

    async def other(ctx: Context, mail: str, product_id: int = 3) -> None:
        """Do nothing."""

    text = refusal(lambda: Consumer(Ship).on(Ship.packing)(other))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert text.endswith("other of Ship.packing must take (ctx, email, product_id), the argument names of the event.")


def test_a_handler_without_a_context_is_refused() -> None:
    """The context comes first."""

    async def bare(email: str, product_id: int = 3) -> None:
        """Do nothing."""

    assert "(ctx, email, product_id)" in refusal(
        lambda: Consumer(Ship).on(Ship.packing)(bare)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    )


def test_a_function_that_is_not_async_is_refused() -> None:
    """It would block everything else, and its result could not be awaited."""

    def blocking(ctx: Context, email: str, product_id: int = 3) -> None:
        """Do nothing."""

    assert "must be an async function" in refusal(
        lambda: Consumer(Ship).on(Ship.packing)(blocking)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    )


def test_registering_one_handler_twice_is_refused() -> None:
    """It would run twice for each event, which nobody wants."""
    consumer = Consumer(Ship)
    consumer.on(Ship.packing)(handle_packing)
    assert refusal(lambda: consumer.on(Ship.packing)(handle_packing)).endswith("register it once.")


def test_one_fallback_is_kept_and_a_second_one_refused() -> None:
    """There is one handler for the rest."""
    consumer = Consumer(Ship)

    @consumer.fallback
    async def rest(ctx: Context, event: StoredEvent) -> None:
        """Do nothing."""

    async def another(ctx: Context, event: StoredEvent) -> None:
        """Do nothing."""

    assert consumer.fallback_handler is rest
    assert "already has the fallback" in refusal(lambda: consumer.fallback(another))


def test_a_fallback_with_another_signature_is_refused() -> None:
    """It takes a context and the stored event."""

    async def wrong(ctx: Context) -> None:
        """Do nothing."""

    assert "must take (ctx, event)" in refusal(
        lambda: Consumer(Ship).fallback(wrong)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    )


async def test_a_handler_is_a_plain_function_that_runs_without_a_server() -> None:
    """``testing.context`` makes what it needs."""
    ctx = context(attempt=2)
    await handle_packing(ctx, "a@b.c")
    assert (ctx.attempt, ctx.acked) == (2, False)


async def test_the_first_ack_decides_and_later_ones_do_nothing() -> None:
    """A handler may call it from several places."""
    calls: list[int] = []

    async def ack() -> None:
        calls.append(1)

    ctx = Context(context().metadata, 1, ack, None)
    await ctx.ack()
    await ctx.ack()
    assert (ctx.acked, len(calls)) == (True, 1)


def test_an_event_has_either_handlers_or_one_batch_handler() -> None:
    """Also a batch handler must be async and take the batch alone, of a sensible size."""

    async def handle(ctx: Context, email: str, product_id: int = 3) -> None: ...

    async def first(batch: Batch[[str, int]]) -> None: ...

    async def second(batch: Batch[[str, int]]) -> None: ...

    one, other = Consumer(Ship), Consumer(Ship)
    one.on(Ship.packing)(handle)
    other.on_batch(Ship.packing)(first)
    with pytest.raises(ContractError, match="not both"):
        one.on_batch(Ship.packing)(first)
    with pytest.raises(ContractError, match="not both"):
        other.on(Ship.packing)(handle)
    with pytest.raises(ContractError, match="not both"):
        other.on_batch(Ship.packing)(second)
    wrong: Any = handle
    with pytest.raises(ContractError, match="one argument, the batch"):
        Consumer(Ship).on_batch(Ship.packing)(wrong)
    with pytest.raises(ConfigurationError, match="most must be 1 or more"):
        Consumer(Ship).on_batch(Ship.packing, most=0)
    with pytest.raises(ConfigurationError, match="within must not be negative"):
        Consumer(Ship).on_batch(Ship.packing, within=timedelta(seconds=-1))


async def test_a_batch_handler_can_be_called_without_a_server() -> None:
    """Each event has its arguments, with defaults, and what was decided about it; outside a task it has no event."""
    parcels = batch(Ship.packing, [{"email": "a@b.c"}, {"email": "d@e.f", "product_id": 4}], services="service")
    assert [dict(each.arguments) for each in parcels] == [
        {"email": "a@b.c", "product_id": 3},
        {"email": "d@e.f", "product_id": 4},
    ]
    assert (parcels.services, parcels[1].ctx.services, len(parcels[:1])) == ("service", "service", 1)
    with parcels[1].handling():
        event = current_event()
        assert event is not None
        assert event.metadata.key == parcels[1].ctx.metadata.key
    assert current_event() is None
    parcels[0].retry()
    await parcels[1].ctx.ack()
    assert (str(parcels[0].decision), parcels[1].ctx.acked) == ("retry", True)


@pytest.mark.parametrize("arguments", [[], [{"mail": "a@b.c"}]])
def test_a_batch_for_a_test_has_events_that_fit(arguments: list[dict[str, object]]) -> None:
    """Else one sentence says which do not."""
    with pytest.raises(ConfigurationError, match=r"at least one event|number 0 do not fit"):
        batch(Ship.packing, arguments)
