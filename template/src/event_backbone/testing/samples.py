"""Sample arguments for an event, made from its types: always the same, and valid as far as JSON Schema can say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

from pydantic import JsonValue
from pydantic_core import to_json

from event_backbone.contract import EventDefinition
from event_backbone.errors import ArgumentsInvalid, ContractError

_FORMATS: Mapping[str, str] = {
    "base64": "c2FtcGxl",
    "base64url": "c2FtcGxl",
    "binary": "c2FtcGxl",
    "date": "2025-01-31",
    "date-time": "2025-01-31T12:00:00Z",
    "directory-path": ".",
    "duration": "PT1H30M",
    "email": "ada@example.com",
    "file-path": "sample.txt",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "json-string": "{}",
    "path": "sample.txt",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uuid": "0194b9a2-9c00-7000-8000-000000000001",
}
_WORDS: Mapping[str, str] = {"email": "ada@example.com", "name": "Ada", "id": "sample-1", "url": "https://example.com/"}
_INTEGER = 42
_NUMBER = 19.75
_DEEPEST = 8

Schema = Mapping[str, JsonValue]


def sample_json(definition: EventDefinition) -> bytes:
    """Return sample arguments of an event as one JSON object.

    Raises:
        ArgumentsInvalid: a type needs more than its schema shows, such as a pattern; the text says what to do.
    """
    try:
        schema = definition.codec.json_schema()
    except ContractError:
        raise
    except Exception as error:
        raise _no_sample(definition) from error
    text = to_json(_Samples(cast("Schema", schema.get("$defs", {}))).of(schema, "", 0))
    try:
        definition.codec.parse(text)
    except ArgumentsInvalid as error:
        raise _no_sample(definition) from error
    return text


def sample_arguments(definition: EventDefinition) -> dict[str, object]:
    """Return sample arguments of an event as typed values, by name; see ``sample_json``."""
    return definition.codec.parse(sample_json(definition))


def _no_sample(definition: EventDefinition) -> ArgumentsInvalid:
    return ArgumentsInvalid(
        f"No sample arguments can be made for event {definition.name!r}; give its types `examples`,"
        f" or send it with: produce {definition.attribute} --json ..."
    )


class _Samples:
    """Makes a value for a JSON schema; ``of`` is called for each part, with the name that it has there."""

    def __init__(self, definitions: Schema) -> None:
        self._definitions = definitions

    def of(self, schema: Schema, name: str, depth: int) -> JsonValue:
        if depth > _DEEPEST:
            return None
        if isinstance(reference := schema.get("$ref"), str):
            found = cast("Schema", self._definitions[reference.rsplit("/", 1)[-1]])
            return self.of(found, name, depth + 1)
        for known in ("examples", "enum"):
            if isinstance(values := schema.get(known), list) and values:
                return values[0]
        if "const" in schema:
            return schema["const"]
        for choice in ("anyOf", "oneOf", "allOf"):
            if isinstance(choices := schema.get(choice), list) and choices:
                return self._one_of(cast("Sequence[Schema]", choices), name, depth)
        return self._typed(schema, name, depth)

    def _one_of(self, choices: Sequence[Schema], name: str, depth: int) -> JsonValue:
        values = [each for each in choices if each.get("type") != "null"]
        empty = len(values) < len(choices) and depth > _DEEPEST // 2  # a recursive model ends here
        return None if empty or not values else self.of(values[0], name, depth)

    def _typed(self, schema: Schema, name: str, depth: int) -> JsonValue:
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, name, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in {"integer", "number"}:
            number = _number(schema, _INTEGER if kind == "integer" else _NUMBER, whole=kind == "integer")
            return int(number) if kind == "integer" else number
        if kind in {"boolean", "null"}:
            return True if kind == "boolean" else None
        return _text(schema, name)

    def _array(self, schema: Schema, name: str, depth: int) -> list[JsonValue]:
        if isinstance(items := schema.get("prefixItems"), list):
            return [self.of(cast("Schema", each), name, depth + 1) for each in items]
        if depth > _DEEPEST // 2 and not schema.get("minItems"):
            return []
        item = self.of(cast("Schema", schema.get("items", {})), name, depth + 1)
        return [item] * max(1, int(_limit(schema, "minItems", 1)))

    def _object(self, schema: Schema, name: str, depth: int) -> dict[str, JsonValue]:
        members = cast("Mapping[str, Schema]", schema.get("properties", {}))
        made = {member: self.of(part, member, depth + 1) for member, part in members.items()}
        if not members and isinstance(others := schema.get("additionalProperties"), dict):
            made["sample"] = self.of(others, name, depth + 1)
        return made


def _text(schema: Schema, name: str) -> str:
    if (text := _FORMATS.get(str(schema.get("format")))) is None:
        last_word = name.rstrip("_").rsplit("_", 1)[-1].lower()
        text = _WORDS.get(last_word, f"sample {name}".strip())
        shortest, longest = int(_limit(schema, "minLength", 0)), int(_limit(schema, "maxLength", len(text)))
        text = text.ljust(shortest, "x")[: max(longest, shortest)]
    return text


def _number(schema: Schema, wish: float, *, whole: bool) -> float:
    """Return ``wish``, or the number closest to it that the schema's limits and step allow."""
    step = _limit(schema, "multipleOf", 1 if whole else 0)
    margin = step or 0.5
    low = max(_limit(schema, "minimum", -math.inf), _limit(schema, "exclusiveMinimum", -math.inf) + margin)
    high = min(_limit(schema, "maximum", math.inf), _limit(schema, "exclusiveMaximum", math.inf) - margin)
    number = min(max(wish, low), high)
    if low > high:  # an open interval narrower than the margin
        number = (_limit(schema, "exclusiveMinimum", low) + _limit(schema, "exclusiveMaximum", high)) / 2
    if step and number % step:
        number -= number % step
        number = number if number >= low else number + step
    return number


def _limit(schema: Schema, name: str, default: float) -> float:
    value = schema.get(name)
    return value if isinstance(value, (int, float)) else default
