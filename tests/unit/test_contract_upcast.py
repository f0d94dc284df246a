"""How events of earlier versions, and of earlier names, become events that the contract defines."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from event_backbone.contract import Contract, check, decode_event, definition_for, event
from event_backbone.errors import ContractError, DecodeError, UnknownEvent, UnknownVersion

Arguments = dict[str, JsonValue]


class Ship(Contract):
    """Packing has come to version 4, and version 2 is kept as it was."""

    @event(name="packing", version=2)
    def packing_of_two(self, email: str) -> None:
        """As it was once."""

    @event(name="packing", version=5)
    def packing(self, email: str, weight_grams: int, photo: bytes = b"") -> None:
        """As it is now."""


@Ship.packing.upcast(from_version=3)
def kilograms_become_grams(arguments: Arguments) -> Arguments:
    """Version 4 measures in grams."""
    return {**arguments, "weight_grams": int(cast("float", arguments["weight"]) * 1000)}


@Ship.packing.upcast(from_version=4)
def mail_becomes_email(arguments: Arguments) -> Arguments:
    """Version 5 renames an argument."""
    return {**arguments, "email": arguments["mail"]}


def fresh() -> type[Contract]:
    """Return a new contract with packing in version 3."""

    class Fresh(Contract):
        @event(version=3)
        def packing(self, email: str) -> None: ...

    return Fresh


def unchanged(arguments: Arguments) -> Arguments:
    """Upcast an event whose arguments stay as they are."""
    return arguments


def upcast(contract: type[Contract], *, from_version: int, result: object = None) -> None:
    """Register an upcaster for packing: one that returns ``result``, or what it was given."""

    def upcaster(arguments: Arguments) -> Arguments:
        return cast("Arguments", result)

    event_of = vars(contract)["packing"].__get__(None, contract)
    event_of.upcast(from_version=from_version)(unchanged if result is None else upcaster)


def test_a_chain_of_upcasters_leads_to_the_next_defined_version() -> None:
    """Version 3 becomes 4 and then 5; what no version knows is ignored."""
    payload = {"mail": b'"a@b"', "weight": b"1.5", "photo": b'"aGk="'}
    assert decode_event(Ship, "packing", 3, payload) == (
        definition_for(Ship, "packing", 5),
        {"email": "a@b", "weight_grams": 1500, "photo": b"hi"},
    )


def test_a_defined_version_is_not_upcast() -> None:
    """Version 2 has its own method, and therefore its own handlers."""
    assert decode_event(Ship, "packing", 2, {"email": b'"a@b"'}) == (
        definition_for(Ship, "packing", 2),
        {"email": "a@b"},
    )


@pytest.mark.parametrize("version", [1, 6])
def test_a_version_without_an_upcaster_is_unknown(version: int) -> None:
    """Earlier than the first upcaster, or later than this contract."""
    with pytest.raises(UnknownVersion, match=f"'packing' version {version} is unknown to Ship, which has version 2, 5"):
        decode_event(Ship, "packing", version, {})


def test_an_upcaster_serves_subclasses() -> None:
    """A contract inherits the earlier versions of its events as well."""

    class Sub(Ship):
        pass

    payload = {"mail": b'"a"', "weight": b"1"}
    assert decode_event(Sub, "packing", 3, payload)[1]["weight_grams"] == 1000


def test_an_upcaster_that_raises_is_named() -> None:
    """The event cannot be decoded; what the upcaster raised is the cause."""
    with pytest.raises(DecodeError, match=r"upcaster mail_becomes_email of event 'packing' from version 4 raised KeyE"):
        decode_event(Ship, "packing", 4, {})


def test_an_upcaster_returns_arguments() -> None:
    """Anything else is its fault, not the event's."""
    contract = fresh()
    upcast(contract, from_version=2, result=["email"])
    with pytest.raises(DecodeError, match="must return a dict of arguments"):
        decode_event(contract, "packing", 2, {})
    other = fresh()
    upcast(other, from_version=2, result={"email": object()})
    with pytest.raises(DecodeError, match="must return JSON values"):
        decode_event(other, "packing", 2, {})


def test_a_payload_that_is_not_json_is_not_upcast() -> None:
    """Its bytes are not repeated."""
    with pytest.raises(DecodeError, match="'packing' version 4 is not valid JSON") as caught:
        decode_event(Ship, "packing", 4, {"mail": b"hunter2"})
    assert caught.value.__cause__ is None


def test_a_gap_in_the_chain_is_found_by_check() -> None:
    """Version 1 leads to 2, and there is no upcaster from 2 to 3."""
    check(Ship)
    contract = fresh()
    upcast(contract, from_version=1)
    with pytest.raises(ContractError, match=r"upcaster from version 1 but nothing for version 2; add .*from_version=2"):
        check(contract)
    upcast(contract, from_version=2)
    check(contract)


