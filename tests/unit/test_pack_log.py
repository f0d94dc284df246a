"""How the records of a stream are found in S3 without Redis. Time is virtual: nothing waits."""

import asyncio
import logging
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from event_backbone.errors import ConfigurationError, PayloadForbidden, StorageUnavailable
from event_backbone.model import PayloadReference, StreamName
from event_backbone.storage import S3Options
from event_backbone.storage.s3.keys import pack_key
from event_backbone.storage.s3.pack_line import key_of_line
from event_backbone.storage.s3.pack_log import PackLog
from event_backbone.wire import LoggedRecord, erase_record, id_of_record, write_record
from tests.support.counting_store import CountingStore
from tests.support.records import record_of
from tests.support.virtual_time import run_in_virtual_time

OPTIONS = S3Options("events", environment_in="key")
STREAM = StreamName.of("shipments", "dev")
BEGAN = datetime(2026, 3, 1, 22, 59, 50, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Opened:
    """A connection to one store."""

    def __init__(self, store: CountingStore) -> None:
        self.store = store

    async def objects(self, environment: str) -> CountingStore:
        """Return the store."""
        assert environment == STREAM.environment
        return self.store


def log_of(store: CountingStore, stream: StreamName = STREAM) -> PackLog:
    """Return the log of a stream in this store."""
    return PackLog(OPTIONS, Opened(store), stream, "s3")


def pack_id_at(number: int) -> str:
    """Return the id of a pack that was begun so many seconds after the first one."""
    return f"{round((BEGAN + number * SECOND).timestamp() * 1000):012x}{'7':0<20}"


def put(store: CountingStore, number: int, *lines: bytes, stream: StreamName = STREAM) -> str:
    """Put a pack of these lines into a store, and return its key."""
    key = pack_key(OPTIONS, stream, pack_id_at(number))
    store.objects[key] = b"".join(line + b"\n" for line in lines)
    return key


async def read(log: PackLog, since: datetime | None = None) -> list[LoggedRecord]:
    """Return all records."""
    return [record async for page in log.records(since) for record in page]


async def ids(log: PackLog, since: datetime | None = None) -> list[str]:
    """Return the event ids of all records."""
    return [record.event_id for record in await read(log, since)]


def test_records_come_in_the_order_in_which_they_were_saved() -> None:
    """Across hours; with references that lead to their lines, which are those that loading takes."""
    store, records = CountingStore(), [record_of({"n": str(n).encode()}) for n in range(40)]
    lines = [write_record(record, STREAM) for record in records]
    for number in reversed(range(20)):
        put(store, number, *lines[2 * number : 2 * number + 2])
    found = asyncio.run(read(log_of(store)))
    assert [record.event_id for record in found] == [record.metadata.id_text for record in records]
    pack_id, (first, second) = pack_id_at(0), lines[:2]
    assert [record.reference for record in found[:2]] == [
        PayloadReference("s3", found[0].event_id, key_of_line(pack_id, 0, len(first))),
        PayloadReference("s3", found[1].event_id, key_of_line(pack_id, len(first) + 1, len(second))),
    ]


def test_what_was_saved_before_is_left_out() -> None:
    """To the millisecond, by the time of the pack; also when the hour of that time has packs, or none."""
    store, records = CountingStore(), [record_of({}) for _ in range(20)]
    for number, record in enumerate(records):
        put(store, number, write_record(record, STREAM))
    saved = [record.metadata.id_text for record in records]
    log = log_of(store)
    for since, left in (
        (BEGAN - timedelta(days=400), 0),
        (BEGAN, 0),
        (BEGAN + SECOND / 1000, 1),
        (BEGAN + 10 * SECOND, 10),
        (BEGAN + 15 * SECOND, 15),
        (BEGAN + timedelta(days=1), 20),
    ):
        assert asyncio.run(ids(log, since)) == saved[left:]


def test_records_that_nobody_wants_are_left_out() -> None:
    """Be they damaged or not; the references to the others still lead to their lines."""
    store, records = CountingStore(), [record_of({}) for _ in range(3)]
    known, damaged, other = (write_record(record, STREAM) for record in records)
    put(store, 0, known, damaged[:-5], other)
    log, ids_of_known = log_of(store), {record.metadata.id_text for record in records[:2]}

    async def wanted() -> list[LoggedRecord]:
        pages = log.records(None, lambda line: id_of_record(line) not in ids_of_known)
        return [record async for page in pages for record in page]

    (found,) = asyncio.run(wanted())
    place = key_of_line(pack_id_at(0), len(known) + len(damaged) - 5 + 2, len(other))
    assert (found.reference, log.damaged_lines) == (PayloadReference("s3", records[2].metadata.id_text, place), 0)


def test_packs_ahead_are_read_at_the_same_time_but_only_some() -> None:
    """However slow the one who asks is; what has ended leaves nothing behind."""

    async def main() -> None:
        store = CountingStore(latency=1)
        for number in range(100):
            put(store, number, write_record(record_of({}), STREAM))
        loop = asyncio.get_running_loop()
        async with aclosing(log_of(store).records()) as pages:
            await anext(pages)
            await asyncio.sleep(60)
            assert (store.reads, store.reading) == (16, 0)
            began = loop.time()
            async for _ in pages:
                assert store.reading <= 16
        assert store.reads == 100
        assert loop.time() - began < 70  # of which 42 are the pages of the listing
        async with aclosing(log_of(store).records()) as pages:
            await anext(pages)
            assert store.reading > 0
            began = loop.time()
        assert (store.reading, loop.time()) == (0, began)
        assert len(asyncio.all_tasks()) == 1

    run_in_virtual_time(main())


def test_records_of_other_streams_do_not_count() -> None:
    """Of URIs that begin with this one, or in a pack that somebody copied; nothing is asked beyond the last year."""
    store, ours = CountingStore(), record_of({})
    for uri in ("shipments/2026", "shipments/2026/03/01/22", "shipments-old", "shipments/x"):
        stream = StreamName.of(uri, "dev")
        for number in range(10):
            put(store, number, write_record(record_of({}), stream), stream=stream)
    others = (StreamName.of("shipments", "prod"), StreamName.of("orders", "dev"), STREAM._replace(partition=1))
    put(store, 1, *(write_record(record_of({}), stream) for stream in others), write_record(ours, STREAM))
    store.objects["dev/packs/shipments/2026/03/01/22/notes.txt"] = b"{}"
    log = log_of(store)
    assert asyncio.run(ids(log)) == [ours.metadata.id_text]
    assert (log.damaged_lines, store.reads) == (0, 1)
    assert store.pages == 12  # of two keys: 22 that may be ours, and the first ones that cannot


def test_what_is_damaged_is_skipped_counted_and_logged_once_per_pack(caplog: pytest.LogCaptureFixture) -> None:
    """Half a pack, a spoiled line, and a pack that was removed after it was listed; the rest is there."""

    class Losing(CountingStore):
        """Loses a pack after it was listed."""

        async def read(self, key: str) -> bytes:
            """Remove the pack first."""
            if key == removed:
                del self.objects[key]
            return await super().read(key)

    store, records = Losing(), [record_of({"a": b"1"}) for _ in range(5)]
    lines = [write_record(record, STREAM) for record in records]
    key = put(store, 0, lines[0], b"{", lines[1].replace(b'"a":1', b'"a":}'), lines[2])
    store.objects[key] += lines[3][:-20]
    removed = put(store, 1, lines[3])
    put(store, 2, lines[4])
    log = log_of(store)
    assert asyncio.run(ids(log)) == [records[n].metadata.id_text for n in (0, 2, 4)]
    assert log.damaged_lines == 3
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        (logging.WARNING, f"{key} has 3 damaged lines, which are skipped."),
        (logging.WARNING, f"{removed} was removed from S3 after it was listed, and is skipped."),
    ]
    assert asyncio.run(ids(log, BEGAN + SECOND)) == [records[4].metadata.id_text]
    assert log.damaged_lines == 0


