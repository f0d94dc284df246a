"""When packs leave, what is in them, and that each save ends. Time is virtual: nothing here waits."""

import asyncio
import gc
from contextvars import ContextVar
from dataclasses import replace
from datetime import timedelta

import pytest

from event_backbone.errors import ConfigurationError, StorageUnavailable
from event_backbone.model import StreamName
from event_backbone.storage.s3 import S3Options
from event_backbone.storage.s3.keys import pack_key
from event_backbone.storage.s3.marker import Marker
from event_backbone.storage.s3.pack_line import PackLine
from event_backbone.storage.s3.pack_writer import PackWriter
from tests.support.counting_store import CountingStore
from tests.support.virtual_time import run_in_virtual_time

OPTIONS = S3Options("events", environment_in="key")
LINGER = replace(OPTIONS, pack_linger=timedelta(milliseconds=200))
STREAM = StreamName.of("shipments", "dev")


async def save(writer: PackWriter, line: bytes) -> PackLine:
    """Save a record, and return where it is."""
    return PackLine.parse(await writer.save(line))


def writer_to(store: CountingStore, options: S3Options = OPTIONS) -> PackWriter:
    """A writer of packs to this store."""

    async def open_objects() -> CountingStore:
        return store

    return PackWriter(options, STREAM, Marker(options, "s3"), open_objects)


async def save_all(writer: PackWriter, count: int, first: int = 0) -> list[PackLine]:
    """Save lines with numbers, all in one turn."""
    return await asyncio.gather(*(save(writer, b'{"n":%d}' % number) for number in range(first, first + count)))


def lines_at(store: CountingStore, places: list[PackLine]) -> list[bytes]:
    """Return what the store has at these places."""
    packs = [store.objects[pack_key(OPTIONS, STREAM, place.pack_id)] for place in places]
    return [pack[place.offset_bytes :][: place.length_bytes] for pack, place in zip(packs, places, strict=True)]


def test_what_is_saved_in_one_turn_is_one_pack_in_the_order_of_the_calls() -> None:
    """Full packs leave at once, however many are under way; the rest waits until fewer than four are."""

    async def main() -> None:
        store = CountingStore(latency=1)
        places = await save_all(writer_to(store), 5 * 256 + 10)
        assert store.sizes == [256] * 5 + [10]
        assert store.asked_at == [0] * 5 + [1]
        assert lines_at(store, places) == [b'{"n":%d}' % number for number in range(5 * 256 + 10)]

    run_in_virtual_time(main())


def test_a_pack_is_full_by_its_bytes_and_a_longer_record_is_a_pack_by_itself() -> None:
    """The open pack goes on without it."""

    async def main() -> None:
        store = CountingStore()
        writer = writer_to(store, replace(OPTIONS, pack_bytes=100))
        lines = [b"a" * 49, b"b" * 500, b"c" * 48, b"d" * 10, b"e" * 99, b"f" * 100]
        places = await asyncio.gather(*(save(writer, line) for line in lines))
        assert lines_at(store, list(places)) == lines
        assert sorted(map(len, store.packs.values())) == [11, 99, 100, 101, 501]

    run_in_virtual_time(main())


def test_of_packs_that_are_not_full_four_are_under_way() -> None:
    """What comes meanwhile is in the one that leaves when a request ends."""

    async def main() -> None:
        store = CountingStore(latency=1.05)
        writer = writer_to(store)
        saving: list[asyncio.Task[list[PackLine]]] = []
        for _ in range(20):
            saving.append(asyncio.create_task(save_all(writer, 1)))
            await asyncio.sleep(0.1)
        await asyncio.gather(*saving)
        assert store.asked_at == pytest.approx([0, 0.1, 0.2, 0.3, 1.05, 1.15, 1.25, 1.35, 2.1])
        assert store.sizes == [1, 1, 1, 1, 7, 1, 1, 1, 6]

    run_in_virtual_time(main())


