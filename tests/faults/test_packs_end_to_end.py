"""Producers and a consumer over an S3 that fails all the time."""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.errors import NotSent, OutcomeUnknown, StorageUnavailable
from event_backbone.model import EventKey
from event_backbone.policy import RetryPolicy
from event_backbone.storage import S3Options, S3Storage
from tests.support.eventually import eventually
from tests.support.faulty_s3 import Choice, FaultyS3, Page, Refusal, no_fault
from tests.support.parcels import GROUP, URI, Parcels, nothing_is_left, stopped_within

CALLERS = 12
CALLS = 40
FAULTY_SHARE = 0.35
_ANY: list[Choice] = [
    Refusal(503, "SlowDown"),
    Refusal(500, "InternalError"),
    Page(401, b""),
    Page(403),
    Page(404),
    "lose the request",
    "lose the answer",
]
_ON_PUT: list[Choice] = [*_ANY, Refusal(400, "BadDigest"), Refusal(409, "ConditionalRequestConflict"), Page(412)]
_ON_GET: list[Choice] = [*_ANY, "cut the body"]


class Faults:
    """Chooses what becomes of each request. Spoiled twice in a row, a body would count as damaged, so it is not."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.chosen: Counter[str] = Counter()
        self._spoiled: set[str] = set()

    def __call__(self, method: str, path: str) -> Choice | None:
        """Choose."""
        if self.random.random() > FAULTY_SHARE:
            return None
        if method == "GET" and path.endswith(".jsonl") and path not in self._spoiled:
            self._spoiled.add(path)
            fault: Choice = self.random.choice(("shorten the body", "spoil the body"))
        else:
            fault = self.random.choice(_ON_PUT if method == "PUT" else _ON_GET)
        self.chosen[f"{method} {fault}"] += 1
        return fault


async def test_whatever_s3_does_each_call_that_returned_is_handled_as_it_was_produced(
    options: S3Options, server: FaultyS3, redis_url: str
) -> None:
    """Nothing twice in the stream, nothing dead, and nobody is handed another event's arguments."""
    faults = server.choose = Faults(seed=9)
    produced: dict[EventKey, int] = {}
    handled: dict[EventKey, set[int]] = {}
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def packed(ctx: Context, number: int) -> None:
        handled.setdefault(ctx.metadata.key, set()).add(number)

    storage = S3Storage(replace(options, pack_events=4, pack_linger=timedelta(milliseconds=5)))
    async with Backbone(redis_url, environment="dev", storage=storage) as backbone:
        producer = backbone.producer(Parcels, uri=URI)

        async def call(caller: int) -> None:
            for number in range(caller, CALLERS * CALLS, CALLERS):
                try:
                    produced[await producer.packed(number)] = number
                except (StorageUnavailable, OutcomeUnknown, NotSent):
                    continue

        once = RetryPolicy(max_attempts=1)
        async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP, retry=once), 60):
            await asyncio.gather(*(call(caller) for caller in range(CALLERS)))
            server.choose = no_fault
            await eventually(lambda: nothing_is_left(backbone), within_seconds=30)
        stored = [event async for event in backbone.reader(URI).scan()]
        letters = [letter async for letter in backbone.dead_letters(URI, GROUP).list()]
    numbers = {event.metadata.key: int(str(event.arguments["number"])) for event in stored}
    assert letters == []
    assert len(set(numbers.values())) == len(stored)
    assert handled == {key: {number} for key, number in numbers.items()}
    assert produced.items() <= numbers.items()
    assert faults.chosen.total() > 50
    assert len(produced) > CALLERS * CALLS / 2
