"""Converts the arguments of one event between Python values and JSON bytes, one JSON value per argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property, partial
from inspect import cleandoc
from operator import itemgetter
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from event_backbone.codec.body import build_body_model, field_names_for
from event_backbone.codec.config import CONFIG
from event_backbone.codec.explanation import explain, field_names
from event_backbone.codec.signature import Parameter, read_parameters, resolve
from event_backbone.codec.times import aware_only
from event_backbone.errors import ArgumentsInvalid, ContractError, DecodeError

_SCALARS = (bool, bytes, date, datetime, Decimal, float, int, NoneType, str, time, timedelta, UUID)


@dataclass(frozen=True, slots=True)
class _Converters:
    """What pydantic built from the signature.

    A single value is wrapped in a tuple: pydantic accepts CONFIG for a tuple of anything, but not for a dataclass or a
    typed dict.
    """

    validate: Callable[[tuple[object, ...]], tuple[object, ...]]
    validate_json: Callable[[bytes], tuple[object, ...]]
    writers: tuple[tuple[str, Callable[[object], bytes]], ...]
    readers: Mapping[str, Callable[[bytes], tuple[object, ...]]]
    default_bytes: Mapping[str, bytes]
    positional_only_calls: int


class ArgumentsCodec:
    """Encodes and decodes the arguments of one event, as the annotations of its method say.

    Converters are built on first use, since annotations may name what is defined after the contract. Every call is pure
    and may be repeated. No error text contains a value, and pydantic's errors are not kept as causes, as their texts
    may quote keys and what validators say about a value.
    """

    def __init__(
        self, function: Callable[..., object], *, event: str, local_names: Mapping[str, object] | None = None
    ) -> None:
        """Read the signature.

        Args:
            function: the event's method; its first parameter, ``self``, is left out.
            event: the event's name, for error texts.
            local_names: what annotations may name besides what is in the function's module.

        Raises:
            ContractError: the arguments cannot be stored by name (``read_parameters`` has the rules).
        """
        self._function = function
        self._event = event
        self._local_names = local_names or {}
        self._declared = read_parameters(function, event=event)
        self._names = tuple(each.name for each in self._declared)
        self._name_set = frozenset(self._names)
        self._positional = sum(not each.keyword_only for each in self._declared)
        self._converters: _Converters | None = None
        self._get_values = _getter_of(self._names)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The arguments in the order of the signature, with resolved annotations."""
        return resolve(self._declared, self._function, self._local_names, event=self._event)

    @cached_property
    def nullable(self) -> frozenset[str]:
        """The names of the arguments whose type admits None."""
        readers = (self._converters or self._build()).readers
        return frozenset(name for name, read in readers.items() if _admits_null(read))

    def check(self) -> None:
        """Build what encoding and decoding need; raise ContractError when a type or a default cannot work."""
        self._build()

    def encode(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, bytes]:
        """Validate a call and return the JSON of every argument, defaults included. A ``datetime`` must be aware.

        Raises:
            ArgumentsInvalid: the call does not fit the signature, or a value cannot be written as JSON.
        """
        converters = self._converters or self._build()
        payload: dict[str, bytes] = {}
        name, values = "", self._validated(converters, args, kwargs)
        try:
            for (name, write), value in zip(converters.writers, values):  # noqa: B905 - equal lengths, as in decode
                payload[name] = write(value)
        except Exception:  # noqa: BLE001 - serializers are the users' code and may raise anything
            raise ArgumentsInvalid(
                f"Argument {name!r} of event {self._event!r} has a value that its type cannot write as JSON."
            ) from None
        return payload

    def arguments(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Validate a call and return its arguments by name, defaults included; raise ArgumentsInvalid otherwise."""
        return dict(zip(self._names, self._validated(self._converters or self._build(), args, kwargs), strict=True))

    def decode(self, payload: Mapping[str, bytes]) -> dict[str, object]:
        """Return the arguments by name. A missing one takes its default; unknown ones are ignored.

        Raises:
            DecodeError: an argument is missing or does not fit its type.
        """
        converters = self._converters or self._build()
        try:
            values = converters.validate_json(b"[" + b",".join(self._get_values(payload)) + b"]")
        except Exception:  # noqa: BLE001 - validators are the users' code and may raise anything
            return self._decode_one_by_one(converters, payload)
        arguments: dict[str, object] = {}
        position = 0
        for name in self._names:  # half the cost of zip or enumerate: fast path, see decision 0008
            arguments[name] = values[position]
            position += 1  # noqa: SIM113
        return arguments

    def json_schema(self) -> dict[str, JsonValue]:
        """Return the JSON schema of all arguments as one object."""
        return self.body_model().model_json_schema(by_alias=True)

    def body_model(self) -> type[BaseModel]:
        """Return a pydantic model of the arguments, which refuses unknown ones; it is the same class each time."""
        return self._body_model

    def arguments_of(self, body: BaseModel) -> dict[str, object]:
        """Return the arguments by name from an instance of ``body_model()``."""
        return {name: getattr(body, field) for name, field in zip(self._names, self._body_fields, strict=True)}

    def parse(self, text: str | bytes) -> dict[str, object]:
        """Return the arguments by name from one JSON object, such as the body of a request.

        Raises:
            ArgumentsInvalid: the text is not a JSON object, or an argument is unknown, missing or does not fit.
        """
        try:
            return self.arguments_of(self._body_model.model_validate_json(text))
        except ValidationError as error:
            if not error.errors(include_url=False, include_input=False)[0]["loc"]:
                raise ArgumentsInvalid(
                    f"The arguments of event {self._event!r} must be one JSON object, such as {self._example()}."
                ) from None
            raise ArgumentsInvalid(explain(error, self._event, str, self._known_names)) from None

    def _validated(
        self, converters: _Converters, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> tuple[object, ...]:
        if kwargs or len(args) != converters.positional_only_calls:
            args = self._bound(args, kwargs)
        try:
            return converters.validate(args)
        except ValidationError as error:
            raise ArgumentsInvalid(explain(error, self._event, self._name_at, self._known_names)) from None
        except Exception:  # noqa: BLE001 - validators are the users' code and may raise anything
            raise ArgumentsInvalid(f"A validator refuses an argument of event {self._event!r}.") from None

    def _bound(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> tuple[object, ...]:
        if not args and len(kwargs) == len(self._names) and self._name_set.issuperset(kwargs):
            return tuple([kwargs[name] for name in self._names])
        if len(args) > self._positional:
            raise ArgumentsInvalid(
                f"Event {self._event!r} was given {len(args)} positional arguments; it takes {self._positional}."
            )
        given: dict[str, object] = dict(zip(self._names, args, strict=False))
        for name, value in kwargs.items():
            if name not in self._name_set:
                raise ArgumentsInvalid(f"Event {self._event!r} has no argument {name!r}.")
            if name in given:
                raise ArgumentsInvalid(f"Argument {name!r} of event {self._event!r} is given twice; give it once.")
            given[name] = value
        for each in self._declared:
            if each.required and each.name not in given:
                raise ArgumentsInvalid(f"Argument {each.name!r} of event {self._event!r} is missing.")
        return tuple(given.get(each.name, each.default) for each in self._declared)

    def _decode_one_by_one(self, converters: _Converters, payload: Mapping[str, bytes]) -> dict[str, object]:
        complete = {**converters.default_bytes, **payload}
        values: dict[str, object] = {}
        for name, read in converters.readers.items():
            if name not in complete:
                raise DecodeError(f"Argument {name!r} of event {self._event!r} is missing from the payload.")
            try:
                (values[name],) = read(b"[" + complete[name] + b"]")
            except ValidationError as error:
                raise DecodeError(explain(error, self._event, partial(_always, name), self._known_names)) from None
            except Exception:  # noqa: BLE001 - as in decode
                raise DecodeError(
                    f"Argument {name!r} of event {self._event!r} is refused by a validator of its type."
                ) from None
        return values

    def _build(self) -> _Converters:
        if self._converters is None:
            adapters = {each.name: self._adapter(each) for each in self.parameters}
            annotations = tuple(each.annotation for each in self.parameters)
            whole: TypeAdapter[tuple[object, ...]] = TypeAdapter(_tuple_of(annotations), config=CONFIG)
            produced = tuple(map(aware_only, annotations))
            given = whole if produced == annotations else TypeAdapter(_tuple_of(produced), config=CONFIG)
            self._converters = _Converters(
                validate=given.validator.validate_python,
                validate_json=whole.validator.validate_json,
                writers=tuple((each.name, _writer_of(each, adapters[each.name])) for each in self.parameters),
                readers={name: adapter.validator.validate_json for name, adapter in adapters.items()},
                default_bytes={
                    each.name: self._default_bytes(each, adapters[each.name])
                    for each in self.parameters
                    if not each.required
                },
                positional_only_calls=len(self._names) if self._positional == len(self._names) else -1,
            )
        return self._converters

    def _adapter(self, parameter: Parameter) -> TypeAdapter[tuple[object, ...]]:
        try:
            return TypeAdapter(_tuple_of((parameter.annotation,)), config=CONFIG)
        except Exception as error:
            raise ContractError(
                f"Argument {parameter.name!r} of event {self._event!r} has a type that pydantic cannot read and write."
            ) from error

    def _default_bytes(self, parameter: Parameter, adapter: TypeAdapter[tuple[object, ...]]) -> bytes:
        try:
            annotation = aware_only(parameter.annotation)
            same = annotation is parameter.annotation
            given = adapter if same else self._adapter(replace(parameter, annotation=annotation))
            value = given.validate_python((parameter.default,))
            return adapter.dump_json(value, by_alias=True, warnings="error")[1:-1]
        except Exception as error:
            raise ContractError(
                f"The default of argument {parameter.name!r} of event {self._event!r} does not fit its type."
            ) from error

    def _name_at(self, position: int | str) -> str:
        return self._names[position] if isinstance(position, int) and position < len(self._names) else str(position)

    def _example(self) -> str:
        return "{" + ", ".join(f'"{name}": ...' for name in self._names) + "}"

    @cached_property
    def _body_fields(self) -> tuple[str, ...]:
        return field_names_for(self._declared)

    @cached_property
    def _body_model(self) -> type[BaseModel]:
        self._build()
        return build_body_model(self._event, cleandoc(self._function.__doc__ or ""), self.parameters)

    @cached_property
    def _known_names(self) -> frozenset[str]:
        try:
            return field_names(self.json_schema())
        except Exception:  # noqa: BLE001 - a type without a JSON schema: its fields are then not named in error texts
            return frozenset()


def _tuple_of(annotations: tuple[object, ...]) -> Any:
    return cast("Any", tuple)[annotations or ()]


def _getter_of(names: tuple[str, ...]) -> Callable[[Mapping[str, bytes]], tuple[bytes, ...]]:
    """Return a function that gets the values of these names in this order, or raises KeyError if one is missing."""
    if len(names) > 1:
        return cast("Callable[[Mapping[str, bytes]], tuple[bytes, ...]]", itemgetter(*names))
    return lambda payload: tuple([payload[name] for name in names])


def _admits_null(read: Callable[[bytes], object]) -> bool:
    try:
        read(b"[null]")
    except Exception:  # noqa: BLE001 - validators are the users' code and may raise anything
        return False
    return True


def _always(name: str, _: int | str) -> str:
    return name


def _writer_of(parameter: Parameter, adapter: TypeAdapter[tuple[object, ...]]) -> Callable[[object], bytes]:
    """Return what writes a valid value as JSON, and raises if it does not fit the type."""
    if _is_plain(parameter.annotation):
        # Neither tuple, aliases nor warnings: fast path, see decision 0008.
        plain: TypeAdapter[object] = TypeAdapter(cast("Any", parameter.annotation), config=CONFIG)
        return plain.serializer.to_json
    write = adapter.serializer.to_json
    return lambda value: write((value,), by_alias=True, warnings="error")[1:-1]


def _is_plain(annotation: object) -> bool:
    """Return whether valid values always serialize as typed, so that no check is needed (see decision 0008)."""
    if get_origin(annotation) in {Union, UnionType}:
        return all(map(_is_plain, get_args(annotation)))
    return isinstance(annotation, type) and (annotation in _SCALARS or issubclass(annotation, Enum))
