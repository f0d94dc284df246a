"""What a contract is made of, what it refuses, and what its producers do."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import pytest

from event_backbone.contract import (
    Contract,
    EventDefinition,
    SendOptions,
    bind,
    check,
    decode_event,
    definition_for,
    event,
    events_of,
)
from event_backbone.errors import ArgumentsInvalid, ContractError, DecodeError, UnknownEvent, UnknownVersion
from event_backbone.model import EventKey

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)


class Shop(Contract):
    """What every shop does."""

    @event
    def opened(self, at: datetime) -> None:
        """The shop opens."""


class Ship(Shop):
    """What happens to a shipment."""

    @event
    def packing(self, email: str, product_id: int) -> None:
        """The parcel is being packed.

        By hand.
        """

    @event(name="delivered", key="parcel")
    def delivered_first(self, parcel: str) -> None:
        """The parcel arrived."""

    @event(name="delivered", version=2)
    def delivered(self, parcel: str, *, at: datetime = NOON) -> None:
        """The parcel arrived, and when."""

    def _helper(self) -> None:
        """Is private, so it need not be an event."""


class Outbox:
    """A sender that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[tuple[EventDefinition, dict[str, bytes], SendOptions]] = []

    async def send(
        self, definition: EventDefinition, args: tuple[object, ...], kwargs: dict[str, object], options: SendOptions
    ) -> EventKey:
        """Encode the event, as every sender does, and keep it."""
        self.sent.append((definition, definition.codec.encode(args, kwargs), options))
        return EventKey(len(self.sent))

    async def send_to_each(
        self, definition: EventDefinition, args: tuple[object, ...], kwargs: dict[str, object], options: SendOptions
    ) -> dict[str, EventKey]:
        """Do the same, for one stream."""
        return {"outbox": await self.send(definition, args, kwargs, options)}


def test_a_contract_knows_its_events_in_order() -> None:
    """Inherited events come first, then the contract's own as they are written."""
    assert [(each.name, each.version, each.attribute, each.contract) for each in events_of(Ship)] == [
        ("opened", 1, "opened", "Shop"),
        ("packing", 1, "packing", "Ship"),
        ("delivered", 1, "delivered_first", "Ship"),
        ("delivered", 2, "delivered", "Ship"),
    ]
    assert [each.name for each in events_of(Shop)] == ["opened"]
    assert events_of(Contract) == ()


def test_a_definition_has_what_the_method_declares() -> None:
    """Docstring, key and signature, without self."""
    packing = Ship.packing.definition
    assert packing.doc == "The parcel is being packed.\n\nBy hand."
    assert list(packing.signature.parameters) == ["email", "product_id"]
    assert (packing.key, Ship.delivered_first.definition.key) == (None, "parcel")


def test_an_event_is_the_same_however_it_is_reached() -> None:
    """An inherited event equals that of the base, and serves as a key."""
    assert Ship.opened == Shop.opened
    assert {Ship.packing: 1}[Ship.packing] == 1
    assert Ship.packing != Ship.delivered
    assert repr(Ship.opened) == "<event Ship.opened>"


def test_events_are_found_by_wire_name_and_version() -> None:
    """An unknown name and an unknown version are different errors."""
    assert definition_for(Ship, "delivered", 2) is Ship.delivered.definition
    with pytest.raises(UnknownEvent, match="Event 'lost' is unknown to Ship"):
        definition_for(Ship, "lost", 1)
    with pytest.raises(UnknownVersion, match="Event 'packing' version 2 is unknown to Ship"):
        definition_for(Ship, "packing", 2)


def test_a_stored_event_is_decoded_by_its_own_version() -> None:
    """A contract may have two versions of one name."""
    assert decode_event(Ship, "delivered", 1, {"parcel": b'"p"'}) == (
        definition_for(Ship, "delivered", 1),
        {"parcel": "p"},
    )
    assert decode_event(Ship, "delivered", 2, {"parcel": b'"p"'})[1] == {"parcel": "p", "at": NOON}
    with pytest.raises(DecodeError, match="Argument 'parcel' of event 'delivered' is missing"):
        decode_event(Ship, "delivered", 2, {})


async def test_an_instance_produces() -> None:
    """Calling an event on a producer passes it to the sender and returns its key."""
    outbox = Outbox()
    ship = bind(Ship, outbox)
    assert isinstance(ship, Ship)
    assert await ship.packing("a@b.c", product_id=7) == EventKey(1)
    assert await asyncio.create_task(ship.opened(NOON)) == EventKey(2)
    (packing, payload, options), (opened, _, _) = outbox.sent
    assert (packing, opened) == (Ship.packing.definition, Ship.opened.definition)
    assert payload == {"email": b'"a@b.c"', "product_id": b"7"}
    assert options == SendOptions()


async def test_a_wrong_call_is_refused_before_anything_is_sent() -> None:
    """The arguments are checked by the same signature that the type checker sees."""
    outbox = Outbox()
    wrong: Callable[..., object] = bind(Ship, outbox).packing
    with pytest.raises(ArgumentsInvalid, match="'product_id' of event 'packing'"):
        await wrong("a@b.c", "seven")  # type: ignore[misc] # pyright: ignore[reportGeneralTypeIssues]
    assert outbox.sent == []


