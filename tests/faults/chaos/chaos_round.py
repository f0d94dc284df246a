"""One round of chaos: traffic, one fault after the other, calm, and what is left."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from time import monotonic

from event_backbone.backbone import Backbone
from event_backbone.errors import GroupMissing
from event_backbone.model import EventKey
from event_backbone.storage import S3Storage
from event_backbone.testing.servers import RedisServer
from tests.faults.chaos.calling import Callers
from tests.faults.chaos.faults import FAULTS, Scene, plan
from tests.faults.chaos.settings import ENVIRONMENT, s3_options
from tests.faults.chaos.supervisor import Supervised
from tests.faults.proxy import proxy_before
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3
from tests.support.parcels import GROUP, URI

_CALLERS = 8
_WORKERS = 3
_PAUSE_SECONDS = 0.02
_LONGEST_GAP_SECONDS = 0.25
_PRODUCE_TIMEOUT = timedelta(seconds=2)
_SETTLE_SECONDS = 60.0


@dataclass
class Outcome:
    """What a round left: with the callers, in the workers' lines, in the stream and among the dead letters."""

    seed: int
    callers: Callers
    places: list[Supervised]
    stored: list[tuple[EventKey, int]] = field(default_factory=list[tuple[EventKey, int]])
    dead: list[tuple[EventKey, str]] = field(default_factory=list[tuple[EventKey, str]])
    problems: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])
    settled_after_seconds: float = 0.0


async def chaos(seed: int, server: RedisServer, s3: FaultyS3 | None = None) -> Outcome:
    """Run a round on a separate server, until all is settled or its time is over, and everything has stopped."""
    random = Random(seed)
    async with (
        proxy_before(server.port) as proxy,
        _backbone(proxy.url, s3) as backbone,
        _backbone(server.url, s3) as observing,
        asyncio.TaskGroup() as supervising,
    ):
        options = [f"--seed={seed}", *(["--s3"] if s3 else [])]
        places = [Supervised(proxy.url, *options) for _ in range(_WORKERS)]
        outcome = Outcome(seed, Callers(backbone, _PAUSE_SECONDS), places)
        for place in places:
            supervising.create_task(place.run())
        try:
            await asyncio.gather(*(place.ready.wait() for place in places))
            await _traffic(Scene(server, proxy, places, s3), outcome, random)
            await _settle(observing, outcome)
            await asyncio.gather(*(place.close() for place in places))
            await _collect(observing, outcome)
        finally:
            for place in places:
                place.abandon()
    return outcome


def _backbone(url: str, s3: FaultyS3 | None) -> Backbone:
    storage = S3Storage(s3_options()) if s3 else None
    return Backbone(url, storage=storage, environment=ENVIRONMENT, produce_timeout=_PRODUCE_TIMEOUT)


async def _traffic(scene: Scene, outcome: Outcome, random: Random) -> None:
    """Let the callers call while the faults happen; afterwards each of them must succeed once more."""
    callers = outcome.callers
    calling = [asyncio.create_task(callers.run(Random(random.random()))) for _ in range(_CALLERS)]
    began = monotonic()
    try:
        for name in plan(random, s3=scene.s3 is not None):
            await asyncio.sleep(random.uniform(0, _LONGEST_GAP_SECONDS))
            outcome.faults.append(f"{name} at {monotonic() - began:.1f} s")
            await FAULTS[name](scene, Random(random.random()))
        await asyncio.gather(*scene.under_way)
        outcome.faults.append(f"calm at {monotonic() - began:.1f} s")
        callers.calm.set()
        _, late = await asyncio.wait(calling, timeout=_SETTLE_SECONDS)
        if late:
            outcome.problems.append(f"{len(late)} callers did not succeed within {_SETTLE_SECONDS:g} s of calm")
    finally:
        for task in calling:
            task.cancel()
        await asyncio.gather(*calling, return_exceptions=True)


async def _settle(observing: Backbone, outcome: Outcome) -> None:
    """Wait until the group has nothing pending and nothing unread."""
    began = monotonic()

    async def settled() -> bool:
        await asyncio.sleep(0.05)
        return [(state.pending, state.unread) for state in await observing.groups(URI)] == [(0, 0)]

    try:
        await eventually(settled, _SETTLE_SECONDS)
    except AssertionError:
        outcome.problems.append(f"not settled within {_SETTLE_SECONDS:g} s: {await observing.groups(URI)}")
        with suppress(GroupMissing):
            outcome.problems += [f"pending: {entry}" for entry in await observing.pending(URI, GROUP, count=5)]
    outcome.settled_after_seconds = monotonic() - began


async def _collect(observing: Backbone, outcome: Outcome) -> None:
    async for event in observing.reader(URI).scan():
        if event.payload != "present":
            outcome.problems.append(f"the payload of {event.key} is {event.payload}")
            continue
        number = event.arguments["number"]
        assert isinstance(number, int)
        outcome.stored.append((event.key, number))
    letters = observing.dead_letters(URI, GROUP).list(None)
    outcome.dead = [(letter.key, letter.reason) async for letter in letters]
    left = [(state.pending, state.unread) for state in await observing.groups(URI)]
    if left != [(0, 0)]:
        outcome.problems.append(f"after everybody stopped, pending and unread are {left}")
