"""Interleaved measurement: every contender runs once per round, and the median of the rounds' ratios counts."""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.results import Ratio, Table

Contender = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Track:
    """One contender: ``prepare`` is not timed, ``run`` is; ``events`` pass in each run."""

    name: str
    run: Contender
    events: int
    prepare: Contender | None = None
    rates: list[float] = field(default_factory=list[float])


async def race(tracks: Sequence[Track], rounds: int) -> None:
    """Run every track once a round, in turn, after one round that does not count.

    The garbage collector is kept from what was imported for all of them: a contender would otherwise pay for the
    libraries of the others, and the more objects it has in flight, the more it would pay.
    """
    gc.collect()
    gc.freeze()
    for number in range(rounds + 1):
        for track in tracks:
            if track.prepare is not None:
                await track.prepare()
            started = time.perf_counter()
            await track.run()
            elapsed = time.perf_counter() - started
            if number > 0:
                track.rates.append(track.events / elapsed)
            await asyncio.sleep(0)


def bound(name: str, callers: int, put: Track, append: Track) -> Track:
    """Return the rate, round by round, of callers that wait for one PUT and for their part of the appends."""

    async def never() -> None:
        """Do nothing: it is calculated."""

    rates = [callers / (1 / puts + callers / appends) for puts, appends in zip(put.rates, append.rates, strict=True)]
    return Track(name, never, callers, rates=rates)


def fixed(name: str, rate: float, rounds: int) -> Track:
    """Return a rate that is wanted, as a contender that reaches it in each round."""

    async def never() -> None:
        """Do nothing: it is not measured."""

    return Track(name, never, 0, rates=[rate] * rounds)


def ratio(ours: Track, baseline: Track, wanted: float | None = None) -> Ratio:
    """Compare two tracks round by round."""
    ratios = [mine / theirs for mine, theirs in zip(ours.rates, baseline.rates, strict=True)]
    return Ratio(ours.name, baseline.name, statistics.median(ratios), min(ratios), max(ratios), wanted)


def table(name: str, title: str, tracks: Sequence[Track], ratios: Sequence[Ratio]) -> Table:
    """Return what one race has shown."""
    return Table(name, title, {track.name: statistics.median(track.rates) for track in tracks}, tuple(ratios))


def wanted(since_3_13: float, before: float) -> float:
    """Return the target of this Python: 3.13 made asyncio faster."""
    return since_3_13 if sys.version_info >= (3, 13) else before


async def by_callers(callers: int, total: int, call: Callable[[int], Awaitable[object]]) -> None:
    """Share ``total`` calls among concurrent callers, each of which awaits its own calls one after the other."""
    numbers = iter(range(total))

    async def caller() -> None:
        for number in numbers:
            await call(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