async def test_a_caller_may_bring_an_identity() -> None:
    """Each using() adds to what was said before, and leaves the producer as it was."""
    outbox = Outbox()
    ship = bind(Ship, outbox)
    identity = uuid4()
    await ship.packing.using(event_id=identity, correlation_id="c").using(causation_id="d")("a", 1)
    await ship.packing("a", 1)
    assert [options for _, _, options in outbox.sent] == [SendOptions(identity, "c", "d"), SendOptions()]


def test_a_contract_is_not_instantiated_directly() -> None:
    """The sentence says how to get a producer."""
    with pytest.raises(ContractError, match=r"use backbone\.producer\(Ship, uri=\.\.\.\)"):
        Ship()


def test_a_producer_without_a_backbone_says_so() -> None:
    """Even if it was made without its constructor."""
    with pytest.raises(ContractError, match=r"This Ship is not connected; use backbone\.producer\(Ship"):
        _ = Ship.__new__(Ship).packing


def test_contract_has_no_public_names() -> None:
    """Every public name of a contract is the user's."""
    assert [name for name in dir(Contract) if not name.startswith("_")] == []
    assert [name for name in dir(Ship) if not name.startswith("_")] == [
        "delivered",
        "delivered_first",
        "opened",
        "packing",
    ]


def test_an_event_outside_a_contract_is_refused() -> None:
    """The error of a class without its base says what is missing."""

    class Forgotten:
        @event
        def happened(self) -> None: ...

    with pytest.raises(ContractError, match="Forgotten must be a subclass of Contract"):
        _ = Forgotten.happened


def _positional_only(self: object, a: int, /) -> None: ...
def _star(self: object, *a: int) -> None: ...
def _double_star(self: object, **a: int) -> None: ...
def _underscore(self: object, _a: int) -> None: ...
def _no_self() -> None: ...
def _answers(self: object) -> int: ...  # type: ignore[empty-body] # pyright: ignore[reportReturnType]
async def _waits(self: object) -> None: ...
def _plain(self: object) -> None: ...


def _untyped() -> Callable[..., None]:
    def without_type(self: object, a: int) -> None: ...

    del without_type.__annotations__["a"]
    return without_type


def _helper(self: object) -> None: ...


WRONG: list[tuple[Callable[..., object], dict[str, Any], str]] = [
    (_positional_only, {}, "Argument 'a' of event 'happened' cannot be stored by name"),
    (_star, {}, "Argument 'a' of event 'happened' cannot be stored by name"),
    (_double_star, {}, "Argument 'a' of event 'happened' cannot be stored by name"),
    (_underscore, {}, "Argument '_a' of event 'happened' must not start with an underscore"),
    (_untyped(), {}, "Argument 'a' of event 'happened' needs a type"),
    (_no_self, {}, "Made.happened must have self as its first parameter"),
    (_answers, {}, "Made.happened must be annotated to return None"),
    (_waits, {}, "Made.happened must be a plain def"),
    (str, {}, "Made.happened must be a method, written with def"),
    (_plain, {"version": 0}, "must have a version of 1 or more"),
    (_plain, {"name": ""}, "Event name '' must be letters, digits"),
    (_plain, {"name": "two words"}, "Event name 'two words' must be letters, digits"),
    (_plain, {"key": "email"}, "key='email' of event 'happened' must name one of its arguments"),
]


@pytest.mark.parametrize(("function", "options", "sentence"), WRONG)
def test_what_cannot_be_stored_is_refused_when_the_class_is_made(
    function: Callable[..., object], options: dict[str, Any], sentence: str
) -> None:
    """Not on the first event, and in one sentence."""
    method = cast("Callable[..., None]", function)
    with pytest.raises(ContractError) as caught:
        type("Made", (Contract,), {"happened": cast("Any", event)(**options)(method)})
    assert sentence in str(caught.value)


NO_EVENTS: list[object] = [_helper, property(_helper), staticmethod(_helper)]


@pytest.mark.parametrize("member", NO_EVENTS)
def test_a_public_method_is_an_event(member: object) -> None:
    """One that is not was forgotten."""
    with pytest.raises(ContractError, match=r"Made\.helper is public but not an event"):
        type("Made", (Contract,), {"helper": member})


def test_an_event_name_starts_with_a_letter() -> None:
    """A private event makes no sense."""
    with pytest.raises(ContractError, match="Event '_hidden' must not start with an underscore"):

        class Made(Contract):  # pyright: ignore[reportUnusedClass]
            @event
            def _hidden(self) -> None: ...


def test_a_wire_name_and_version_are_used_once() -> None:
    """Also along the MRO."""
    with pytest.raises(ContractError, match=r"Made\.again and Ship\.packing are both event 'packing' version 1"):

        class Made(Ship):  # pyright: ignore[reportUnusedClass]
            @event(name="packing")
            def again(self) -> None: ...


def test_an_event_is_not_overridden() -> None:
    """A new version is a method of another name."""
    with pytest.raises(ContractError, match=r"Made\.opened redefines the event of Shop"):

        class Made(Shop):  # pyright: ignore[reportUnusedClass]
            @event(version=2)
            def opened(self, at: datetime) -> None: ...


def test_contracts_may_be_combined() -> None:
    """Two bases with a common base make one contract, in which each event is defined once."""

    class Stall(Shop):
        @event
        def folded(self) -> None: ...

    class Both(Ship, Stall):
        pass

    assert sorted(each.attribute for each in events_of(Both)) == [
        "delivered",
        "delivered_first",
        "folded",
        "opened",
        "packing",
    ]
    check(Both)