@pytest.mark.parametrize("version", [0, 3, 4])
def test_an_upcaster_starts_before_its_event(version: int) -> None:
    """So a chain can never go in a circle."""
    with pytest.raises(ContractError, match="must start from a version between 1 and 2"):
        upcast(fresh(), from_version=version)


def test_a_version_has_one_upcaster() -> None:
    """A second one is refused, also one that a base class has."""
    contract = fresh()
    upcast(contract, from_version=2)
    with pytest.raises(ContractError, match="two upcasters from version 2"):
        upcast(contract, from_version=2)


def test_an_upcaster_that_would_never_run_is_refused() -> None:
    """A version that is defined is decoded as it is."""
    with pytest.raises(ContractError, match="'packing' version 2 is defined, so its upcaster would never run"):
        Ship.packing.upcast(from_version=2)(unchanged)
    check(Ship)


def contract_with(name: str, version: int) -> type[Contract]:
    """Return a new contract with one event, which keeps the steps that led to it."""

    class Moved(Contract):
        @event(name=name, version=version)
        def moved(self, steps: list[str]) -> None: ...

    return Moved


def step_from(contract: type[Contract], name: str | None, version: int) -> None:
    """Register an upcaster that adds where it began to the steps."""

    def upcaster(arguments: Arguments) -> Arguments:
        steps = cast("list[JsonValue]", arguments["steps"])
        return {"steps": [*steps, f"{name or 'same name'} {version}"]}

    event_of = vars(contract)["moved"].__get__(None, contract)
    event_of.upcast(from_version=version, from_name=name)(upcaster)


def test_a_renamed_event_keeps_its_versions() -> None:
    """What had the earlier name goes on from the same version of the event that has the new one."""
    contract = contract_with("shipped", 3)
    step_from(contract, "sent", 1)
    step_from(contract, None, 1)
    step_from(contract, None, 2)
    step_from(contract, "sent", 3)
    check(contract)
    for version, steps in {1: ["sent 1", "same name 1", "same name 2"], 3: ["sent 3"]}.items():
        definition, arguments = decode_event(contract, "sent", version, {"steps": b"[]"})
        assert (definition, arguments) == (definition_for(contract, "shipped", 3), {"steps": steps})
    with pytest.raises(
        UnknownVersion, match=r"'sent' version 2 is unknown to Moved, which has no event 'sent'; add .*=2"
    ):
        definition_for(contract, "sent", 2)
    with pytest.raises(UnknownEvent, match="'lost' is unknown to Moved"):
        definition_for(contract, "lost", 1)


@pytest.mark.parametrize(
    ("name", "version", "text"),
    [
        ("shipped", 1, "'shipped' has this name already; leave from_name= out"),
        ("sent", 3, "a renamed event keeps its versions, so give 'shipped' version=3 or a later one"),
        ("kept", 2, "'kept' version 2 is defined, so its upcaster would never run"),
    ],
)
def test_a_rename_that_cannot_work_is_refused(name: str, version: int, text: str) -> None:
    """Its own name, a version that the event has not come to, or a name that has its handlers."""

    class Renamed(Contract):
        @event(version=2)
        def kept(self) -> None: ...

        @event(version=2)
        def shipped(self) -> None: ...

    with pytest.raises(ContractError, match=text):
        Renamed.shipped.upcast(from_name=name, from_version=version)(unchanged)
    check(Renamed)


def test_names_never_lead_in_a_circle() -> None:
    """Each of two events was the other one's earlier name: the second upcaster is refused."""

    class Circle(Contract):
        @event(version=2)
        def first(self) -> None: ...

        @event(version=2)
        def second(self) -> None: ...

    Circle.first.upcast(from_name="second", from_version=1)(unchanged)
    with pytest.raises(ContractError, match="from event 'first' version 1 lead back to it"):
        Circle.second.upcast(from_name="first", from_version=1)(unchanged)


NAMES = ("oldest", "older", "newest")


@given(st.lists(st.tuples(st.sampled_from(NAMES[:-1]), st.integers(1, 4)), unique=True), st.integers(1, 4))
def test_any_history_of_versions_and_names_ends_in_the_event(renames: list[tuple[str, int]], version: int) -> None:
    """Whatever was renamed when, each event that was ever stored passes through every later version once."""
    contract = contract_with("newest", version)
    for earlier in range(1, version):
        step_from(contract, None, earlier)
    for name, renamed_at in renames:
        if renamed_at <= version:
            step_from(contract, name, renamed_at)
    check(contract)
    for name, stored in [*renames, *(("newest", each) for each in range(1, version + 1))]:
        if stored > version:
            with pytest.raises((UnknownEvent, UnknownVersion)):
                definition_for(contract, name, stored)
            continue
        first = [] if name == "newest" else [f"{name} {stored}"]
        expected = [*first, *(f"same name {each}" for each in range(stored, version))]
        assert decode_event(contract, name, stored, {"steps": b"[]"})[1] == {"steps": expected}
