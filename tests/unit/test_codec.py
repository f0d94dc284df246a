"""How calls become payloads and payloads become arguments, and what is said when they do not fit."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, field_validator

from event_backbone.codec import NO_DEFAULT, ArgumentsCodec
from event_backbone.errors import ArgumentsInvalid, ContractError, DecodeError

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)
SECRET = "hunter2"


class Customer(BaseModel):
    """A model whose validator repeats the value, as people write them."""

    email: str
    marks: dict[str, int] = Field(default_factory=dict)

    @field_validator("email")
    @classmethod
    def _has_at(cls, value: str) -> str:
        if value == "crash":
            raise KeyError(SECRET)
        if "@" not in value:
            raise ValueError(f"{value} is not an e-mail address")
        return value


class Cat(BaseModel):
    """One branch of a tagged union."""

    kind: Literal["cat"]


class Dog(BaseModel):
    """The other branch."""

    kind: Literal["dog"]


class Events:
    """Methods as events have them."""

    def packing(self, email: str, product_id: int, time: datetime) -> None:
        """The parcel is being packed."""

    def defaults(self, name: str, count: int = 3, *, notes: list[str] = [], urgent: bool = False) -> None:  # noqa: B006
        """Has defaults, one of them mutable."""

    def nothing(self) -> None:
        """Has no arguments."""

    def placed(self, customer: Customer) -> None:
        """Has a model."""

    def clash(self, json: int, json_: int, model_config: str, copy: str = "x") -> None:
        """Has names that pydantic models use themselves."""


def codec(function: Callable[..., None]) -> ArgumentsCodec:
    """Return the codec of an event method."""
    return ArgumentsCodec(function, event=function.__name__)


def codec_for(annotation: object) -> ArgumentsCodec:
    """Return the codec of an event with one argument, ``value``."""

    def happened(self: object, value: object) -> None: ...

    happened.__annotations__["value"] = annotation
    return codec(happened)


def test_each_argument_becomes_one_json_value() -> None:
    """A payload has the JSON of every argument under its name."""
    assert codec(Events.packing).encode(("a@b.c", 7, NOON), {}) == {
        "email": b'"a@b.c"',
        "product_id": b"7",
        "time": b'"2026-05-06T12:00:00Z"',
    }


def test_arguments_may_be_given_by_name_in_any_order() -> None:
    """Names, positions and a mix of them are the same call."""
    by_position = codec(Events.packing).encode(("a@b.c", 7, NOON), {})
    assert codec(Events.packing).encode((), {"time": NOON, "product_id": 7, "email": "a@b.c"}) == by_position
    assert codec(Events.packing).encode(("a@b.c",), {"time": NOON, "product_id": 7}) == by_position


def test_a_string_is_taken_for_what_it_means() -> None:
    """A caller without types, such as a command line, may give a date as text."""
    assert codec(Events.packing).arguments(("a@b.c", "7", "2026-05-06T12:00:00Z"), {}) == {
        "email": "a@b.c",
        "product_id": 7,
        "time": NOON,
    }


def test_defaults_are_part_of_the_payload() -> None:
    """The default at the time of producing is what is read, even after it has changed."""
    assert codec(Events.defaults).encode(("n",), {}) == {
        "name": b'"n"',
        "count": b"3",
        "notes": b"[]",
        "urgent": b"false",
    }


def test_a_missing_argument_takes_its_default_when_read() -> None:
    """An event from before the argument existed still decodes, and gets its own copy of a mutable default."""
    decode = codec(Events.defaults).decode
    first, second = decode({"name": b'"n"'}), decode({"name": b'"n"'})
    assert first == {"name": "n", "count": 3, "notes": [], "urgent": False}
    assert first["notes"] is not second["notes"]


def test_an_unknown_argument_is_ignored_when_read() -> None:
    """An event with an argument that was removed still decodes."""
    assert codec(Events.defaults).decode({"name": b'"n"', "gone": b"not JSON"})["name"] == "n"


def test_an_event_may_have_no_arguments() -> None:
    """Its payload is empty."""
    assert codec(Events.nothing).encode((), {}) == {}
    assert codec(Events.nothing).decode({"any": b"1"}) == {}


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        (("a", 1), {}, "Argument 'time' of event 'packing' is missing."),
        ((), {}, "Argument 'email' of event 'packing' is missing."),
        (("a", 1, NOON, 4), {}, "Event 'packing' was given 4 positional arguments; it takes 3."),
        (("a", 1, NOON), {"email": "b"}, "Argument 'email' of event 'packing' is given twice; give it once."),
        (("a", 1, NOON), {"colour": "b"}, "Event 'packing' has no argument 'colour'."),
        (("a", 1.5, NOON), {}, "Argument 'product_id' of event 'packing' should be a valid integer"),
        ((1, 1, NOON), {}, "Argument 'email' of event 'packing' should be a valid string."),
    ],
)
def test_a_wrong_call_is_one_sentence(args: tuple[object, ...], kwargs: dict[str, object], sentence: str) -> None:
    """The sentence names event and argument and what is expected."""
    with pytest.raises(ArgumentsInvalid) as caught:
        codec(Events.packing).encode(args, kwargs)
    assert str(caught.value).startswith(sentence)


def test_a_keyword_only_argument_is_not_taken_by_position() -> None:
    """As Python has it."""
    with pytest.raises(ArgumentsInvalid, match="was given 3 positional arguments; it takes 2"):
        codec(Events.defaults).encode(("n", 1, []), {})


WRONG: list[tuple[Any, object, bytes]] = [
    (int, SECRET, b'"hunter2"'),
    (UUID, SECRET, b'"hunter2"'),
    (datetime, SECRET, b'"hunter2"'),
    (Literal["a", "b"], SECRET, b'"hunter2"'),
    (Annotated[str, Field(max_length=3)], SECRET, b'"hunter2"'),
    (Customer, {"email": SECRET}, b'{"email":"hunter2"}'),
    (Customer, {"email": "a@b", "marks": {SECRET: "x"}}, b'{"email":"a@b","marks":{"hunter2":"x"}}'),
    (Customer, {"email": "crash"}, b'{"email":"crash"}'),
    (Customer, {SECRET: 1}, b'{"hunter2":1}'),
    (Annotated[Cat | Dog, Field(discriminator="kind")], {"kind": SECRET}, b'{"kind":"hunter2"}'),
    (list[int], [1, SECRET], b'[1,"hunter2"]'),
    (dict[str, int], {SECRET: None}, b'{"hunter2":null}'),
]


@pytest.mark.parametrize(("annotation", "value", "raw"), WRONG)
def test_no_error_repeats_a_value(annotation: Any, value: object, raw: bytes) -> None:
    """Neither text nor cause of an error repeats a value, not even as a key or in a validator's words."""
    with pytest.raises(ArgumentsInvalid) as encoding:
        codec_for(annotation).encode((value,), {})
    with pytest.raises(DecodeError) as decoding:
        codec_for(annotation).decode({"value": raw})
    for error in (encoding.value, decoding.value):
        assert SECRET[:3] not in str(error)
        assert "'happened'" in str(error)
        assert error.__cause__ is None
        assert error.__suppress_context__


