"""The races of the archive: copying a stream, reading what is no longer in it, and what that costs a consumer."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

from benchmarks.archive_by_hand import ArchiveByHand
from benchmarks.by_hand_s3 import IN_FLIGHT, S3Server
from benchmarks.delay_proxy import DelayProxy
from benchmarks.handling import handle_all
from benchmarks.measure import Track, by_callers, fixed, race, ratio, table
from benchmarks.results import Ratio, Table
from benchmarks.s3_races import OUTSTANDING, options_on, storage_on
from benchmarks.workload import TEXT, TIME, Parcels
from event_backbone import Backbone, EventKey
from event_backbone.archive import S3Archive
from event_backbone.storage import RedisHashStorage

EVENTS = 40_000
GETS = 50
MOST_REQUESTS = 3
ENVIRONMENT = "benchmark"
HASHES, PACKS = "parcels-in-hashes", "parcels-in-packs"
_ARCHIVED, _SCANNED = 30_000, 50_000
_RESTORED = {HASHES: 40_000, PACKS: 50_000}
_PLACES = {HASHES: "Redis hashes", PACKS: "packs"}
_SHARE = 0.85
_FOLDER = f"{ENVIRONMENT}/packs/{PACKS}"


class ArchiveWorkload:
    """Events of two URIs, one with payloads in Redis hashes, one in packs; and archives of them, as many as wanted."""

    def __init__(self, url: str, server: S3Server) -> None:
        """Prepare; nothing is produced yet."""
        self.by_hand = ArchiveByHand(url, server)
        self._url = url
        self._server = server
        self._archives = itertools.count()
        self._prefix = ""

    async def produce(self) -> None:
        """Produce the events."""
        for uri in (HASHES, PACKS):
            async with self.opened(uri) as backbone:
                await by_callers(OUTSTANDING, EVENTS, partial(_send, backbone.producer(Parcels, uri=uri)))

    async def begin_archive(self) -> None:
        """Forget what was archived, and use another prefix from now on."""
        self._prefix = f"archive-{next(self._archives)}"
        for uri in (HASHES, PACKS):
            await self.by_hand.forget_archive(f"{ENVIRONMENT}:{uri}")

    @asynccontextmanager
    async def opened(self, uri: str) -> AsyncGenerator[Backbone]:
        """Open a backbone for one of the URIs, on the latest archive: connected, and its cache of packs empty."""
        storage = RedisHashStorage() if uri == HASHES else storage_on(self._server)
        archive = S3Archive(options_on(self._server, self._prefix), close_after=timedelta(minutes=5))
        async with Backbone(self._url, storage=storage, archive=archive, environment=ENVIRONMENT) as backbone:
            await backbone.check()
            await backbone.archive_state(uri)
            yield backbone

    async def segments(self, uri: str) -> list[str]:
        """Return the keys of the segments of a URI."""
        return await self.by_hand.keys(f"{self._prefix}/{ENVIRONMENT}/archive/{uri}/")


class _Contender:
    """What runs on a backbone that is opened before each round, as those by hand are connected before."""

    def __init__(
        self,
        work: ArchiveWorkload,
        uri: str,
        run: Callable[[Backbone], Awaitable[None]],
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._opened = partial(work.opened, uri)
        self._run = run
        self._before = before
        self._stack = AsyncExitStack()
        self._backbone: Backbone | None = None

    def track(self, name: str) -> Track:
        return Track(name, self.run, EVENTS, self.prepare)

    async def prepare(self) -> None:
        if self._before is not None:
            await self._before()
        self._backbone = await self._stack.enter_async_context(self._opened())

    async def run(self) -> None:
        assert self._backbone is not None
        async with self._stack:
            await self._run(self._backbone)


async def _archive(uri: str, backbone: Backbone) -> None:
    async with backbone.archiver(uri) as archiver:
        await archiver.commit()


async def _handle(uri: str, groups: Iterator[int], backbone: Backbone) -> None:
    await handle_all(backbone, uri, f"group-{next(groups)}", EVENTS, IN_FLIGHT, OUTSTANDING)


async def _handle_and_archive(uri: str, groups: Iterator[int], backbone: Backbone) -> None:
    async with backbone.archiver(uri):
        await _handle(uri, groups, backbone)


async def _restore(uri: str, backbone: Backbone) -> None:
    assert (await backbone.restore(uri)).archived == EVENTS


async def _scan(uri: str, backbone: Backbone) -> None:
    assert sum([1 async for _ in backbone.reader(uri).scan()]) == EVENTS


async def _send(parcels: Parcels, number: int) -> None:
    await parcels.packing(TEXT, number, TIME)


async def archive(url: str, server: S3Server, proxy: DelayProxy, rounds: int) -> list[Table]:
    """Race archiving, the overhead of it, scanning and getting, one after the other on the same events."""
    proxy.delay(0)
    work = ArchiveWorkload(url, server)
    await work.produce()
    tables = [await _copying(work, rounds), await _overhead(work, rounds)]
    await work.begin_archive()
    for uri in (HASHES, PACKS):
        await work.by_hand.spread(f"{ENVIRONMENT}:{uri}", timedelta(days=1))
        async with work.opened(uri) as backbone:
            await _archive(uri, backbone)
    tables.append(await _restoring(work, rounds))
    keys = await _trimmed(work)
    tables += [await _scanning(work, rounds), await _getting(work, proxy, keys, rounds)]
    await work.by_hand.close()
    return tables


async def _copying(work: ArchiveWorkload, rounds: int) -> Table:
    hashes, packs = f"{ENVIRONMENT}:{HASHES}", f"{ENVIRONMENT}:{PACKS}"
    our_hashes, our_packs = (
        _Contender(work, uri, partial(_archive, uri), work.begin_archive).track(f"archiver, payloads in {place}")
        for uri, place in _PLACES.items()
    )
    tracks = [
        our_hashes,
        their_hashes := Track(
            "by hand, payloads in Redis hashes", lambda: work.by_hand.copy_from_hashes(hashes), EVENTS
        ),
        our_packs,
        their_packs := Track(
            "by hand, payloads in packs", lambda: work.by_hand.copy_from_packs(packs, _FOLDER), EVENTS
        ),
    ]
    await race(tracks, rounds)
    wanted = fixed(f"{_ARCHIVED:,} events a second", _ARCHIVED, rounds)
    ratios = [
        ratio(our_hashes, wanted, 1.0),
        ratio(our_packs, wanted, 1.0),
        ratio(our_hashes, their_hashes),
        ratio(our_packs, their_packs),
    ]
    return table("archive", "Archive", tracks, ratios)


async def _overhead(work: ArchiveWorkload, rounds: int) -> Table:
    groups, tracks = itertools.count(), list[Track]()
    for uri, place in _PLACES.items():
        for name, run in (("consumer and archiver", _handle_and_archive), ("consumer", _handle)):
            contender = _Contender(work, uri, partial(run, uri, groups), work.begin_archive)
            tracks.append(contender.track(f"{name}, payloads in {place}"))
    await race(tracks, rounds)
    ratios = [ratio(together, alone, _SHARE) for together, alone in zip(tracks[::2], tracks[1::2], strict=True)]
    return table("archive-overhead", "Consume while the same process archives", tracks, ratios)


async def _restoring(work: ArchiveWorkload, rounds: int) -> Table:
    """Race restoring into a Redis that has lost everything. Packs are searched for the last half hour of the day."""
    tracks, compared = list[Track](), list[tuple[Track, Track]]()
    for uri, place in _PLACES.items():
        stream, segments = f"{ENVIRONMENT}:{uri}", await work.segments(uri)
        lose = partial(work.by_hand.lose, stream)
        by_hand = partial(work.by_hand.restore, segments, stream, hashes=uri == HASHES)
        theirs = Track(f"by hand, payloads in {place}", by_hand, EVENTS, lose)
        ours = _Contender(work, uri, partial(_restore, uri), lose).track(f"restore, payloads in {place}")
        tracks += [theirs, ours]
        compared += [(ours, fixed(f"{_RESTORED[uri]:,} events a second", _RESTORED[uri], rounds)), (ours, theirs)]
    await race(tracks, rounds)
    ratios = [ratio(ours, other, None if other in tracks else 1.0) for ours, other in compared]
    return table("archive-restore", "Restore", tracks, ratios)


async def _trimmed(work: ArchiveWorkload) -> list[EventKey]:
    """Trim the stream with the packs; return the keys that its events had."""
    async with work.opened(PACKS) as backbone:
        keys = [each.key async for each in backbone.reader(PACKS).scan()]
    await work.by_hand.trim(f"{ENVIRONMENT}:{PACKS}")
    return keys


async def _scanning(work: ArchiveWorkload, rounds: int) -> Table:
    segments = await work.segments(PACKS)

    async def by_hand() -> None:
        assert await work.by_hand.read(segments) == EVENTS

    ours, theirs = _Contender(work, PACKS, partial(_scan, PACKS)).track("scan"), Track("by hand", by_hand, EVENTS)
    tracks = [ours, theirs]
    await race(tracks, rounds)
    wanted = fixed(f"{_SCANNED:,} events a second", _SCANNED, rounds)
    return table("archive-scan", "Read the archive", tracks, [ratio(ours, wanted, 1.0), ratio(ours, theirs)])


async def _getting(work: ArchiveWorkload, proxy: DelayProxy, keys: Sequence[EventKey], rounds: int) -> Table:
    """Race lone gets. A reader keeps the last segments, so each get has a new reader, as each request to an API has."""
    segments = await work.segments(PACKS)
    begins = [EventKey(*map(int, each.rpartition("/")[2].removesuffix(".jsonl.zst").split("-"))) for each in segments]
    chosen, counted = random.Random(7).sample(keys, GETS), list[float]()

    async def ours(backbone: Backbone) -> None:
        proxy.requests()
        for key in chosen:
            await backbone.reader(PACKS).get(key)
        counted.append(proxy.requests().get / GETS)

    async def theirs() -> None:
        for key in chosen:
            segment = max(number for number, begin in enumerate(begins) if begin < key)
            await work.by_hand.get(segments[segment], str(key))

    async with work.opened(PACKS) as backbone:
        tracks = [
            get := Track("get from the archive", partial(ours, backbone), GETS),
            one := Track("GET of the segment, by hand", theirs, GETS),
        ]
        await race(tracks, rounds)
    shares = sorted(MOST_REQUESTS / each for each in counted)
    requests = Ratio(
        f"{MOST_REQUESTS} requests", "requests of a get", shares[len(shares) // 2], shares[0], shares[-1], 1.0
    )
    return table("archive-get", "Get one event from the archive", tracks, [requests, ratio(get, one)])
