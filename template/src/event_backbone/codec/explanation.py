"""Explains a validation error in one sentence: event, argument and what is expected, never the value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

_KNOWN_ERRORS = frozenset(get_args(ErrorType))
# Context of pydantic's errors that comes from the schema, not from the value.
_FROM_SCHEMA = frozenset(
    {
        "ge",
        "gt",
        "le",
        "lt",
        "multiple_of",
        "min_length",
        "max_length",
        "actual_length",
        "field_type",
        "pattern",
        "expected",
        "class",
        "class_name",
        "tz_expected",
        "expected_version",
        "expected_schemes",
        "max_digits",
        "decimal_places",
        "whole_digits",
        "discriminator",
    }
)


def explain(error: ValidationError, event: str, name_of: Callable[[int | str], str], known: frozenset[str]) -> str:
    """Return a sentence about the first error.

    ``name_of`` returns the argument's name for the first step of the error's location. Of the steps inside the argument
    only indexes and ``known`` field names appear in the text: others may be keys of the caller's data.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    steps = first["loc"] or ("",)
    argument, inner = name_of(steps[0]), [str(step) for step in steps[1:] if isinstance(step, int) or step in known]
    subject = f"Argument {argument!r} of event {event!r}"
    location = f" at {'.'.join(inner)}" if inner else ""
    match first["type"]:
        case "missing":
            return f"{subject} is missing a value{location}." if inner else f"{subject} is missing."
        case "extra_forbidden" if not inner:
            return f"Event {event!r} has no argument {argument!r}."
        case "timezone_aware":
            return f"{subject}{location} must have a time zone, such as datetime.now(UTC) or 2026-01-31T09:00:00Z."
        case "json_invalid":
            return f"{subject} is not valid JSON."
        case _:
            return f"{subject}{location} {expectation(first)}."


def field_names(schema: JsonValue) -> frozenset[str]:
    """Return every property name in a JSON schema."""
    names: set[str] = set()
    parts: Iterable[JsonValue] = schema if isinstance(schema, list) else ()
    if isinstance(schema, dict):
        own = schema.get("properties")
        names.update(own if isinstance(own, dict) else ())
        parts = schema.values()
    return frozenset(names.union(*map(field_names, parts)))


def expectation(error: ErrorDetails) -> str:
    """Return what is expected of a value, as the end of a sentence without its full stop."""
    context: Mapping[str, object] = error.get("ctx", {})
    if error["type"] not in _KNOWN_ERRORS:
        return "is refused by a validator of its type"
    if error["type"] in {"value_error", "assertion_error"}:
        return "is refused by a validator of its type"
    # Parsers add an "error" at the end, which may quote the value: "expected a digit, found `x`".
    text = error["msg"].removesuffix(f", {context.get('error')}")
    if not context.keys() - {"error"} <= _FROM_SCHEMA or (context.get("error") and text == error["msg"]):
        return f"does not fit its type ({error['type']})"
    if text.startswith("Input should "):
        return text.removeprefix("Input ")
    return f"does not fit: {text}"
