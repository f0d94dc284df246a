"""A stream that is produced to, handled and archived while its Redis is lost, and judges of what is left afterwards."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import zstandard

from event_backbone import Backbone, Consumer, Context, Retention, Subscription
from event_backbone.archive import S3Archive, archive_loop
from event_backbone.archive.archiver import Archiver
from event_backbone.errors import BackboneError
from event_backbone.model import EventKey, new_event_id
from event_backbone.retention import retention_loop
from event_backbone.storage import Storage
from event_backbone.stream.redis.stream import RedisStream
from event_backbone.stream.values import NewEntry
from event_backbone.testing.servers import RedisServer, S3Server
from tests.support.eventually import eventually
from tests.support.letters import URI, Letters
from tests.support.s3 import objects_of

if TYPE_CHECKING:
    import pytest

ENVIRONMENT = "test"
GROUPS = ("first", "second")
_PRODUCERS = 4


class AppendsUnderWay:
    """Knows how many appends have been sent and not answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._begun = asyncio.Event()
        append = RedisStream.append

        async def counted(stream: RedisStream, entries: Sequence[NewEntry]) -> object:
            self.count += 1
            self._begun.set()
            try:
                return await append(stream, entries)
            finally:
                self.count -= 1

        monkeypatch.setattr(RedisStream, "append", counted)

    async def one(self) -> None:
        """Return at a moment at which there is one."""
        while True:
            self._begun.clear()
            await self._begun.wait()
            await asyncio.sleep(0)  # it is sent in the turn after
            if self.count:
                return


def segment_lines(s3: S3Server) -> list[dict[str, object]]:
    """Return all events in segments, in order, as an independent client reads them."""
    return [json.loads(line) for data in objects_of(s3, ".jsonl.zst").values() for line in _text_of(data).splitlines()]


def packed_ids(s3: S3Server) -> set[UUID]:
    """Return the ids of all events in packs."""
    return {UUID(json.loads(line)["id"]) for data in objects_of(s3, "packs/").values() for line in data.splitlines()}


def _text_of(segment: bytes) -> bytes:
    header_bytes = int.from_bytes(segment[4:8], "little")
    body = segment[8 + header_bytes :]
    return zstandard.ZstdDecompressor().decompress(body, max_output_size=1 << 26) if body else b""


@dataclass
class Traffic:
    """Tasks that produce until they are stopped, and repeat a call with its event id until it returns a key."""

    backbone: Backbone
    keys: dict[UUID, EventKey] = field(default_factory=dict[UUID, EventKey])
    numbers: dict[UUID, int] = field(default_factory=dict[UUID, int])
    stopping: bool = False

    async def run(self) -> None:
        """Produce with several tasks at once."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_PRODUCERS):
                tasks.create_task(self._produce())

    async def _produce(self) -> None:
        producer = self.backbone.producer(Letters, uri=URI)
        while not self.stopping:
            event_id = new_event_id()
            number = self.numbers[event_id] = len(self.numbers)
            call = producer.sent.using(event_id=event_id)
            while event_id not in self.keys:
                try:
                    self.keys[event_id] = await call(number, f"{number}@example.com")
                except BackboneError:
                    await asyncio.sleep(0.01)


class Handling:
    """Remembers what a group has handled: numbers, and those of events whose address was missing."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.incomplete: set[int] = set()
        self.consumer = Consumer(Letters)
        self.consumer.on(Letters.sent)(self.sent)

    async def sent(self, ctx: Context, number: int, email: str | None = None) -> None:
        """Remember."""
        del ctx
        (self.incomplete if email is None else self.numbers).add(number)


@dataclass(frozen=True)
class Found:
    """An event of the stream, whether its payload is whole, and its number, unless that is missing."""

    key: EventKey
    event_id: UUID
    number: int | None
    is_whole: bool


