"""What an archive refuses: one sentence each, and nothing is overwritten."""

import sys
from collections.abc import Callable
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone.archive import S3Archive
from event_backbone.errors import ArchiveUnreadable, ConfigurationError
from event_backbone.storage import S3Options
from event_backbone.testing import memory_backbone
from tests.archive.conftest import Make
from tests.archive.segments import below
from tests.support.archives import archive_all
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3, Refusal
from tests.support.letters import STREAM, URI, numbers_of, send

MARKER = "/events/test/event-backbone.json"
FIRST = "1970/01/01/00000000000000000000-00000000000000000000.jsonl.zst"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (lambda: S3Archive(S3Options(bucket="events", environment_in="nothing")), "needs the environment in its names"),
        (lambda: S3Archive(segment_bytes=0), "must be positive"),
        (lambda: S3Archive(close_after=timedelta(0)), "must be positive"),
    ],
)
def test_settings_without_sense(s3: FaultyS3, settings: Callable[[], S3Archive], sentence: str) -> None:
    """They are refused before anything is connected."""
    with pytest.raises(ConfigurationError, match=sentence):
        settings()


def test_without_zstandard_the_sentence_says_what_to_install(s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else of the package needs it."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ConfigurationError, match="pip install zstandard"):
        S3Archive()


async def test_only_a_backbone_with_redis_and_an_archive_has_archivers(archiving: Make) -> None:
    """An archiver runs once."""
    async with memory_backbone() as memory, archiving(archived=False) as without, archiving() as backbone:
        for each in (memory, without):
            with pytest.raises(ConfigurationError, match=r"has no archive; make it with Backbone\(archive="):
                each.archiver(URI)
        archiver = backbone.archiver(URI)
        with pytest.raises(ConfigurationError, match="must be entered"):
            await archiver.wait()
        async with archiver:
            pass
        with pytest.raises(ConfigurationError, match="runs once"):
            await archiver.__aenter__()


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("answers", ["ignores", "refuses"])
async def test_a_bucket_without_conditional_writes(archiving: Make, s3: FaultyS3, answers: str, exists: bool) -> None:
    """A race of two shows it, also where an archiver has been before."""
    async with archiving() as backbone:
        if exists:
            async with backbone.archiver(URI):
                pass
        s3.ignores_conditions = answers == "ignores"
        if answers == "refuses":
            s3.choose = lambda method, _: Refusal(501, "NotImplemented") if method == "PUT" else None
        with pytest.raises(ConfigurationError, match=r"conditions of writes|does not support conditional writes"):
            async with backbone.archiver(URI):
                pass


@pytest.mark.parametrize("known", [True, False])
async def test_the_bucket_of_another_environment(
    archiving: Make, s3: FaultyS3, known: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused when the archiver starts, or when S3 answers at last; nothing is written."""
    s3.objects[MARKER] = b'{"format":1,"environment":"production","storage":"s3"}\n'
    objects = dict(s3.objects)
    async with archiving() as backbone:
        await send(backbone, 1)
        if known:
            with pytest.raises(ConfigurationError, match="production"):
                await backbone.archiver(URI).__aenter__()
        else:
            s3.choose = lambda _method, _path: Refusal(503, "SlowDown")
            async with backbone.archiver(URI) as archiver:
                s3.choose = lambda _method, _path: None
                await eventually(lambda: "production" in caplog.text)
                assert not archiver.ready
    assert s3.objects == objects


def _later(segment: bytes) -> bytes:
    return segment.replace(b'"format":1', b'"format":2', 1)


def _spoiled(segment: bytes) -> bytes:
    return segment[:-20] + bytes([segment[-20] ^ 255]) + segment[-19:]


def _anothers(segment: bytes) -> bytes:
    return segment.replace(b'"uri":"letters"', b'"uri":"parcels"', 1)


DAMAGES: list[tuple[Callable[[bytes], bytes | None], str]] = [
    (_later, "has format 2, and this version of event_backbone reads format 1; update it"),
    (_spoiled, "is damaged; restore the object"),
    (_anothers, "is not the one that its name says; restore the object"),
    (lambda segment: segment[:-30], "is damaged; restore the object"),
    (lambda segment: segment[:100], "is cut off; restore the object"),
    (lambda _: b"", "is not a segment; restore the object"),
    (lambda _: b"something else", "is not a segment; restore the object"),
    (lambda _: None, "any more; restore the object"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES)
async def test_segments_that_cannot_be_read(
    archiving: Make, s3: FaultyS3, redis: Redis, damage: Callable[[bytes], bytes | None], sentence: str
) -> None:
    """Reads say which object it is, and go on elsewhere; nothing is archived over it."""
    async with archiving() as backbone:
        keys = await send(backbone, 1, 2)
        await archive_all(backbone, URI)
        path = f"/events/test/archive/letters/0/{FIRST}"
        damaged = damage(s3.objects[path])
        s3.objects.pop(path) if damaged is None else s3.objects.update({path: damaged})
        await redis.xtrim(STREAM, maxlen=0, approximate=False)
        await redis.hset(f"{{{STREAM}}}:archive", "complete-from", keys[1].successor().entry_id)
        objects = below(s3.objects, "")
        for read in (backbone.reader(URI).get(keys[0]), numbers_of(backbone), backbone.erase(URI, keys[0])):
            with pytest.raises(ArchiveUnreadable, match=sentence) as raised:
                await read
            assert FIRST in str(raised.value)
        assert below(s3.objects, "") == objects
        await send(backbone, 3)
        assert await numbers_of(backbone, start=keys[1].successor()) == [3]
