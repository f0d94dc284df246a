"""A restore whose answers are lost after the server has done what it was asked."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from event_backbone.connection import RedisConnection, Script
from event_backbone.errors import StreamUnavailable
from event_backbone.model import EventKey, HashWrite
from event_backbone.settings import RedisSettings
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.restoring import RedisRestoring, RestoredEntry
from event_backbone.stream.redis.restoring_group_scripts import (
    SET_DEAD_LETTERS,
    SET_FOLLOW_UPS,
    SET_GROUP,
    SET_PENDING,
)
from event_backbone.stream.redis.restoring_scripts import ADD, BEGIN, COPY_LIVE, END, REMEMBER, RENEW
from event_backbone.stream.redis.swap_script import SWAP
from event_backbone.stream.values import DeadLetter, Entry
from tests.conformance.stream_suite import GROUP, NAME, keys_of
from tests.faults.known_scripts import called
from tests.faults.proxy import Proxy
from tests.support.restoring import AHEAD, KEEP, archived_entries, event_id_of, events_in, live_entry

Redo = Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]
"""Makes a call, and makes it again when it has failed."""

SCRIPTS = (BEGIN, RENEW, REMEMBER, ADD, COPY_LIVE, SET_GROUP, SET_PENDING, SET_DEAD_LETTERS, SET_FOLLOW_UPS, SWAP, END)


@pytest.fixture
async def through(proxy: Proxy) -> AsyncIterator[RedisConnection]:
    """A connection through the proxy."""
    connection = RedisConnection(RedisSettings.parse(proxy.url))
    yield connection
    await connection.close()


async def carry_out(restore: RedisRestoring, archived: list[RestoredEntry], redo: Redo) -> None:
    """Restore everything; each call goes through ``redo``."""
    seen = [(event_id_of(each.metadata), each.key) for each in archived]
    entry = Entry(archived[0].key, {b"wire": b"1", b"metadata": b"m"})
    letters = [DeadLetter("5-0", entry, "rejected", "", "", (), 1, datetime.fromtimestamp(0, UTC))]
    pending = [archived[1].key]
    await redo(lambda: restore.begin("token", KEEP))
    await redo(lambda: restore.renew(KEEP))
    await redo(lambda: restore.remember(seen, KEEP))
    await redo(lambda: restore.add(archived[:2]))
    await redo(lambda: restore.add(archived[2:]))
    await redo(lambda: restore.copy_live(EventKey(0), 2))
    await redo(lambda: restore.set_group(GROUP, archived[-1].key, pending, letters))
    await redo(lambda: restore.set_follow_ups(GROUP, {archived[1].key: "uri event label id\n"}))
    await redo(lambda: restore.swap(archived[-1].key, EventKey(0), archived[0].key))
    await redo(restore.end)


@pytest.mark.parametrize("times", [1, 3])
async def test_answers_of_a_restore_may_be_lost(
    proxy: Proxy, through: RedisConnection, connection: RedisConnection, redis: Redis, streams: RedisStreams, times: int
) -> None:
    """Every script, once, so that the connection repeats it, or as often as it does, so that its caller has to.

    Nothing is there twice, and nothing is missing.
    """
    archived = [each._replace(writes=(HashWrite("payload:1", {"a": b"1"}),)) for each in archived_entries(4, AHEAD)]
    live = [live_entry(), live_entry(event_id_of(archived[3].metadata)), live_entry(), live_entry()]
    keys_of(await streams.stream(NAME).append(live))
    failures: list[Script] = []

    async def redo(call: Callable[[], Awaitable[object]]) -> None:
        lost = {script for script in SCRIPTS if proxy.still_to_lose(called(script))}
        while True:
            try:
                await call()
            except StreamUnavailable:
                failures.extend(script for script in lost if not proxy.still_to_lose(called(script)))
                lost = {script for script in lost if proxy.still_to_lose(called(script))}
            else:
                return

    for script in SCRIPTS:
        proxy.lose(called(script), times)
    await carry_out(RedisRestoring(through, NAME), archived, redo)
    assert not any(proxy.still_to_lose(called(script)) for script in SCRIPTS)
    assert set(failures) == (set(SCRIPTS) if times > 1 else set())

    moved = [EventKey(AHEAD + 3, sequence) for sequence in (1, 2, 3)]
    expected = [*((each.key, each.metadata) for each in archived)]
    expected += [(key, each.metadata) for key, each in zip(moved, (live[0], live[2], live[3]), strict=True)]
    assert await events_in(connection, NAME.key) == expected
    assert keys_of(await streams.stream(NAME).append(live)) == [moved[0], archived[3].key, *moved[1:]]
    [state] = await streams.stream(NAME).groups()
    assert (state.pending, state.parked, state.unread, state.dead_letters) == (1, 1, 3, 1)
    assert await redis.hgetall(NAME.key_of(f"once:{GROUP}")) == {
        archived[1].key.entry_id.encode(): b"uri event label id\n"
    }
    assert await redis.keys("*restor*") == []
