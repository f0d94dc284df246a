"""Several calls at the same time, all of which have ended when the result is there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from event_backbone.errors import PayloadGone

T = TypeVar("T")


async def gather_all(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return all results in order, or, once every call has ended, raise the first error in that order.

    PayloadGone is raised only if there is no other error: it says that the rest was done.
    """
    results = await asyncio.gather(*calls, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors:
        raise next((error for error in errors if not isinstance(error, PayloadGone)), errors[0])
    return [result for result in results if not isinstance(result, BaseException)]
