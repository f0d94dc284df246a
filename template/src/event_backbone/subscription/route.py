"""Where the events of one name and version go: to which handlers, and how their payloads become arguments."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from event_backbone.consumer import Context, Handler


class Route(NamedTuple):
    """Where events of one name and version go (fast path, see decision 0010: it is found out once).

    ``call`` and ``decode`` are None unless the contract has just this version, and the consumer handlers for it.
    """

    wanted: bool
    call: Handler | None = None
    decode: Callable[[Mapping[str, bytes]], dict[str, object]] | None = None


NO_ROUTE = Route(wanted=False)


def call_of(handlers: tuple[Handler, ...]) -> Handler:
    """Return what calls all of these handlers."""
    return handlers[0] if len(handlers) == 1 else functools.partial(_call_all, handlers)


async def _call_all(handlers: Sequence[Handler], ctx: Context[Any], /, **arguments: object) -> None:
    calls = (handler(ctx, **arguments) for handler in handlers)
    results = await asyncio.gather(*calls, return_exceptions=True)
    errors = [each for each in results if isinstance(each, BaseException)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup("several handlers of one event failed", [_as_exception(each) for each in errors])


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
