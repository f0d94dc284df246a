"""Clocks differ: those of producers, and that of a new Redis from that of the one that was lost."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import uuid_utils

from event_backbone.model import EventKey, event_id_time, new_event_id
from event_backbone.testing.servers import RedisServer
from tests.support.archives import STREAM, ArchivedStream
from tests.support.parcels import URI, Parcels

_BEHIND = timedelta(minutes=9, seconds=50)


_uuid7, _time_ns = uuid_utils.uuid7, time.time_ns


def _earlier() -> uuid_utils.UUID:
    """Make an id, of an event or a pack, on a host whose clock is behind."""
    made = _uuid7().int
    milliseconds = (made >> 80) - _BEHIND // timedelta(milliseconds=1)
    return uuid_utils.UUID(int=(milliseconds << 80) | (made & ((1 << 80) - 1)))


@contextmanager
def _clock_behind(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Put the clock of producers back, as far as events and packs have its time."""
    with monkeypatch.context() as patched:
        patched.setattr(uuid_utils, "uuid7", _earlier)
        patched.setattr(time, "time_ns", lambda: _time_ns() - _BEHIND // timedelta(microseconds=1) * 1000)
        yield


async def _produce(archived: ArchivedStream, number: int) -> tuple[UUID, EventKey]:
    event_id = new_event_id()
    producer = archived.backbone.producer(Parcels, uri=URI)
    return event_id, await producer.packed.using(event_id=event_id)(number)


async def test_events_of_a_host_whose_clock_is_behind_come_back(
    archived: ArchivedStream, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, with the others: its packs seem older than the last segment, and its event ids too."""
    await archived.backbone.producer(Parcels, uri=URI).packed(0)
    with _clock_behind(monkeypatch):
        await archived.produce(1)
    await archived.archive_all()
    with _clock_behind(monkeypatch):
        event_id, _ = await _produce(archived, 2)
    assert event_id_time(event_id) < datetime.now(UTC) - timedelta(minutes=9)
    redis_server.flush()
    report = await archived.backbone.restore(URI)
    assert (report.archived, report.appended) == (2, 1)
    assert [number for _, number in await archived.in_redis()] == [0, 1, 2]


async def test_a_server_whose_clock_is_behind_gives_new_keys_after_the_archived_ones(
    archived: ArchivedStream, redis_server: RedisServer
) -> None:
    """Live events with keys below those of the archive come after them; a call that is repeated gets the new key."""
    ahead = int(time.time() * 1000) + 300_000
    await archived.connection.command("XADD", STREAM.key, f"{ahead}-0", "f", "v")
    await archived.connection.command("XDEL", STREAM.key, f"{ahead}-0")
    keys = await archived.produce(1, 2)
    await archived.archive_all()
    redis_server.flush()
    event_id, key = await _produce(archived, 3)
    assert key < keys[0]
    report = await archived.backbone.restore(URI)
    assert (report.archived, report.live, report.moved, report.appended) == (2, 1, 1, 0)
    found = await archived.in_redis()
    assert [number for _, number in found] == [1, 2, 3]
    producer = archived.backbone.producer(Parcels, uri=URI)
    assert await producer.packed.using(event_id=event_id)(3) == found[-1][0] > keys[1]
    assert (await archived.produce(4))[0] > found[-1][0]
    await archived.archive_all()
    found = await archived.in_redis()
    redis_server.flush()
    assert await archived.everywhere() == found  # so all of it is archived
