"""Times that are produced must be aware: a naive one would say another time to every reader."""

from __future__ import annotations

from datetime import datetime
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, AwareDatetime, PlainValidator, WrapValidator

_OWN_DECISION = (AfterValidator, PlainValidator, WrapValidator)


def aware_only(annotation: Any) -> Any:
    """Return the annotation with ``AwareDatetime`` for each ``datetime`` in it, also within containers and unions.

    Pydantic's NaiveDatetime stays, and so do annotations with a validator, which may add a zone. What a model, a
    dataclass or an alias contains is not looked into.
    """
    if annotation is datetime:
        return AwareDatetime
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner, more = inner[:1], inner[1:]
        if any(isinstance(each, _OWN_DECISION) for each in more):
            return annotation
    else:
        more = ()
    changed = tuple(map(aware_only, inner))
    if origin is Literal or all(new is old for new, old in zip(changed, inner, strict=True)):
        return annotation
    if origin in {Union, UnionType}:
        return Union[changed]  # noqa: UP007 - its members are known only now
    return Annotated[(*changed, *more)] if origin is Annotated else origin[changed]
