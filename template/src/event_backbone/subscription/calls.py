"""What is called for one event: one handler or all of them, each interceptor around what follows it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from event_backbone.consumer import Context, Handler
from event_backbone.interceptors import HandleInterceptor


def call_of(handlers: tuple[Handler, ...]) -> Handler:
    """Return what calls all these handlers."""
    return handlers[0] if len(handlers) == 1 else functools.partial(_call_all, handlers)


async def _call_all(handlers: Sequence[Handler], ctx: Context[Any], /, **arguments: object) -> None:
    calls = (handler(ctx, **arguments) for handler in handlers)
    results = await asyncio.gather(*calls, return_exceptions=True)
    errors = [each for each in results if isinstance(each, BaseException)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup("several handlers of one event failed", [_as_exception(each) for each in errors])


def within(
    interceptor: HandleInterceptor, call_next: Callable[[Context[Any]], Awaitable[None]]
) -> Callable[[Context[Any]], Awaitable[None]]:
    """Return what calls the interceptor, and by it ``call_next``."""
    return lambda ctx: interceptor(ctx, call_next)


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
