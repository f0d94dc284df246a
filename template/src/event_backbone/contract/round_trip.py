"""A check for tests: handlers get what was produced."""

from __future__ import annotations

import math
from typing import Any, ParamSpec

from event_backbone.contract.event_decorator import EventOf
from event_backbone.errors import BackboneError

P = ParamSpec("P")


def assert_round_trip(event: EventOf[Any, P], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Encode a call of ``event``, decode it, and compare each argument with the one given.

    Raises:
        AssertionError: an argument cannot be encoded or decoded, or comes back changed; the text names it.
    """
    codec = event.definition.codec
    try:
        expected = codec.arguments(args, kwargs)
        returned = codec.decode(codec.encode(args, kwargs))
    except BackboneError as error:
        raise AssertionError(str(error)) from error
    given = dict(zip(expected, args, strict=False)) | kwargs
    for name, value in expected.items():
        if not _same(given.get(name, value), returned[name]):
            raise AssertionError(
                f"Argument {name!r} of {event!r} does not come back equal; change its type or serializer."
            )


def _same(given: object, returned: object) -> bool:
    if isinstance(given, float) and isinstance(returned, float) and math.isnan(given):
        return math.isnan(returned)
    return given == returned
