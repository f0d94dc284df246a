"""Interleaved measurement: every contender runs once per round, and the median of the rounds' ratios counts."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

Contender = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Track:
    """One contender: ``prepare`` is not timed, ``run`` is; ``events`` pass in each run."""

    name: str
    run: Contender
    events: int
    prepare: Contender | None = None
    rates: list[float] = field(default_factory=list[float])


@dataclass(frozen=True, slots=True)
class Ratio:
    """How ours compares with a baseline: the median over the rounds, and what is demanded (None: nothing)."""

    baseline: str
    median: float
    lowest: float
    highest: float
    wanted: float | None


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


def ratio(ours: Track, baseline: Track, wanted: float | None = None) -> Ratio:
    """Compare two tracks round by round."""
    ratios = [mine / theirs for mine, theirs in zip(ours.rates, baseline.rates, strict=True)]
    return Ratio(baseline.name, statistics.median(ratios), min(ratios), max(ratios), wanted)


def report(title: str, tracks: Sequence[Track], ratios: Sequence[Ratio]) -> str:
    """Return the table of one race as text."""
    lines = [title]
    lines += [f"  {track.name:<44} {statistics.median(track.rates):>10,.0f} events/s" for track in tracks]
    for each in ratios:
        wanted = "" if each.wanted is None else f"   wanted {each.wanted:g}: {_verdict(each)}"
        span = f"({each.lowest:.2f} .. {each.highest:.2f})"
        lines.append(f"  event_backbone / {each.baseline:<37} {each.median:>7.2f}x   {span}{wanted}")
    return "\n".join(lines)


def _verdict(each: Ratio) -> str:
    return "reached" if each.wanted is not None and each.median >= each.wanted else "NOT reached"


async def by_callers(callers: int, total: int, call: Callable[[int], Awaitable[object]]) -> None:
    """Share ``total`` calls among concurrent callers, each of which awaits its own calls one after the other."""
    numbers = iter(range(total))

    async def caller() -> None:
        for number in numbers:
            await call(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