@dataclass
class Scene:
    """A Redis with its directory, a bucket, and all that works with them."""

    server: RedisServer
    directory: Path
    s3: S3Server
    backbone: Backbone
    appends: AppendsUnderWay
    traffic: Traffic
    handled: dict[str, Handling]
    subscriptions: dict[str, Subscription]
    archiver: Archiver
    only_redis: Backbone
    random: random.Random
    archived: dict[UUID, EventKey] = field(default_factory=dict[UUID, EventKey])
    unarchived: dict[UUID, EventKey] = field(default_factory=dict[UUID, EventKey])

    async def lose_redis(self) -> None:
        """Kill Redis while an append is under way and a pack has no segment; start an empty one on its port."""
        enough = self.random.randrange(20, 200)
        await eventually(lambda: self.archiver.handled > enough)
        await asyncio.sleep(self.random.uniform(0, 0.3))
        await self.appends.one()
        self.server.kill()
        assert self.appends.count > 0
        shutil.rmtree(self.directory)
        self.directory.mkdir()
        await asyncio.sleep(self.random.uniform(0, 0.3))
        lines, packs = await asyncio.to_thread(lambda: (segment_lines(self.s3), packed_ids(self.s3)))
        self.archived = {UUID(str(line["id"])): EventKey.parse(str(line["event_key"])) for line in lines}
        assert len(self.archived) == len(lines)
        assert self.archived
        acknowledged = self.traffic.keys  # with answers that Redis gave just before, and that were read afterwards
        self.unarchived = {each: key for each, key in acknowledged.items() if each not in self.archived}
        assert self.unarchived
        assert self.unarchived.keys() <= packs or not packs
        await asyncio.to_thread(self.server.start)

    async def settle(self) -> None:
        """Stop producing, and wait until both groups have handled everything, and all is archived."""
        self.traffic.stopping = True
        await eventually(lambda: set(self.traffic.keys) == set(self.traffic.numbers))
        for subscription in self.subscriptions.values():
            await subscription.until_idle()
        await self.archiver.commit()

    async def found(self, *, archived: bool = False) -> list[Found]:
        """Return every event in the stream, in order, or in the archive, too."""
        backbone = self.backbone if archived else self.only_redis
        return [
            Found(
                each.key,
                each.metadata.event_id,
                int(str(each.arguments["number"])) if each.payload in {"present", "partial"} else None,
                each.payload == "present",
            )
            async for each in backbone.reader(URI).scan()
        ]


@asynccontextmanager
async def scene(
    server: RedisServer,
    directory: Path,
    s3: S3Server,
    storage: Storage,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    retention: Retention | None = None,
) -> AsyncGenerator[Scene]:
    """Run producers, two groups and an archiver with short segments for the time of the block."""
    make = partial(Backbone, server.url, environment=ENVIRONMENT, produce_timeout=timedelta(seconds=2))
    archive = S3Archive(segment_bytes=20_000, close_after=timedelta(milliseconds=300))
    appends = AppendsUnderWay(monkeypatch)
    monkeypatch.setattr(archive_loop, "_GROUPS_EVERY", timedelta(milliseconds=200))
    for pause in ("_FIRST", "_SHORTEST", "_LONGEST"):
        monkeypatch.setattr(retention_loop, pause, timedelta(milliseconds=100))
    handled = {group: Handling() for group in GROUPS}
    async with AsyncExitStack() as stack:
        backbone = await stack.enter_async_context(make(storage=storage, archive=archive, retention=retention))
        subscriptions = {
            group: await stack.enter_async_context(backbone.subscribe(each.consumer, uri=URI, group=group))
            for group, each in handled.items()
        }
        only_redis = await stack.enter_async_context(make(storage=storage))
        archiver = await stack.enter_async_context(backbone.archiver(URI))
        traffic = await stack.enter_async_context(_producing(backbone))
        yield Scene(
            server,
            directory,
            s3,
            backbone,
            appends,
            traffic,
            handled,
            subscriptions,
            archiver,
            only_redis,
            random.Random(seed),
        )


@asynccontextmanager
async def _producing(backbone: Backbone) -> AsyncGenerator[Traffic]:
    traffic = Traffic(backbone)
    producing = asyncio.create_task(traffic.run())
    try:
        yield traffic
    finally:
        traffic.stopping = True
        producing.cancel()
        await asyncio.wait({producing})
