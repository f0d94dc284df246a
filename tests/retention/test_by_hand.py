"""Retention by hand, as people ask for it, beside whoever carries it out."""

from datetime import datetime, timedelta

import pytest

from event_backbone import Backbone, EventKey, Retention
from event_backbone.connection import RedisConnection
from event_backbone.errors import ConfigurationError
from event_backbone.testing import memory_backbone
from tests.support.parcels import GROUP, URI
from tests.support.retention import MOMENT, Retained


async def test_trimming_by_age_needs_no_lock(redis_url: str, connection: RedisConnection) -> None:
    """A forgotten group keeps nothing, and its loss is reported; one that is only silent does."""
    retention = Retention(max_age=MOMENT)
    async with Backbone(redis_url, retention=retention, environment="test") as backbone:
        retained = Retained(backbone, connection)
        await connection.command("SET", retained.name.key_of("retention"), "another process")
        keys = await retained.produce(*range(5))
        await retained.set_group(*keys[:2])
        await retained.fall_silent()
        report = await backbone.trim(URI)
        assert (report.removed, report.left, report.cut) == (2, 3, {})
        assert [(each.reason, each.group, each.events, each.first) for each in report.held] == [
            ("unread", GROUP, 3, keys[2])
        ]
        await connection.command("HSET", retained.group_key(), "forgotten", await retained.clock())
        report = await backbone.trim(URI)
        assert (report.removed, report.left, report.cut, report.held) == (3, 0, {GROUP: 3}, ())


async def test_the_state_says_what_keeps_the_oldest_event(redis_url: str, connection: RedisConnection) -> None:
    """And how fast the stream grows; an empty one has nothing to say."""
    async with Backbone(redis_url, retention=Retention(max_age=MOMENT), environment="test") as backbone:
        retained = Retained(backbone, connection)
        empty = await backbone.retention_state(URI)
        assert (empty.length, empty.oldest, empty.held, empty.full_in) == (0, None, None, None)
        keys = await retained.produce(1, 2)
        await retained.set_group()
        state = await backbone.retention_state(URI)
        assert (state.length, state.oldest) == (2, keys[0])
        assert state.held is not None
        assert (state.held.reason, state.held.group) == ("unread", GROUP)
        assert state.overdue > timedelta(0)
        assert state.payload_bytes > 0
        assert state.events_per_second > 0


@pytest.mark.parametrize(
    ("before", "says"),
    [
        (None, "say before which event to trim"),
        (datetime.min, "time zone"),  # noqa: DTZ901 - that is the point
    ],
)
async def test_what_is_due_must_be_said(backbone: Backbone, before: datetime | None, says: str) -> None:
    """By an aware time, a key, or a retention with max_age."""
    with pytest.raises(ConfigurationError, match=says):
        await backbone.trim(URI, before=before)


async def test_streams_in_memory_have_no_retention() -> None:
    """Trimming one says so."""
    async with memory_backbone() as backbone:
        with pytest.raises(ConfigurationError, match="Streams in memory have no retention"):
            await backbone.trim(URI, before=EventKey(1))
