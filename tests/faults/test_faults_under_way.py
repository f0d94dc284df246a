"""Every server fault once, while events are produced and consumed: both go on, and no acknowledged event is lost.

No caller gets an error: the calls wait until the fault is over. What was acknowledged is in the stream once.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from event_backbone.backbone import Backbone
from event_backbone.errors import BackboneError
from event_backbone.model import EventKey
from event_backbone.testing.servers import RedisServer
from tests.faults.proxy import proxy_before
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering, nothing_is_left, stopped_within

STREAM = "test:parcels"
SOME = 30
Deed = Callable[[Redis], Awaitable[object]]


class Traffic:
    """Four callers that produce without a pause, and a subscription; both run until the block ends."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.remembering = Remembering()
        self.keys: dict[int, EventKey] = {}
        self.errors: list[BackboneError] = []
        self._begun = 0
        self._counted_from = 0
        self._stopping = False

    async def more(self, count: int = SOME) -> None:
        """Wait until this many more were acknowledged, and all of those were handled."""
        acknowledged = len(self.keys) + count
        await eventually(lambda: len(self.keys) >= acknowledged)
        fresh = set(self.keys)
        await eventually(lambda: fresh <= set(self.remembering.numbers))

    async def produce(self) -> None:
        """Produce until stopped."""
        producer = self.backbone.producer(Parcels, uri=URI)
        while not self._stopping:
            self._begun += 1
            number = self._begun
            try:
                key = await producer.packed(number)
            except BackboneError as error:
                self.errors.append(error)
            else:
                if number > self._counted_from:
                    self.keys[number] = key

    def count_again(self) -> None:
        """Forget all calls that have begun so far: what they produced may be deleted on purpose."""
        self._counted_from = self._begun
        self.keys.clear()

    def stop(self) -> None:
        """Produce no more."""
        self._stopping = True


@asynccontextmanager
async def traffic(url: str) -> AsyncGenerator[Traffic]:
    """Run traffic; at the end everything acknowledged was handled, and no caller got an error."""
    async with Backbone(url, environment="test") as backbone:
        running = Traffic(backbone)
        subscription = backbone.subscribe(running.remembering.consumer, uri=URI, group=GROUP)
        async with stopped_within(subscription, 60):
            producing = [asyncio.create_task(running.produce()) for _ in range(4)]
            try:
                await running.more()
                yield running
            finally:
                running.stop()
                await asyncio.wait(producing)
            assert running.errors == []
            await eventually(lambda: set(running.keys) <= set(running.remembering.numbers))
            await eventually(lambda: subscription.in_flight == 0)
            assert subscription.alive


async def assert_each_is_there_once(running: Traffic) -> None:
    """Fail unless every acknowledged number is in the stream under its key, and no number twice."""
    acknowledged = dict(running.keys)  # more is produced while the stream is read
    stored = {event.key: event.arguments["number"] async for event in running.backbone.reader(URI).scan()}
    assert all(stored.get(key) == number for number, key in acknowledged.items())
    assert max(Counter(stored.values()).values()) == 1


def both_have_felt_it(counted: CountedMetrics) -> bool:
    """Return whether producer and consumer have met an outage; the consumer perhaps when it loaded a payload."""
    producer, consumer, storage = (
        counted.count("event_backbone.outages", side=side) for side in ("producer", "consumer", "storage")
    )
    return producer >= 1 and consumer + storage >= 1


async def demote(admin: Redis) -> None:
    """Make it a replica of a server that does not answer."""
    await admin.replicaof("127.0.0.1", "1")


async def demote_and_refuse_reads(admin: Redis) -> None:
    """Make it a replica that answers nothing, as its master is down."""
    await admin.config_set("replica-serve-stale-data", "no")
    await demote(admin)


async def promote(admin: Redis) -> None:
    """Make it a master again."""
    await admin.replicaof("NO", "ONE")


def set_to(name: str, value: str) -> Deed:
    """Return what sets a configuration value."""
    return lambda admin: admin.config_set(name, value)


async def flush(admin: Redis) -> None:
    """Delete everything."""
    await admin.flushall()


async def delete_stream(admin: Redis) -> None:
    """Delete the stream, and with it the group."""
    await admin.delete(STREAM)


async def destroy_group(admin: Redis) -> None:
    """Delete the group alone."""
    await admin.xgroup_destroy(STREAM, GROUP)


async def saved_file(admin: Redis) -> Path:
    """Return where the background save writes."""
    return Path(str((await admin.config_get("dir"))["dir"])) / "dump.rdb"


async def fail_to_save(admin: Redis) -> None:
    """Let the background save fail: there is a folder where its file should be."""
    (await saved_file(admin)).mkdir()
    await admin.config_set("save", "3600 1000000")
    await admin.bgsave()
    await eventually(partial(_last_save_is, admin, "err"))


async def save_again(admin: Redis) -> None:
    """Let the next background save succeed."""
    (await saved_file(admin)).rmdir()
    await admin.bgsave()
    await eventually(partial(_last_save_is, admin, "ok"))


