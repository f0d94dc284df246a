"""The stream on Redis passes the suite of all streams."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import cast

import pytest

from event_backbone.connection import RedisConnection
from event_backbone.metadata import EventKey, HashWrite
from event_backbone.settings import RedisSettings
from event_backbone.stream.redis import RedisStreams
from tests.conformance.stream_append import AppendSuite
from tests.conformance.stream_groups import GroupSuite
from tests.conformance.stream_leases import LeaseSuite
from tests.conformance.stream_suite import (
    GROUP,
    LEASE,
    LETTER,
    NAME,
    Rig,
    lease_of,
    members,
    new_entry,
)
from tests.support.keys import assert_no_leaked_keys


class RedisRig(Rig):
    """Ages one pending entry by XCLAIM with an idle time, and removes things as an administrator would."""

    def __init__(self, connection: RedisConnection) -> None:
        """Work on this server."""
        self.connection = connection
        self.streams = RedisStreams(connection)

    async def age(self, key: EventKey, by: timedelta) -> None:
        """Let a pending entry seem not to have been renewed for this long."""
        pending = next(
            entry for entry in await self.streams.group_admin(NAME, GROUP).pending(None, 1000) if entry.key == key
        )
        idle = by // timedelta(milliseconds=1)
        await self.connection.command(
            *("XCLAIM", NAME.key, GROUP, pending.consumer, 0, key.entry_id, "IDLE", idle, "JUSTID")
        )

    async def hash_at(self, purpose: str) -> Mapping[str, bytes]:
        """Return the hash that was written with an entry."""
        found = cast("list[bytes]", await self.connection.command("HGETALL", NAME.key_of(purpose)))
        return {name.decode(): value for name, value in zip(found[::2], found[1::2], strict=True)}

    async def remove_entry(self, key: EventKey) -> None:
        """Delete an entry, wherever it is pending."""
        await self.connection.command("XDEL", NAME.key, key.entry_id)

    async def remove_stream(self) -> None:
        """Delete the stream and with it its groups."""
        await self.connection.command("DEL", NAME.key)

    async def remove_group(self) -> None:
        """Delete the group."""
        await self.connection.command("XGROUP", "DESTROY", NAME.key, GROUP)


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[RedisRig]:
    """The implementation under test."""
    rig = RedisRig(RedisConnection(RedisSettings.parse(redis_url)))
    yield rig
    await rig.streams.close()


class TestRedisAppend(AppendSuite):
    """Appending and reading without a group."""


class TestRedisGroups(GroupSuite):
    """Reading by consumer groups."""


class TestRedisLeases(LeaseSuite):
    """Acting on what was delivered."""


class TestRedisKeys:
    """What is left in Redis."""

    async def test_event_ids_are_remembered_for_their_window_and_no_longer(self, rig: RedisRig) -> None:
        """For every second of the ids' time one hash, which expires when ids of that second begin to be refused."""
        entry = new_entry()
        await rig.streams.stream(NAME).append([entry])
        second = (entry.event_id.int >> 80) // 1000
        expires = await rig.connection.command("PEXPIRETIME", NAME.key_of(f"seen:{second}"))
        assert expires == (second + 2) * 1000 + 600_000

    async def test_a_hash_expires_as_its_storage_asked(self, rig: RedisRig) -> None:
        """From the append on; without such a wish it stays."""
        writes = (HashWrite("payload:1", {"a": b"1"}, timedelta(minutes=5)), HashWrite("payload:2", {"a": b"1"}))
        await rig.streams.stream(NAME).append([new_entry("m", *writes)])
        left = await rig.connection.command("PTTL", NAME.key_of("payload:1"))
        assert isinstance(left, int)
        assert 290_000 < left <= 300_000
        assert await rig.connection.command("PTTL", NAME.key_of("payload:2")) == -1

    async def test_no_key_is_left_behind(self, rig: RedisRig) -> None:
        """Whatever happened to the events, what remains is a stream or expires."""
        await rig.produce(6)
        await rig.streams.stream(NAME).reserve("token", "digest", new_entry().event_id, timedelta(minutes=1))
        [one] = await members(rig, "one")
        acked, released, given_up, deleted, gone, lost = [lease_of(delivery) for delivery in await one.read()]
        for lease in (acked, released, given_up, deleted, gone, lost):
            await one.leases.record_failure(lease)
        await rig.remove_entry(gone.key)
        assert await one.leases.renew([gone]) == frozenset({gone.key})
        await rig.remove_entry(lost.key)
        await one.leases.release([lost])
        await one.leases.ack([acked])
        await one.leases.release([released])
        await one.leases.dead_letter(given_up, LETTER)
        await rig.age(deleted.key, LEASE)
        await rig.remove_entry(deleted.key)
        claimed = await one.reader.claim(10, LEASE, ())
        assert claimed.vanished == (deleted.key,)
        await one.leases.ack([lease_of(delivery) for delivery in claimed.deliveries])
        await assert_no_leaked_keys(rig.connection.client)