def test_with_a_linger_a_lone_event_leaves_at_once() -> None:
    """Only one that comes soon after another waits, and not longer than the linger, whatever is under way."""

    async def main() -> None:
        store = CountingStore(latency=5)
        writer = writer_to(store, LINGER)
        saving: list[asyncio.Task[list[PackLine]]] = []
        for at in (0, 0.05, 0.1, 1, 2, 3, 3.1, 3.25, 4):
            await asyncio.sleep(at - asyncio.get_running_loop().time())
            saving.append(asyncio.create_task(save_all(writer, 1)))
        await asyncio.gather(*saving)
        assert store.asked_at == pytest.approx([0, 0.2, 1, 2, 3.2, 3.45, 4.2])
        assert store.sizes == [1, 2, 1, 1, 2, 1, 1]

    run_in_virtual_time(main())


def test_records_that_leave_alone_keep_no_other_waiting_longer_than_the_linger() -> None:
    """However many of them there are, and how close together."""

    async def main() -> None:
        store = CountingStore()
        writer = writer_to(store, LINGER)
        large = b"x" * LINGER.pack_bytes
        saving = [asyncio.create_task(save(writer, large)), asyncio.create_task(save(writer, b"small"))]
        for _ in range(5):
            await asyncio.sleep(0.15)
            saving.append(asyncio.create_task(save(writer, large)))
        places = [pack_key(OPTIONS, STREAM, line.pack_id) for line in await asyncio.gather(*saving)]
        small = list(store.objects).index(places[1]) - 1  # after the marker
        assert store.asked_at[small] == pytest.approx(0.2)

    run_in_virtual_time(main())


@pytest.mark.parametrize("latency", [0.005, 0.1, 3])
def test_a_thousand_events_a_second_take_a_hundredth_of_the_requests(latency: float) -> None:
    """With a linger of 200 ms, whatever the latency of S3."""

    async def main() -> None:
        store = CountingStore(latency)
        writer = writer_to(store, LINGER)
        saving: list[asyncio.Task[list[PackLine]]] = []
        for number in range(3000):
            saving.append(asyncio.create_task(save_all(writer, 1, number)))
            await asyncio.sleep(0.001)
        await asyncio.gather(*saving)
        assert sum(store.sizes) == 3000
        assert len(store.sizes) <= 30

    run_in_virtual_time(main())


def test_a_call_that_is_cancelled_in_time_withdraws_its_record() -> None:
    """Later its line stays, and the others are where their callers were told."""

    async def main() -> None:
        store = CountingStore(latency=1)
        writer = writer_to(store, LINGER)
        early, stays, late = (asyncio.create_task(save(writer, line)) for line in (b"early", b"stays", b"late"))
        asyncio.get_running_loop().call_soon(early.cancel)
        await asyncio.sleep(0.5)
        late.cancel()
        assert lines_at(store, [await stays]) == [b"stays"]
        assert list(store.packs.values()) == [b"stays\nlate\n"]
        lone = asyncio.create_task(save(writer, b"lone"))
        asyncio.get_running_loop().call_soon(lone.cancel)
        await asyncio.wait({early, late, lone})
        assert lines_at(store, await save_all(writer, 1)) == [b'{"n":0}']
        assert store.asked_at == [0, 1]  # an empty pack is none

    run_in_virtual_time(main())


def test_each_caller_has_its_own_error_and_the_next_pack_its_own_try() -> None:
    """A shared error would collect the tracebacks of all callers."""

    async def main() -> None:
        store = CountingStore(errors=[StorageUnavailable("S3 is away.")])
        writer = writer_to(store)
        failed = await asyncio.gather(*(save(writer, b"line") for _ in range(3)), return_exceptions=True)
        assert [str(error) for error in failed] == ["S3 is away."] * 3
        assert len({id(error) for error in failed}) == 3
        assert lines_at(store, [await save(writer, b"line")]) == [b"line"]

    run_in_virtual_time(main())


