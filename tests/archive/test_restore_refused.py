"""What keeps a restore from its work is said in one sentence, nothing is overwritten, and it can be run again."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

import pytest
from redis.asyncio import Redis

from event_backbone.archive import appending
from event_backbone.errors import ArchiveUnreadable, BackboneError, ConfigurationError, StreamError, StreamUnavailable
from event_backbone.testing.servers import RedisServer, S3Server
from tests.support.archives import STREAM, ArchivedStream
from tests.support.parcels import URI
from tests.support.s3 import BUCKET, objects_of, s3_client

Obstacle = Callable[[Redis, S3Server], AbstractAsyncContextManager[None]]


@pytest.fixture
def redis_url(own_redis: RedisServer) -> str:
    """The URL of a server that may be full."""
    return own_redis.url


@asynccontextmanager
async def _another_restore(redis: Redis, _: S3Server) -> AsyncGenerator[None]:
    await redis.set(STREAM.key_of("restore"), "another")
    yield
    await redis.delete(STREAM.key_of("restore"))


@asynccontextmanager
async def _other_data(redis: Redis, _: S3Server) -> AsyncGenerator[None]:
    live = await redis.dump(STREAM.key)
    await redis.set(STREAM.key, "anything")
    yield
    await redis.restore(STREAM.key, 0, live or b"", replace=True)


@asynccontextmanager
async def _full_server(redis: Redis, _: S3Server) -> AsyncGenerator[None]:
    await redis.config_set("maxmemory", "1")
    yield
    await redis.config_set("maxmemory", "0")


def _spoiling(ending: str, old: bytes, new: bytes) -> Obstacle:
    @asynccontextmanager
    async def spoiled(_: Redis, s3: S3Server) -> AsyncGenerator[None]:
        client = s3_client(s3)
        key, data = next(each for each in objects_of(s3).items() if each[0].endswith(ending))
        assert old in data
        client.put_object(Bucket=BUCKET, Key=key, Body=data.replace(old, new, 1))
        yield
        client.put_object(Bucket=BUCKET, Key=key, Body=data)

    return spoiled


OBSTACLES: dict[str, tuple[Obstacle, type[BackboneError], str]] = {
    "another restore": (_another_restore, StreamError, "Another restore or migration of stream .* run it again then"),
    "another environment": (
        _spoiling("event-backbone.json", b'"test"', b'"live"'),
        ConfigurationError,
        "environment",
    ),
    "a later format": (
        _spoiling(".jsonl.zst", b'{"format":1', b'{"format":2'),
        ArchiveUnreadable,
        "has format 2, and this version of event_backbone reads format 1; update it",
    ),
    "a damaged segment": (
        _spoiling(".jsonl.zst", b"\xb5\x2f\xfd", b"\xb5\x2f\xfe"),
        ArchiveUnreadable,
        "is damaged; restore the object",
    ),
    "other data": (_other_data, ConfigurationError, "holds other data under a key of this stream"),
    "a full server": (_full_server, StreamUnavailable, "refuses .*for now \\(OOM\\)"),
}


@pytest.mark.parametrize(
    ("obstacle", "archived_are_lost"), [*((each, True) for each in OBSTACLES), ("a full server", False)]
)
async def test_an_obstacle(
    archived: ArchivedStream,
    redis: Redis,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    obstacle: str,
    *,
    archived_are_lost: bool,
) -> None:
    """Before or while the stream is built from the archive, or while what only packs have is appended."""
    monkeypatch.setattr(appending, "_TRIES", 0)
    make, error, text = OBSTACLES[obstacle]
    keys = await archived.produce(1, 2)
    await archived.archive_all()
    lost = await archived.produce(3)
    if archived_are_lost:
        await redis.flushall()
    else:
        await redis.xdel(STREAM.key, lost[0].entry_id)
        await redis.delete(*cast("list[bytes]", await redis.keys("*:seen:*")))
    await archived.produce(4)
    async with make(redis, s3_server):
        segments, live = objects_of(s3_server, ".zst"), await _entries(redis)
        with pytest.raises(error, match=text) as raised:
            await archived.backbone.restore(URI)
        assert "\n" not in str(raised.value)
        assert segments.items() <= objects_of(s3_server, ".zst").items()
        assert await _entries(redis) == live
    await archived.backbone.restore(URI)
    found = await archived.in_redis()
    assert [number for _, number in found] == [1, 2, 4, 3]
    assert [key for key, _ in found[:2]] == keys


async def test_a_pack_that_is_cut_off_is_restored_up_to_there(
    archived: ArchivedStream, redis: Redis, s3_server: S3Server
) -> None:
    """What is damaged is counted."""
    await archived.produce(1, 2)
    key, data = max(objects_of(s3_server, "packs/").items())
    s3_client(s3_server).put_object(Bucket=BUCKET, Key=key, Body=data[:-20])
    await redis.flushall()
    report = await archived.backbone.restore(URI)
    assert (report.appended, report.damaged) == (1, 1)


async def _entries(redis: Redis) -> object:
    if await redis.type(STREAM.key) == b"stream":
        return await redis.xrange(STREAM.key)
    return await redis.get(STREAM.key)
