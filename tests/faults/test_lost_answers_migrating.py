"""A migration whose answers are lost after the server has done what it was asked."""

from collections.abc import Awaitable, Callable

import pytest

from event_backbone.connection import RedisConnection, Script
from event_backbone.errors import StreamUnavailable
from event_backbone.model import HashWrite
from event_backbone.settings import RedisSettings
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.migrating import CopiedEntry, RedisMigrating
from event_backbone.stream.redis.migrating_scripts import ADD_COPIES, PRUNE, TAKE_PLACE
from event_backbone.stream.redis.restoring_scripts import BEGIN, END
from tests.conformance.stream_suite import NAME, keys_of
from tests.faults.known_scripts import called
from tests.faults.proxy import Proxy
from tests.support.restoring import KEEP, entries_in, live_entry

SCRIPTS = (BEGIN, ADD_COPIES, PRUNE, TAKE_PLACE, END)


def _redoing(proxy: Proxy) -> tuple[list[Script], Callable[[Callable[[], Awaitable[object]]], Awaitable[object]]]:
    """Return what makes a call, and makes it again when it has failed; and a list of the scripts that failed."""
    failures: list[Script] = []

    async def redo(call: Callable[[], Awaitable[object]]) -> object:
        lost = {script for script in SCRIPTS if proxy.still_to_lose(called(script))}
        while True:
            try:
                return await call()
            except StreamUnavailable:
                failures.extend(script for script in lost if not proxy.still_to_lose(called(script)))
                lost = {script for script in lost if proxy.still_to_lose(called(script))}

    return failures, redo


@pytest.mark.parametrize("times", [1, 3])
async def test_answers_of_a_migration_may_be_lost(
    proxy: Proxy, connection: RedisConnection, streams: RedisStreams, times: int
) -> None:
    """Every script, once, so that the connection repeats it, or as often as it does, so that its caller has to.

    Nothing is there twice, nothing is missing, and each copy has taken the place of its entry.
    """
    keys_of(await streams.stream(NAME).append([live_entry() for _ in range(4)]))
    live = await entries_in(connection, NAME.key)
    copies = [
        CopiedEntry(key.entry_id, {**fields, b"x": b"y"}, (HashWrite("payload:1", {"a": b"1"}),))
        for key, fields in live
    ]
    failures, redo = _redoing(proxy)
    for script in SCRIPTS:
        proxy.lose(called(script), times)
    through = RedisConnection(RedisSettings.parse(proxy.url))
    try:
        migrating = RedisMigrating(through, NAME)
        await redo(lambda: migrating.begin("token", KEEP))
        await redo(lambda: migrating.add(copies[:2]))
        await redo(lambda: migrating.add(copies[2:]))
        await redo(migrating.prune)
        assert await redo(migrating.take_place) == "done"
        await redo(migrating.end)
    finally:
        await through.close()
    assert not any(proxy.still_to_lose(called(script)) for script in SCRIPTS)
    assert bool(failures) == (times > 1)
    assert [(key.entry_id, fields) for key, fields in await entries_in(connection, NAME.key)] == [
        (entry_id, fields) for entry_id, fields, _ in copies
    ]
    assert not [key for key in await connection.command("KEYS", "*") if b"restor" in key]  # type: ignore[attr-defined]