def test_an_error_within_a_model_names_the_field() -> None:
    """The path to the field is shown, as far as it consists of field names and positions."""
    with pytest.raises(ArgumentsInvalid, match=r"'value' of event 'happened' at email should be a valid string"):
        codec_for(Customer).encode(({"email": 5},), {})
    with pytest.raises(ArgumentsInvalid, match=r"at 1\.marks should be a valid integer"):
        codec_for(list[Customer]).encode(([{"email": "a@b"}, {"email": "a@b", "marks": {SECRET: "x"}}],), {})


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        ({"email": b'"a"', "product_id": b"1"}, "Argument 'time' of event 'packing' is missing from the payload."),
        ({"email": b"{", "product_id": b"1", "time": b'"x"'}, "Argument 'email' of event 'packing' is not valid JSON."),
        ({"email": b'"a"', "product_id": b"1,2", "time": b'"2026-05-06"'}, "Argument 'product_id' of event 'packing'"),
        ({"email": b'"\xff"', "product_id": b"1", "time": b'"x"'}, "Argument 'email' of event 'packing' is not valid"),
    ],
)
def test_a_payload_that_does_not_fit_is_one_sentence(payload: dict[str, bytes], sentence: str) -> None:
    """The sentence names event and argument."""
    with pytest.raises(DecodeError) as caught:
        codec(Events.packing).decode(payload)
    assert str(caught.value).startswith(sentence)


