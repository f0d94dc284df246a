"""Waits for what other tasks or processes bring about: polls a condition, with a deadline instead of a guess."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from inspect import isawaitable
from time import monotonic


async def eventually(condition: Callable[[], bool | Awaitable[bool]], within_seconds: float = 15.0) -> None:
    """Return once the condition is true; fail when it is not in time."""
    deadline = monotonic() + within_seconds
    while True:
        holds = condition()
        if await holds if isawaitable(holds) else holds:
            return
        assert monotonic() < deadline, (
            f"not within {within_seconds} s: {getattr(condition, '__doc__', None) or condition}"
        )
        await asyncio.sleep(0.005)


@asynccontextmanager
async def longest_seen(measure: Callable[[], timedelta]) -> AsyncGenerator[list[timedelta], None]:
    """Give a list with the longest time so far, measured each time that another task has run."""
    longest = [timedelta(0)]

    async def look() -> None:
        while True:
            longest[0] = max(longest[0], measure())
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    try:
        yield longest
    finally:
        looking.cancel()
