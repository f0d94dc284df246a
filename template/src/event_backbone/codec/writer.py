"""Writes the value of one argument as JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin
from uuid import UUID

from pydantic import TypeAdapter

from event_backbone.codec.config import CONFIG
from event_backbone.codec.signature import Parameter

_SCALARS = (bool, bytes, date, datetime, Decimal, float, int, NoneType, str, time, timedelta, UUID)


def writer_of(parameter: Parameter, adapter: TypeAdapter[tuple[object, ...]]) -> Callable[[object], bytes]:
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
