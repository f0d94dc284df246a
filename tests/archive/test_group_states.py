"""The archive keeps where each consumer group is, for a restore."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.typing import EncodableT, FieldT

from event_backbone import Backbone, Consumer, Context, RetryPolicy
from event_backbone.archive import S3Archive
from event_backbone.archive.group_states import SavedGroup, read_dead_letters, read_groups, save_restored
from event_backbone.archive.unfinished import UnfinishedRestore
from event_backbone.errors import ArchiveUnreadable, Reject
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.values import DeadLetter, Entry
from event_backbone.testing.servers import S3Server
from tests.archive.conftest import Make
from tests.archive.gate import Gate
from tests.archive.segments import archived_keys, below
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3, Refusal, no_fault
from tests.support.letters import GROUP, STREAM, URI, Letters, rows_of, send
from tests.support.s3 import s3_client

NAME = StreamName.of(URI, "test")
STRANGE = ["é\u0e9a", "\u00e9a\u0e00", "a b/../c?%2F+", "..", "~", "x" * 60, 'q"\\', "\u0e9a"]


async def archive_once(backbone: Backbone) -> None:
    """Run an archiver until it has saved the groups."""
    async with backbone.archiver(URI) as archiver:
        await archiver.commit()
        await eventually(lambda: archiver.ready)


async def _has_finished(backbone: Backbone) -> bool:
    (state,) = await backbone.groups(URI)
    return (state.pending, state.unread) == (1, 0)


def saved(s3: FaultyS3, folder: str) -> dict[str, dict[str, object]]:
    """Return the documents of all groups."""
    return {name: json.loads(body) for name, body in below(s3.objects, f"{folder}/").items()}


async def test_positions_pending_keys_and_dead_letters_are_saved(archiving: Make, s3: FaultyS3, redis: Redis) -> None:
    """Each is written when it changes, also after an outage of S3; what goes away is deleted there too."""
    consumer = Consumer(Letters)

    @consumer.on(Letters.sent)
    async def handle(_: Context, number: int, email: str | None = None) -> None:
        if number == 1:
            raise Reject("no")
        if number == 2:
            raise RuntimeError

    async with archiving() as backbone:
        keys = await send(backbone, *range(5))
        await archive_once(backbone)
        assert saved(s3, "groups") == {}
        retry = RetryPolicy(backoff=timedelta(hours=1))
        async with backbone.subscribe(consumer, uri=URI, group=GROUP, retry=retry):
            await eventually(lambda: _has_finished(backbone))
        async with backbone.archiver(URI) as archiver:
            await eventually(lambda: bool(saved(s3, "dead-letters")) and archiver.ready)
        assert saved(s3, "groups") == {
            f"{GROUP}.json": {"format": 1, "group": GROUP, "position": keys[4].entry_id, "pending": [keys[2].entry_id]}
        }
        (letter,) = cast("list[dict[str, str]]", saved(s3, "dead-letters")[f"{GROUP}.json"]["dead_letters"])
        assert letter["source"] == keys[1].entry_id
        assert "rejected" in str(letter["about"])
        before = dict(s3.objects)
        await archive_once(backbone)
        assert s3.objects == before
        await backbone.dead_letters(URI, GROUP).discard(letter["id"])
        await archive_once(backbone)
        assert saved(s3, "dead-letters")[f"{GROUP}.json"]["dead_letters"] == []
        await redis.xgroup_destroy(STREAM, GROUP)
        await archive_once(backbone)
        deleted = {f"{GROUP}.json": {"format": 1, "group": GROUP, "deleted": True}}
        assert saved(s3, "groups") == saved(s3, "dead-letters") == deleted


async def test_states_that_could_not_be_saved_are_saved_later(archiving: Make, s3: FaultyS3, redis: Redis) -> None:
    """The archiver is not ready until then."""
    async with archiving() as backbone:
        (key,) = await send(backbone, 1)
        await redis.xgroup_create(STREAM, GROUP, id=key.entry_id)
        dead = {"source": key.entry_id, "attempts": "1", "reason": "rejected", "detail": "", "error": "", "place": ""}
        (_, fields) = (await rows_of(redis))[0]
        letter = fields | {f"dead:{name}".encode(): value.encode() for name, value in dead.items()}
        await redis.xadd(f"{{{STREAM}}}:dead:{GROUP}", cast("dict[FieldT, EncodableT]", letter))
        s3.choose = lambda _, path: Refusal(503, "SlowDown") if "/dead-letters/" in path else None
        async with backbone.archiver(URI) as archiver:
            await eventually(lambda: not archiver.ready)
            s3.choose = no_fault
            await eventually(lambda: archiver.ready)
        assert len(cast("list[object]", saved(s3, "dead-letters")[f"{GROUP}.json"]["dead_letters"])) == 1


async def test_what_another_archiver_has_saved_meanwhile_stands(archiving: Make, s3: FaultyS3, redis: Redis) -> None:
    """The one that is late finds that the object has changed; what it writes next is newer."""
    async with archiving() as backbone, archiving() as other:
        keys = await send(backbone, 1, 2)
        await redis.xgroup_create(STREAM, GROUP, id=keys[0].entry_id)
        await archive_once(backbone)
        await redis.xgroup_setid(STREAM, GROUP, id="0-1")
        s3.before = gate = Gate("PUT", f"{GROUP}.json")
        late = asyncio.create_task(archive_once(backbone))
        await gate.held.wait()
        await redis.delete(f"{{{STREAM}}}:archiver")
        await redis.xgroup_setid(STREAM, GROUP, id=keys[1].entry_id)
        await archive_once(other)
        gate.opened.set()
        await late
        assert saved(s3, "groups")[f"{GROUP}.json"]["position"] == keys[1].entry_id


async def test_a_clock_that_is_behind_changes_nothing(
    archiving: Make, s3: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are of the server's clock, and ages are not measured by the clock of the host."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 600)
    async with archiving(close_after=timedelta(milliseconds=40)) as backbone, backbone.archiver(URI) as archiver:
        keys = await send(backbone, *range(5))
        await eventually(lambda: archiver.handled == 5)
        assert (archiver.ready, archiver.lag) == (True, timedelta(0))
    assert archived_keys(s3.objects) == [key.entry_id for key in keys]


async def test_every_group_has_its_object_whatever_its_name(
    archived_backbone: Callable[[str], Backbone], redis: Redis, s3_server: S3Server
) -> None:
    """They are read back as they were; a later format is refused, and not overwritten."""
    async with archived_backbone("redis-hash") as backbone:
        await send(backbone, 1)
        for name in STRANGE:
            await redis.xgroup_create(STREAM, name, id="0")
        await archive_once(backbone)
    archive = S3Archive()
    groups = await read_groups(archive, NAME)
    assert sorted(group.name for group in groups) == sorted(STRANGE)
    assert await read_dead_letters(archive, NAME) == {}
    client, key = s3_client(s3_server), f"test/archive/letters/0/groups/{'x' * 60}.json"
    later = b'{"format":2,"group":"x"}'
    client.put_object(Bucket="events", Key=key, Body=later)
    with pytest.raises(ArchiveUnreadable, match="format 2"):
        await read_groups(archive, NAME)
    async with archived_backbone("redis-hash") as backbone, backbone.archiver(URI) as archiver:
        await eventually(lambda: not archiver.ready)
    assert client.get_object(Bucket="events", Key=key)["Body"].read() == later
    await archive.close()


async def test_what_is_saved_of_a_partition_has_keys_of_that_partition(s3_environment: object) -> None:
    """Its objects have entry ids alone; keys are compared, and equal only within a partition."""
    del s3_environment
    archive, stream = S3Archive(), StreamName.of(URI, "test", partition=1)
    group = SavedGroup(GROUP, EventKey(5, 0, 1), (EventKey(3, 1, 1),))
    letter = DeadLetter("9-0", Entry(EventKey(2, 0, 1), {}), "rejected", "", "", (), 1, EventKey(9).time, redrives=2)
    for position in (group, group._replace(pending=())):
        await save_restored(archive, stream, position, [letter])
        assert await read_groups(archive, stream) == [position]
    (saved,) = (await read_dead_letters(archive, stream))[GROUP]
    assert (saved.source, saved.about["dead:redrives"]) == (letter.entry.key, "2")
    unfinished = UnfinishedRestore(archive, stream)
    for follows in (group.position, group.pending[0], None):
        await unfinished.write(follows)
        assert await unfinished.read() == follows
    assert await read_groups(archive, StreamName.of(URI, "test")) == []
    await archive.close()