def test_a_model_that_was_made_wrong_is_not_sent() -> None:
    """A model that was changed behind pydantic's back is refused, without a warning that would show its value."""
    customer = Customer(email="a@b")
    vars(customer)["email"] = 5
    with pytest.raises(
        ArgumentsInvalid, match="Argument 'customer' of event 'placed' has a value that its type cannot write"
    ):
        codec(Events.placed).encode((customer,), {})


def test_a_default_must_fit_its_type() -> None:
    """It is checked before the first event is sent."""

    def happened(self: object, count: int = "many") -> None: ...  # type: ignore[assignment] # pyright: ignore[reportArgumentType]

    with pytest.raises(ContractError, match="default of argument 'count' of event 'happened'"):
        codec(happened).check()


def test_a_type_without_json_is_named() -> None:
    """A class that pydantic knows nothing of cannot be stored."""
    with pytest.raises(ContractError, match="Argument 'value' of event 'happened' has a type that pydantic cannot"):
        codec_for(type("Plain", (), {})).check()


def test_parameters_have_names_types_and_defaults() -> None:
    """What tools need to know about an event's arguments."""
    name, count, notes, urgent = codec(Events.defaults).parameters
    assert (name.name, name.annotation, name.default, name.required) == ("name", str, NO_DEFAULT, True)
    assert (count.annotation, count.default, count.required, count.keyword_only) == (int, 3, False, False)
    assert (notes.annotation, urgent.keyword_only) == (list[str], True)


def test_the_json_schema_describes_the_arguments() -> None:
    """One property for each argument, the method's docstring as description, nothing else allowed."""
    schema = codec(Events.packing).json_schema()
    assert schema["description"] == "The parcel is being packed."
    assert schema["required"] == ["email", "product_id", "time"]
    assert schema["additionalProperties"] is False
    assert schema["properties"] == {
        "email": {"title": "Email", "type": "string"},
        "product_id": {"title": "Product Id", "type": "integer"},
        "time": {"title": "Time", "type": "string", "format": "date-time"},
    }


def test_a_body_becomes_arguments() -> None:
    """The model of a request's body leads to the same payload as a call."""
    placed = codec(Events.defaults)
    body = placed.body_model().model_validate({"name": "n", "count": 4})
    assert placed.arguments_of(body) == {"name": "n", "count": 4, "notes": [], "urgent": False}
    assert placed.body_model() is placed.body_model()


def test_arguments_may_have_names_that_pydantic_uses() -> None:
    """An argument called json or copy is read and written under its own name."""
    clash = codec(Events.clash)
    arguments = {"json": 1, "json_": 2, "model_config": "c", "copy": "d"}
    assert clash.decode(clash.encode((), arguments)) == arguments
    assert clash.arguments_of(clash.body_model().model_validate(arguments)) == arguments
    assert set(clash.body_model().model_json_schema()["properties"]) == set(arguments)


def test_json_text_becomes_arguments() -> None:
    """A command line's JSON is read as payloads are: bytes as base64, dates as text."""
    assert codec_for(bytes).parse('{"value": "aGk="}') == {"value": b"hi"}
    assert codec(Events.packing).parse(b'{"email": "a", "product_id": 1, "time": "2026-05-06T12:00:00Z"}') == {
        "email": "a",
        "product_id": 1,
        "time": NOON,
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hunter2", "The arguments of event 'placed' must be one JSON object, such as {\"customer\": ...}."),
        ("[]", "The arguments of event 'placed' must be one JSON object"),
        ("{}", "Argument 'customer' of event 'placed' is missing."),
        ('{"customer": {"email": "hunter2"}}', "Argument 'customer' of event 'placed' at email is refused"),
        ('{"customer": {"email": "a@b"}, "colour": 1}', "Event 'placed' has no argument 'colour'."),
    ],
)
def test_json_text_that_does_not_fit_is_one_sentence(text: str, sentence: str) -> None:
    """The sentence names event and argument, never the value."""
    with pytest.raises(ArgumentsInvalid) as caught:
        codec(Events.placed).parse(text)
    assert str(caught.value).startswith(sentence)
    assert "hunter2" not in str(caught.value)