def test_a_name_that_is_taken_is_not_a_name_that_was_written() -> None:
    """After 412 the pack is read: if it has the same bytes an earlier try succeeded, else another id is needed."""

    async def main() -> None:
        store = CountingStore(taken=2)
        assert lines_at(store, await save_all(writer_to(store), 2)) == [b'{"n":0}', b'{"n":1}']
        assert len(store.packs) == 3
        store = CountingStore(lost=1)
        assert lines_at(store, await save_all(writer_to(store), 2)) == [b'{"n":0}', b'{"n":1}']
        assert len(store.packs) == 1

    run_in_virtual_time(main())


def test_waiting_for_other_packs_counts_against_the_deadline() -> None:
    """However long the requests before it take."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        writer = writer_to(CountingStore(latency=100))
        saving: list[asyncio.Task[PackLine]] = []
        for _ in range(6):
            saving.append(asyncio.create_task(save(writer, b"line")))
            await asyncio.sleep(1)
        ended: list[float] = []
        for each in saving:
            with pytest.raises(StorageUnavailable, match="not answered within 10 s; start it or correct"):
                await each
            ended.append(loop.time())
        assert ended == pytest.approx([10, 11, 12, 13, 14, 14])

    run_in_virtual_time(main())


def test_requests_know_nothing_of_their_callers() -> None:
    """They run in an empty context: a span of one caller is not that of the others."""
    variable = ContextVar("variable", default="empty")
    seen: list[str] = []

    class Looking(CountingStore):
        """Looks at the context."""

        async def create(self, key: str, body: bytes, *, content_type: str = "application/json") -> bool:
            """Note it."""
            seen.append(variable.get())
            return await super().create(key, body)

    async def main() -> None:
        variable.set("the caller's")
        writer = writer_to(Looking(latency=1), LINGER)
        await asyncio.gather(save_all(writer, 300), save_all(writer, 3))

    run_in_virtual_time(main())
    assert set(seen) == {"empty"}


def test_closing_waits_for_what_somebody_waits_for() -> None:
    """What is open is written; a request whose callers have gone is given up, and no task is left."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = CountingStore(latency=3)
        writer = writer_to(store, LINGER)
        abandoned = asyncio.create_task(save(writer, b"abandoned"))
        await asyncio.sleep(0.1)
        abandoned.cancel()
        waiting = asyncio.create_task(save(writer, b"waiting"))
        await asyncio.sleep(0)
        await writer.close()
        assert loop.time() == pytest.approx(3.1)
        assert lines_at(store, [await waiting]) == [line.strip() for line in store.packs.values()] == [b"waiting"]
        assert asyncio.all_tasks() == {asyncio.current_task()}
        closing = asyncio.create_task(writer.close())
        hanging = asyncio.create_task(save(writer, b"hanging"))
        await closing
        second = asyncio.create_task(writer.close())
        await asyncio.sleep(0.1)
        second.cancel()
        with pytest.raises(StorageUnavailable, match="may or may not be saved"):
            await hanging
        assert second.cancelled()

    run_in_virtual_time(main())


@pytest.mark.parametrize("count", [1, 256, 2000])
def test_an_event_loop_that_ends_leaves_nothing_behind(count: int, caplog: pytest.LogCaptureFixture) -> None:
    """No task and no complaint of asyncio's, with packs open and under way, and with callers that are shielded."""

    async def main() -> None:
        writer = writer_to(CountingStore(latency=1))
        saving: list[asyncio.Future[PackLine]] = [asyncio.create_task(save(writer, b"line")) for _ in range(count)]
        for _ in range(5):
            saving.append(asyncio.ensure_future(asyncio.shield(save(writer, b"line"))))
            await asyncio.sleep(0.01)

    run_in_virtual_time(main())
    gc.collect()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (replace(OPTIONS, pack_events=0), "must be positive"),
        (replace(OPTIONS, pack_bytes=0), "must be positive"),
        (replace(OPTIONS, pack_linger=timedelta(seconds=-1)), "at least 0"),
        (replace(OPTIONS, pack_linger=timedelta(seconds=10)), "below the deadline"),
    ],
)
def test_settings_of_packs_are_checked(options: S3Options, sentence: str) -> None:
    """In one sentence."""
    with pytest.raises(ConfigurationError, match=f"pack_events and pack_bytes of S3Options .*{sentence}"):
        options.resolved({})
