"""Sample arguments: every type that a contract may use gets a valid value, the same each time."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from event_backbone.contract import Contract, event, events_of
from event_backbone.errors import ArgumentsInvalid
from event_backbone.testing.samples import sample_json


class Colour(Enum):
    """A closed choice."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Size:
    """A dataclass within arguments."""

    width: Annotated[int, Field(ge=50, multiple_of=7)]
    height: Annotated[float, Field(gt=0, lt=1)]


class Address(TypedDict):
    """A typed dict within arguments."""

    street: Annotated[str, Field(min_length=20)]
    code: Annotated[str, Field(max_length=5)]


class Person(BaseModel):
    """A recursive model."""

    name: str
    email: str
    parent: "Person | None" = None
    children: "list[Person]" = []


class Everything(Contract):
    """Events with every kind of argument."""

    @event
    def plain(self, text: str, number: int, ratio: float, price: Decimal, yes: bool, raw: bytes, day: date) -> None:
        """Plain types."""

    @event
    def nested(self, person: Person, size: Size, address: Address, colour: Colour, kind: Literal["a", "b"]) -> None:
        """Models, dataclasses, typed dicts, enums."""

    @event
    def containers(
        self, ids: list[UUID], by_name: dict[str, datetime], pair: tuple[int, str], wait: timedelta, note: str | None
    ) -> None:
        """Containers and optional values."""

    @event
    def nothing(self) -> None:
        """No argument."""

    @event
    def patterned(self, code: Annotated[str, Field(pattern="^[A-Z]{3}$", examples=["ABC"])]) -> None:
        """A pattern with an example."""

    @event
    def impossible(self, code: Annotated[str, Field(pattern="^[A-Z]{3}$")]) -> None:
        """A pattern without an example."""


DEFINITIONS = {each.attribute: each for each in events_of(Everything)}


@pytest.mark.parametrize("name", [name for name in DEFINITIONS if name != "impossible"])
def test_sample_arguments_fit_the_signature(name: str) -> None:
    """What is made up for an event is accepted by its codec, and is the same each time."""
    definition = DEFINITIONS[name]
    text = sample_json(definition)
    arguments = definition.codec.parse(text)
    assert list(arguments) == list(definition.signature.parameters)
    assert sample_json(definition) == text


def test_a_sample_shows_values_rather_than_none() -> None:
    """An optional argument gets a value, and a name says what kind of text is meant."""
    arguments = DEFINITIONS["nested"].codec.parse(sample_json(DEFINITIONS["nested"]))
    person = arguments["person"]
    assert isinstance(person, Person)
    assert person.email == "ada@example.com"
    assert person.parent is not None
    assert DEFINITIONS["containers"].codec.parse(sample_json(DEFINITIONS["containers"]))["note"]


def test_a_type_that_no_sample_fits_is_reported_in_one_sentence() -> None:
    """A pattern cannot be made up; the sentence names the event and what to do."""
    with pytest.raises(ArgumentsInvalid, match=r"No sample .* 'impossible'; give its types `examples`"):
        sample_json(DEFINITIONS["impossible"])
