"""Another server takes over: what a connection that knew the old one does next."""

from collections.abc import AsyncIterator

import pytest

from event_backbone.connection import RedisConnection
from event_backbone.connection.sentinels import Sentinels
from event_backbone.errors import StreamUnavailable
from event_backbone.model import StreamName
from event_backbone.settings import RedisSettings
from event_backbone.testing.redis_sentinel import SERVICE, SentinelServer
from event_backbone.testing.servers import RedisCluster, RedisSentinel, RedisServer

STREAM = StreamName.of("orders", "test")
MORE_THAN_A_PAGE = 3000


@pytest.fixture
async def connection(redis_cluster: RedisCluster) -> AsyncIterator[RedisConnection]:
    """A connection to an empty cluster."""
    redis_cluster.flush()
    connection = RedisConnection(RedisSettings.parse(redis_cluster.url))
    yield connection
    await connection.close()


async def test_a_scan_ends_when_its_keys_are_known_to_be_elsewhere(
    redis_cluster: RedisCluster, connection: RedisConnection
) -> None:
    """Its cursor means nothing there, and would leave out keys; a new scan finds all of them."""
    keys = {STREAM.key_of(f"payload:{number}").encode() for number in range(MORE_THAN_A_PAGE)}
    for key in keys:
        await connection.command("SET", key.decode(), "x")
    cursor, _ = await connection.scan(b"0", STREAM.key_of("payload:*"))
    assert cursor != b"0"
    old = redis_cluster.primary_of(STREAM.key)
    redis_cluster.move_slot(
        STREAM.key, to=next(each for each in redis_cluster.nodes if each.is_primary() and each is not old)
    )
    assert await connection.command("EXISTS", STREAM.key_of("payload:0")) == 1
    with (
        pytest.raises(StreamUnavailable, match="the keys have moved to another server during a scan"),
        connection.errors(),
    ):
        await connection.scan(cursor, STREAM.key_of("payload:*"))
    found, cursor = set[bytes](), b""
    while cursor != b"0":
        cursor, some = await connection.scan(cursor or b"0", STREAM.key_of("payload:*"))
        found.update(some)
    assert found == keys


async def test_a_sentinel_that_knows_less_counts_only_if_no_other_is_left(redis_sentinel: RedisSentinel) -> None:
    """It has been cut off, perhaps, and names a primary that is none any more."""
    primary = redis_sentinel.failover()
    with RedisServer() as other, SentinelServer(port=None, binary=None) as cut_off:
        cut_off.watch(other, 1)
        known = redis_sentinel.sentinels[0]
        servers = f"127.0.0.1:{known.port},127.0.0.1:{cut_off.port}"
        sentinels = Sentinels(RedisSettings.parse(f"redis+sentinel://{servers}/{SERVICE}"))
        assert await sentinels.primary() == ("127.0.0.1", primary.port)
        sentinels.ask_another_first()
        assert await sentinels.primary() == ("127.0.0.1", primary.port)
        await sentinels.close()
        alone = Sentinels(RedisSettings.parse(f"redis+sentinel://127.0.0.1:{cut_off.port}/{SERVICE}"))
        assert await alone.primary() == ("127.0.0.1", other.port)
        await alone.close()
    redis_sentinel.wait_ready()
