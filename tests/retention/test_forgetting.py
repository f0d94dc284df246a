"""Groups without a consumer stop holding events back, and are told what they have missed."""

import logging
from datetime import timedelta

import pytest

from event_backbone import Retention
from event_backbone.errors import ConfigurationError
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Remembering, Stuck, group_state
from tests.support.retention import LONG_AGO, MOMENT, Retained


async def test_a_forgotten_group_keeps_nothing_and_is_told_when_it_returns(
    retained: Retained, counted: CountedMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    """Unread and pending events go and are counted once; later ones reach it, and it keeps events again."""
    keys = await retained.produce(*range(6))
    await retained.set_group(*keys[:4], pending=[keys[1], keys[2]])
    await retained.set_group(*keys, group="other")
    await retained.fall_silent()
    removed = await retained.carry_out()
    assert await retained.left() == []
    assert removed.cuts == {(GROUP, True): 4}
    assert counted.count("event_backbone.cut", uri=URI, group=GROUP, reason="forgotten") == 4
    states = {each.name: each for each in await retained.backbone.groups(URI)}
    state = states[GROUP]
    assert (state.forgotten, state.cut, state.cut_until, state.pending) == (True, 4, keys[5], 0)
    assert not states["other"].forgotten

    more = await retained.produce(6, 7)
    remembering = Remembering()
    with caplog.at_level(logging.ERROR):
        async with retained.backbone.subscribe(remembering.consumer, uri=URI, group=GROUP) as subscription:
            await subscription.until_idle()
    assert remembering.numbers == [6, 7]
    (told,) = [each.message for each in caplog.records if "missed" in each.message and "told" not in each.message]
    assert f"missed 4 events, up to {keys[5]}" in told
    await retained.produce(8)
    await retained.carry_out()
    states = {each.name: each for each in await retained.backbone.groups(URI)}
    assert not states[GROUP].forgotten
    assert states[GROUP].cut == 4
    assert len(await retained.left()) == 1 + len(more)  # the other group has not read them

    caplog.clear()
    async with retained.backbone.subscribe(remembering.consumer, uri=URI, group=GROUP) as subscription:
        await subscription.until_idle()
    assert not [each for each in caplog.records if each.levelno == logging.ERROR]


async def test_a_group_that_looks_while_it_is_forgotten_keeps_its_events(retained: Retained) -> None:
    """The look counts, whatever the process that removes events has read before it."""
    keys = await retained.produce(*range(3))
    await retained.set_group()
    await retained.fall_silent()
    loop = retained.loop(watch_groups_for=timedelta(hours=1))
    await loop.round()
    assert await retained.left() == keys  # it is only watched so far
    await retained.fall_silent(since=LONG_AGO - timedelta(seconds=1))  # as after a clock that jumped ahead and back
    await loop.round()
    assert await retained.left() == keys
    assert not (await group_state(retained.backbone)).forgotten


async def test_a_group_that_nobody_has_served_yet_has_its_time_too(retained: Retained) -> None:
    """From when it was first seen, as after a restore; with None it is never forgotten."""
    keys = await retained.produce(*range(3))
    await retained.set_group()
    await retained.carry_out()
    noticed = await retained.connection.command("HGET", retained.group_key(), "noticed")
    assert isinstance(noticed, bytes)
    await retained.connection.command("HSET", retained.group_key(), "noticed", int(noticed) - LONG_AGO // MOMENT)
    await retained.carry_out(Retention(max_age=MOMENT, forget_groups_after=None))
    assert await retained.left() == keys
    await retained.carry_out()
    assert await retained.left() == []


async def test_it_is_told_once_of_what_it_had_read_and_not_finished(
    retained: Retained, caplog: pytest.LogCaptureFixture
) -> None:
    """Also when it had nothing unread."""
    keys = await retained.produce(*range(4))
    await retained.set_group(*keys, pending=keys[1:3])
    await retained.fall_silent()
    await retained.carry_out()
    for _ in range(2):
        async with retained.backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP) as subscription:
            await subscription.until_idle()
    assert [f"missed 2 events, up to {keys[2]}" in each for each in caplog.messages].count(True) == 1


@pytest.mark.parametrize(
    "forgotten_in", [timedelta(0), timedelta(hours=1)], ids=["before", "by-a-clock-that-was-ahead"]
)
async def test_a_group_that_has_returned_is_not_forgotten_any_more(retained: Retained, forgotten_in: timedelta) -> None:
    """From its first look on, for people too: nothing that it has not finished is removed, whoever trims."""
    keys = await retained.produce(*range(3))
    await retained.set_group(*keys)
    await retained.fall_silent()
    await retained.carry_out()
    forgotten = await retained.clock() + forgotten_in // MOMENT
    await retained.connection.command("HSET", retained.group_key(), "forgotten", forgotten)
    stuck = Stuck()
    async with retained.backbone.subscribe(stuck.consumer, uri=URI, group=GROUP) as subscription:
        more = await retained.produce(3, 4)
        await stuck.running.wait()
        assert not (await group_state(retained.backbone)).forgotten
        report = await retained.backbone.trim(URI, before=more[-1].successor())
        await retained.carry_out()
        assert (report.removed, report.cut) == (0, {})
        assert await retained.left() == more
        stuck.release.set()
        await subscription.until_idle()


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({}, "needs max_age or max_bytes"),
        ({"max_age": timedelta(0)}, "max_age of Retention must be positive"),
        ({"max_bytes": 0}, "max_bytes of Retention must be 1 or more"),
        ({"max_bytes": 1, "dead_letters_for": timedelta(-1)}, "dead_letters_for of Retention must be positive"),
        ({"max_bytes": 1, "forget_groups_after": timedelta(seconds=9)}, "at least a minute"),
    ],
)
def test_a_retention_that_cannot_work_is_refused(limits: dict[str, timedelta | int], says: str) -> None:
    """In one sentence, before anything is connected."""
    with pytest.raises(ConfigurationError, match=says):
        Retention(**limits)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