def test_erased_records_say_so() -> None:
    """With their references, also when a line was too short for more."""
    store, record = CountingStore(), record_of({"a": b"1"})
    erased = erase_record(write_record(record, STREAM), record.metadata.id_text, STREAM)
    put(store, 0, erased, b" " * 10)
    found = asyncio.run(read(log_of(store)))
    assert [(each.event_id, each.erased) for each in found] == [(record.metadata.id_text, True), ("", True)]
    assert found[1].reference.key == key_of_line(pack_id_at(0), len(erased) + 1, 10)
    assert found[1].at_microseconds == round(BEGAN.timestamp()) * 1_000_000


class Refusing(CountingStore):
    """Refuses to read a pack, which it perhaps removes."""

    refused: str = ""
    error: Exception = PayloadForbidden("Missing or forbidden.")
    removes: bool = False

    async def read(self, key: str) -> bytes:
        """Raise, or answer."""
        if key != self.refused:
            return await super().read(key)
        if self.removes:
            del self.objects[key]
        raise self.error


def test_s3_may_call_a_pack_forbidden_that_was_removed(caplog: pytest.LogCaptureFixture) -> None:
    """Since the permission to list is limited to a prefix; listing again tells."""
    store = Refusing()
    store.removes, store.refused = True, put(store, 0, write_record(record_of({}), STREAM))
    assert asyncio.run(ids(log_of(store))) == []
    assert f"{store.refused} was removed from S3" in caplog.text


@pytest.mark.parametrize(
    ("raised", "expected", "sentence"),
    [
        (PayloadForbidden("Forbidden."), ConfigurationError, "S3 lists dev/packs/shipments/.* and forbids reading it"),
        (StorageUnavailable("S3 is away."), StorageUnavailable, "S3 is away."),
    ],
)
def test_what_is_there_and_cannot_be_read_is_never_skipped(
    raised: Exception, expected: type[Exception], sentence: str
) -> None:
    """What came before it is there; nothing goes on behind the error."""
    found: list[str] = []

    async def collect() -> None:
        async for page in log_of(store).records():
            found.extend(record.event_id for record in page)

    async def main() -> None:
        with pytest.raises(expected, match=sentence):
            await collect()
        assert found == [first.metadata.id_text]
        assert len(asyncio.all_tasks()) == 1

    store, first = Refusing(latency=1), record_of({})
    put(store, 0, write_record(first, STREAM))
    store.error, store.refused = raised, put(store, 1, write_record(record_of({}), STREAM))
    for number in range(2, 9):
        put(store, number, write_record(record_of({}), STREAM))
    run_in_virtual_time(main())