async def _last_save_is(admin: Redis, status: str) -> bool:
    about = await admin.info("persistence")
    return about["rdb_last_bgsave_status"] == status and not about["rdb_bgsave_in_progress"]


@pytest.mark.parametrize(
    ("inject", "heal"),
    [
        pytest.param(demote, promote, id="READONLY"),
        pytest.param(demote_and_refuse_reads, promote, id="MASTERDOWN"),
        pytest.param(set_to("min-replicas-to-write", "1"), set_to("min-replicas-to-write", "0"), id="NOREPLICAS"),
        pytest.param(fail_to_save, save_again, id="MISCONF"),
    ],
)
async def test_a_server_that_refuses_for_a_while_is_waited_for(
    own_redis: RedisServer, counted: CountedMetrics, inject: Deed, heal: Deed
) -> None:
    """Scenario 12: producer and consumer meet it, and afterwards everything goes on."""
    async with Redis.from_url(own_redis.url, decode_responses=True) as admin, traffic(own_redis.url) as running:
        await inject(admin)
        await eventually(lambda: both_have_felt_it(counted))
        await heal(admin)
        await running.more()
        running.stop()
        await assert_each_is_there_once(running)


async def test_a_full_server_stops_producers_and_lets_consumers_go_on(
    own_redis: RedisServer, counted: CountedMetrics
) -> None:
    """Scenario 13: OOM is an outage for producers only; what was acknowledged before is handled and acked meanwhile."""
    async with Redis.from_url(own_redis.url) as admin, traffic(own_redis.url) as running:
        await admin.config_set("maxmemory", "1")
        await eventually(lambda: counted.count("event_backbone.outages", side="producer") == 1)
        await eventually(lambda: set(running.keys) <= set(running.remembering.numbers))
        await eventually(lambda: nothing_is_left(running.backbone))
        await admin.config_set("maxmemory", "0")
        await running.more()
        running.stop()
        await assert_each_is_there_once(running)
    assert counted.count("event_backbone.outages", side="consumer") == 0


async def test_a_script_that_hangs_the_server_is_waited_for(own_redis: RedisServer, counted: CountedMetrics) -> None:
    """BUSY: until somebody kills the script."""
    async with (
        Redis.from_url(own_redis.url) as admin,
        Redis.from_url(own_redis.url, socket_timeout=60) as other,
        traffic(own_redis.url) as running,
    ):
        await admin.config_set("lua-time-limit", "10")
        hanging = asyncio.ensure_future(other.eval("while true do end", 0))
        # A read that waits in the server gets no answer.
        await eventually(lambda: counted.count("event_backbone.outages", side="producer") == 1)
        await eventually(partial(_kill_script, admin))
        with suppress(RedisError):
            await hanging
        await running.more()
        running.stop()
        await assert_each_is_there_once(running)


async def _kill_script(admin: Redis) -> bool:
    with suppress(RedisError):
        await admin.script_kill()
        return True
    return False


async def test_forgotten_scripts_and_cut_connections_are_not_even_noticed(
    own_redis: RedisServer, counted: CountedMetrics
) -> None:
    """NOSCRIPT, and CLIENT KILL of all clients: no call fails, again and again."""
    async with Redis.from_url(own_redis.url) as admin, traffic(own_redis.url) as running:
        for _ in range(5):
            await admin.script_flush()
            await running.more()
        assert counted.count("event_backbone.outages") == 0
        for _ in range(5):
            await admin.client_kill_filter(_type="normal", skipme=True)
            await running.more()
        running.stop()
        await assert_each_is_there_once(running)


@pytest.mark.parametrize(
    "answer",
    [
        "LOADING Redis is loading the dataset in memory",
        "CLUSTERDOWN Hash slot not served",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    ],
)
async def test_whatever_a_server_answers_for_a_while_is_waited_for(
    redis_server: RedisServer, redis_url: str, counted: CountedMetrics, answer: str
) -> None:
    """Scenario 12, for answers that a single server does not give on request."""
    assert redis_url
    async with proxy_before(redis_server.port) as proxy, traffic(proxy.url) as running:
        proxy.answer(b"", answer)
        await eventually(lambda: both_have_felt_it(counted))
        proxy.heal()
        await running.more()
        running.stop()
        await assert_each_is_there_once(running)


@pytest.mark.parametrize(
    "lose",
    [
        pytest.param(flush, id="FLUSHALL"),
        pytest.param(delete_stream, id="DEL"),
        pytest.param(destroy_group, id="XGROUP DESTROY"),
    ],
)
async def test_a_stream_or_group_lost_under_way_is_made_again_once(
    own_redis: RedisServer, counted: CountedMetrics, lose: Deed
) -> None:
    """Scenario 11: what is acknowledged from then on is handled, the group is made once, and no loop runs hot."""
    async with Redis.from_url(own_redis.url, decode_responses=True) as admin, traffic(own_redis.url) as running:
        await admin.config_resetstat()
        await lose(admin)
        running.count_again()
        await running.more()
        made = (await admin.info("commandstats"))["cmdstat_xgroup|create"]["calls"]
        running.stop()
        await assert_each_is_there_once(running)
    assert made <= 3
    assert counted.count("event_backbone.group_recreated", group=GROUP) == 1
