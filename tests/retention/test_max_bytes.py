"""``max_bytes``: a hard limit, which costs groups their events only when nothing else is left to remove."""

import asyncio

import pytest

from event_backbone import Backbone, Retention
from event_backbone.connection import RedisConnection
from event_backbone.storage import RedisHashStorage
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Stuck, nothing_is_left
from tests.support.retention import Retained

MANY = 600
BYTES = 60_000  # a third of them, about


@pytest.mark.parametrize("inline", [0, 1000])
async def test_the_oldest_that_nobody_needs_go_first(redis_url: str, connection: RedisConnection, inline: int) -> None:
    """However young they are, and no more of them than necessary; what a group keeps stays among them."""
    storage = RedisHashStorage(inline_up_to_bytes=inline)
    async with Backbone(redis_url, storage=storage, environment="test") as backbone:
        retained = Retained(backbone, connection)
        keys = await retained.produce(*range(MANY))
        await retained.set_group(*keys, pending=keys[:3])
        loop = retained.loop(Retention(max_bytes=BYTES))
        for _ in range(3):
            removed = await loop.round()
            assert not removed.cuts
        left = await retained.left()
        assert left[:3] == keys[:3]
        assert left[3:] == keys[-len(left) + 3 :]
        state = await backbone.retention_state(URI)
        size = state.stream_bytes + state.payload_bytes
        assert 0.6 * BYTES < size < 1.01 * BYTES  # payloads are measured by samples here
        assert await retained.payloads() == (0 if inline else len(left))


async def test_then_groups_and_dead_letters_lose_theirs(retained: Retained, counted: CountedMetrics) -> None:
    """Which is counted for each group, whether it had read them or not; a parked event that is gone is not due."""
    keys = await retained.produce(*range(MANY))
    await retained.set_group(*keys[:50], pending=keys[:5])
    await retained.set_group(*keys, group="finished")
    dead = retained.name.key_of("dead:finished")
    await retained.connection.command("XADD", dead, "*", "dead:source", keys[7].entry_id)
    removed = await retained.carry_out(Retention(max_bytes=BYTES, dead_letters_for=None))
    left = await retained.left()
    assert left == keys[-len(left) :]
    cut = MANY - len(left) - 45
    assert removed.cuts == {(GROUP, False): cut}
    assert counted.count("event_backbone.cut", uri=URI, group=GROUP, reason="max-bytes") == cut
    (state,) = [each for each in await retained.backbone.groups(URI) if each.name == GROUP]
    assert (state.pending, state.cut, state.cut_until, state.forgotten) == (0, cut, keys[MANY - len(left) - 1], False)


async def test_what_a_running_consumer_has_in_flight_is_not_cut(retained: Retained) -> None:
    """It is finished as usual, and goes then."""
    await retained.produce(0)
    stuck = Stuck()
    async with retained.backbone.subscribe(
        stuck.consumer, uri=URI, group=GROUP, concurrency=1, prefetch=1
    ) as subscription:
        await stuck.running.wait()
        keys = await retained.produce(*range(1, MANY))
        await retained.carry_out(Retention(max_bytes=BYTES))
        left = await retained.left()
        assert left[0] < keys[0] == left[1]  # one is handled, and one waits for it
        assert left[2] > keys[1]
        stuck.release.set()
        await subscription.until_idle()
    assert stuck.numbers[0] == 0
    assert stuck.attempts[0] == 1
    assert await nothing_is_left(retained.backbone)


async def test_a_stream_that_somebody_else_trims_is_measured_again(retained: Retained) -> None:
    """Otherwise what is no longer there would cost what is."""
    await retained.produce(*range(MANY))
    loop = retained.loop(Retention(max_bytes=1_000_000))
    await loop.round()
    await retained.connection.command("XTRIM", retained.name.key, "MAXLEN", 10)
    await asyncio.gather(*(retained.backbone.producer(Parcels, uri=URI).packed(each) for each in range(MANY)))
    await loop.round()
    assert len(await retained.left()) == MANY + 10
