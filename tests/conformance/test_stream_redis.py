"""The stream on Redis passes the suite of all streams."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import cast

import pytest

from event_backbone.connection import RedisConnection
from event_backbone.metadata import EventKey
from event_backbone.settings import RedisSettings
from event_backbone.stream.redis import RedisStreams
from tests.conformance.stream_append import AppendSuite
from tests.conformance.stream_groups import GroupSuite
from tests.conformance.stream_suite import GROUP, NAME, Rig


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
async def rig(redis_url: str) -> AsyncIterator[Rig]:
    """The implementation under test."""
    rig = RedisRig(RedisConnection(RedisSettings.parse(redis_url)))
    yield rig
    await rig.streams.close()


class TestRedisAppend(AppendSuite):
    """Appending and reading without a group."""


class TestRedisGroups(GroupSuite):
    """Reading by consumer groups."""
