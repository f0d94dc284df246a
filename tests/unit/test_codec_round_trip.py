"""What comes back equals what went in, for every type that an event may use."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from annotated_types import Ge
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from event_backbone.codec import ArgumentsCodec


class Colour(Enum):
    """Values that are not valid JSON."""

    RED = 1
    BLUE = "blue"


class Size(IntEnum):
    """Values that are numbers as well."""

    SMALL = 1
    LARGE = 2


class Unit(StrEnum):
    """Values that are texts as well."""

    GRAM = "g"
    METRE = "m"


class Email(str):
    """A subclass of a text."""

    __slots__ = ()


class Point(NamedTuple):
    """A tuple with names."""

    x: int
    y: Decimal


class Address(TypedDict):
    """A dict with known keys."""

    street: str
    photo: bytes


@dataclass
class Parcel:
    """A plain dataclass, which takes the codec's configuration."""

    weight: float
    label: bytes
    tags: list[str] = field(default_factory=list)
    inner: "Parcel | None" = None


class User(BaseModel):
    """A model with an alias and its own configuration."""

    model_config = ConfigDict(ser_json_inf_nan="strings", populate_by_name=True)

    name: str = Field(alias="fullName")
    born: date | None = None
    score: float = 0.0
    friends: list["User"] = Field(default_factory=list)


class Cat(BaseModel):
    """One branch of a tagged union."""

    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    """The other branch."""

    kind: Literal["dog"] = "dog"
    name: str


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
Positive = Annotated[int, Ge(1)]

FIFTIES = datetime(1950, 1, 1)  # noqa: DTZ001 - the strategy adds the zone

texts = st.text()
datetimes = st.datetimes(timezones=st.just(UTC) | st.just(timezone(timedelta(hours=-7, minutes=-30))))
decimals = st.decimals(allow_nan=False, allow_infinity=False)
users: st.SearchStrategy[User] = st.deferred(
    lambda: st.builds(
        User,
        fullName=texts,
        born=st.none() | st.dates(),
        score=st.floats(allow_nan=False),
        friends=st.lists(users, max_size=2),
    )
)
parcels: st.SearchStrategy[Parcel] = st.deferred(
    lambda: st.builds(
        Parcel, st.floats(allow_nan=False), st.binary(), st.lists(texts, max_size=2), inner=st.none() | parcels
    )
)

CASES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "str": (str, texts),
    "str subclass": (str, st.builds(Email, texts)),
    "int": (int, st.integers(-(10**60), 10**60)),
    "bool": (bool, st.booleans()),
    "float": (float, st.floats(allow_nan=False)),
    "bytes": (bytes, st.binary()),
    "datetime": (datetime, datetimes),
    # Offsets of local mean time, in use until the 1940s, have seconds, which ISO 8601 cannot express.
    "datetime of a named zone": (
        datetime,
        st.datetimes(FIFTIES, timezones=st.just(ZoneInfo("Asia/Kolkata"))),
    ),
    "date": (date, st.dates()),
    "time": (time, st.times()),
    "timedelta": (timedelta, st.timedeltas(min_value=timedelta(days=-9999), max_value=timedelta(days=9999))),
    "Decimal": (Decimal, decimals),
    "UUID": (UUID, st.uuids()),
    "None": (None, st.none()),
    "optional": (str | None, st.none() | texts),
    "union": (int | str, st.integers() | texts),
    "enum": (Colour, st.sampled_from(Colour)),
    "int enum": (Size, st.sampled_from(Size)),
    "str enum": (Unit, st.sampled_from(Unit)),
    "literal": (Literal["a", 1, True], st.sampled_from(["a", 1])),
    "constrained": (Positive, st.integers(1)),
    "list": (list[datetime], st.lists(datetimes)),
    "list of bytes": (list[bytes], st.lists(st.binary())),
    "set": (set[int], st.sets(st.integers())),
    "frozenset": (frozenset[str], st.frozensets(texts)),
    "tuple": (tuple[int, bytes], st.tuples(st.integers(), st.binary())),
    "long tuple": (tuple[Decimal, ...], st.lists(decimals).map(tuple)),
    "dict": (dict[str, Decimal], st.dictionaries(texts, decimals)),
    "dict by UUID": (dict[UUID, float], st.dictionaries(st.uuids(), st.floats(allow_nan=False))),
    "dict by date": (dict[date, bytes], st.dictionaries(st.dates(), st.binary())),
    "dict by int": (dict[int, list[bytes]], st.dictionaries(st.integers(), st.lists(st.binary()))),
    "typed dict": (Address, st.fixed_dictionaries({"street": texts, "photo": st.binary()})),
    "named tuple": (Point, st.builds(Point, st.integers(), decimals)),
    "dataclass": (Parcel, parcels),
    "model": (User, users),
    "model or none": (User | None, st.none() | users),
    "models": (dict[str, list[User]], st.dictionaries(texts, st.lists(users, max_size=2), max_size=2)),
    "tagged union": (Pet, st.builds(Cat, lives=st.integers()) | st.builds(Dog, name=texts)),
}


def method(**annotations: object) -> Callable[..., None]:
    """Return a method with these arguments, as an event's would be."""

    def happened(self: object, *, value: object) -> None: ...

    happened.__annotations__ = {**annotations, "return": None}
    return happened


@pytest.mark.parametrize("case", CASES)
def test_every_type_comes_back_equal(case: str) -> None:
    """A value of each supported type survives encoding and decoding, with its own type."""
    annotation, values = CASES[case]
    codec = ArgumentsCodec(method(value=annotation), event="happened")

    @given(values)
    def comes_back_equal(value: object) -> None:
        payload = codec.encode((), {"value": value})
        returned = codec.decode(payload)["value"]
        assert returned == value
        assert isinstance(value, type(returned))

    comes_back_equal()


@pytest.mark.parametrize("annotation", [float, list[float], dict[str, float], float | None])
def test_nan_comes_back_as_nan(annotation: Any) -> None:
    """Not a number stays what it is, also within containers."""
    codec = ArgumentsCodec(method(value=annotation), event="happened")
    given_value: object = math.nan
    if annotation == list[float]:
        given_value = [math.nan]
    elif annotation == dict[str, float]:
        given_value = {"a": math.nan}
    returned = codec.decode(codec.encode((), {"value": given_value}))["value"]
    assert "nan" in repr(returned)


def test_an_instant_keeps_its_offset() -> None:
    """An aware datetime comes back aware, in the offset it was given in."""
    codec = ArgumentsCodec(method(value=datetime), event="happened")
    moment = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    returned = codec.decode(codec.encode((), {"value": moment}))["value"]
    assert isinstance(returned, datetime)
    assert (returned, returned.utcoffset()) == (moment, moment.utcoffset())
