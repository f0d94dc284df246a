"""Annotations written as text: they are resolved on first use, wherever their names come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from event_backbone.contract import Contract, assert_round_trip, check, event
from event_backbone.errors import ContractError

if TYPE_CHECKING:
    from fractions import Fraction


class Early(Contract):
    """Names a type that is defined after it."""

    @event
    def happened(self, later: Later | None, texts: list[str]) -> None:
        """Names it as text."""


class Later(BaseModel):
    """Is defined after the contract."""

    number: int


def test_a_type_may_be_defined_after_the_contract() -> None:
    """As long as it is there on first use."""
    assert_round_trip(Early.happened, Later(number=1), ["a"])


def test_a_type_may_be_local() -> None:
    """A contract made within a function finds the types of the function, and those of the contract's body."""

    class Local(BaseModel):
        number: int

    class Made(Contract):
        class Nested(BaseModel):
            text: str

        @event
        def happened(self, local: Local, nested: list[Nested]) -> None: ...

        @event(version=2)
        def again(self, local: Local) -> None: ...

    assert_round_trip(Made.happened, Local(number=1), [Made.Nested(text="a")])
    assert_round_trip(Made.again, Local(number=1))


def test_a_local_name_is_not_taken_from_a_caller() -> None:
    """Only the scopes around the class count, not those of the functions that called."""

    def make() -> type[Early]:
        class Made(Early):
            @event
            def again(self, later: Later) -> None: ...

        return Made

    def call() -> type[Early]:
        Later = str  # noqa: F841, N806 # pyright: ignore[reportUnusedVariable]
        return make()

    made = call()
    check(made)
    again = vars(made)["again"].__get__(None, made)
    assert again.definition.codec.parameters[0].annotation is Later


def test_a_type_only_for_the_type_checker_is_named() -> None:
    """The class can be made; its first use says what to import."""

    class Made(Contract):
        @event
        def happened(self, share: Fraction) -> None: ...

    with pytest.raises(ContractError, match=r"'share' of event 'happened' .* \(Fraction is not defined\)"):
        check(Made)
    with pytest.raises(ContractError, match="'share' of event 'happened'"):
        Made.happened.definition.codec.encode((1,), {})
