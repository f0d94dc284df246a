"""What was produced is in segments, byte by byte, whatever its storage."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from redis.asyncio import Redis

from event_backbone import Backbone
from event_backbone.storage import RedisHashStorage, SplitStorage, Storage
from event_backbone.testing.servers import S3Server
from tests.archive.conftest import Make
from tests.archive.segments import archived_events, archived_keys, below, paths_of, segments_of
from tests.support.archives import archive_all
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3
from tests.support.letters import STREAM, URI, add_entry, numbers_of, rows_of, send

ONE_DAY = 86_400_000
METADATA = {"id": "01a2186d-f470-70dc-946e-1196539f1ead", "event": "sent", "version": 1, "at": 1, "size": 1}


async def test_what_was_produced_is_archived_byte_by_byte(
    archived_backbone: Callable[[str], Backbone],
    storage_name: str,
    redis: Redis,
    s3_server: S3Server,
    tmp_path: Path,
) -> None:
    """Metadata stand as in the entry, arguments as in their storage; parts of a split stay where they are.

    A segment closes when it is full. DuckDB reads segments as they are.
    """
    async with archived_backbone(storage_name) as backbone:
        keys = await send(backbone, *range(30))
        async with backbone.archiver(URI) as archiver:
            await archiver.commit()
            assert (archiver.handled, archiver.ready, archiver.lag) == (30, True, timedelta(0))
    segments = segments_of(objects := paths_of(s3_server))
    lines = [line for segment in segments for line in segment.lines]
    assert len(segments) > 2
    assert all(sum(map(len, segment.lines[:-1])) < 2000 for segment in segments)
    documents = [fields[b"metadata"] for _, fields in await rows_of(redis)]
    for number, (line, key, document) in enumerate(zip(lines, keys, documents, strict=True)):
        head = f'{{"event_key":"{key.entry_id}","uri":"letters","environment":"test","partition":0,'.encode()
        arguments = b'"number":%d,"email":"ada%d@example.com"' % (number, number)
        tail = b',"arguments":{%s}}' % arguments
        if storage_name == "split":
            tail = b',"parts":{"s3":["number"]},"arguments":{"number":%d}}' % number
        assert line == head + document[1:-1] + tail
    if storage_name == "s3":
        for number, name in enumerate(segment.name for segment in segments):
            (tmp_path / f"{number}.jsonl.zst").write_bytes(below(objects, "")[name])
        read = duckdb.read_json(f"{tmp_path}/*.jsonl.zst").select("arguments.number").order("number")
        assert read.fetchall() == [(number,) for number in range(30)]


@pytest.mark.parametrize("archived", [None, True, False])
async def test_a_part_of_a_split_is_copied_if_its_storage_says_so(
    archiving: Make, s3: FaultyS3, archived: bool | None
) -> None:
    """Otherwise its reference is all that is archived."""
    personal = RedisHashStorage(name="personal", archive=archived)
    async with archiving(SplitStorage(RedisHashStorage(), {"email": personal})) as backbone:
        await send(backbone, 1)
        await archive_all(backbone, URI)
    (event,) = archived_events(s3.objects)
    copied = {"number": 1, "email": "ada1@example.com"} if archived else {"number": 1}
    assert event["arguments"] == copied
    assert event["payload"] == ["redis-hash", "personal"]


async def test_missing_payloads_are_noted_as_such(archiving: Make, redis: Redis, s3: FaultyS3) -> None:
    """One that was erased, and one that is gone; what is there is copied."""
    async with archiving() as backbone:
        keys = await send(backbone, 0, 1, 2)
        references = [(await backbone.reader(URI).get(key)).references[0].key for key in keys]
        await backbone.erase(URI, keys[1])
        await redis.delete(f"{{{STREAM}}}:payload:{references[2]}")
        await archive_all(backbone, URI)
    found = [(event.get("missing"), event.get("arguments")) for event in archived_events(s3.objects)]
    here = {"number": 0, "email": "ada0@example.com"}
    assert found == [(None, here), ({"redis-hash": "erased"}, None), ({"redis-hash": "gone"}, None)]


async def test_a_segment_closes_by_age_and_at_the_end_of_a_day(archiving: Make, redis: Redis, s3: FaultyS3) -> None:
    """Of a segment all keys are of one day (UTC). A stream without events has no segment, and is archived."""
    async with archiving(close_after=timedelta(milliseconds=200)) as backbone, backbone.archiver(URI) as archiver:
        await archiver.commit()
        assert archiver.ready
        assert segments_of(s3.objects) == []
        for entry_id in (f"{ONE_DAY - 1}-5", f"{ONE_DAY}-0", f"{ONE_DAY}-1"):
            await add_entry(redis, entry_id=entry_id, wire="1", metadata=json.dumps({**METADATA, "payload": []}))
        await eventually(lambda: archiver.handled == 3)
        await send(backbone, 1)
        await eventually(lambda: archiver.handled == 4)
    assert [len(segment.lines) for segment in segments_of(s3.objects)] == [1, 2, 1]


async def test_entries_of_others_are_archived_as_they_are_or_left_out(
    archiving: Make, redis: Redis, s3: FaultyS3, caplog: pytest.LogCaptureFixture
) -> None:
    """Metadata may be pretty-printed, have unknown members, and members and headers named as a line's own."""
    headers = {"arguments": "{", "missing": 'a,"arguments":{"b":1}}', "uri": "other"}
    own = {"uri": "x", "event_key": 1, "missing": {"a": "gone"}, "arguments": {"x": 1}, "parts": {}, "partition": 3}
    nested = {"event_key": "1-0", "arguments": {"a": 1}, "number": 1.50}
    documents = [
        json.dumps({**METADATA, "payload": [], "headers": headers, "new": nested}, indent=2).replace("\n", "\r\n"),
        json.dumps({**METADATA, "payload": [], **own}),
        json.dumps({**METADATA, "payload": [], "new": nested}).replace('"number"', '"n\\u0075mber"'),
    ]
    async with archiving() as backbone:
        for document in documents:
            await add_entry(redis, wire="1", metadata=document, arg_number="7")
        await add_entry(redis, wire="1", metadata=documents[0], arg_number="not JSON")
        await add_entry(redis, wire="2")
        await add_entry(redis, wire="1", metadata="{}")
        await add_entry(redis, wire="1", metadata="[", arg_number="1")
        await archive_all(backbone, URI)
        await redis.delete(STREAM, f"{{{STREAM}}}:archive")
        found = [event async for event in backbone.reader(URI).scan()]
    assert [event.payload for event in found] == ["present", "present", "present", "gone"]
    assert [event.arguments for event in found[:3]] == [{"number": 7}] * 3
    assert (found[0].metadata.headers, found[1].metadata.headers) == (headers, {})
    events = archived_events(s3.objects)
    assert [event.get("new") for event in events] == [nested, None, nested, nested]
    assert [event["uri"] for event in events] == [URI] * 4
    assert caplog.text.count("Not archived") == 3


@pytest.mark.parametrize("storage", [RedisHashStorage(inline_up_to_bytes=1024)], ids=["inline"])
async def test_uris_that_look_like_folders_of_another_have_separate_archives(
    archiving: Make, redis: Redis, s3: FaultyS3, storage: Storage
) -> None:
    """``a``, ``a/0``, and URIs that are the folders of years, months and days of ``a``."""
    uris = ["a", "a/0", "a/0/2026/11", "a/0/1970/01/01", "a/0/groups", "a/0/9999"]
    async with archiving(storage, segment_bytes=1) as backbone:
        for uri in uris:
            keys = await send(backbone, *range(3), uri=uri)
            await archive_all(backbone, uri)
            assert archived_keys(s3.objects, uri) == [key.entry_id for key in keys]
        for uri in uris:
            async with backbone.archiver(uri) as archiver:
                await send(backbone, 3, uri=uri)
                await archiver.commit()
        await redis.flushdb()
        for uri in uris:
            events = [event async for event in backbone.reader(uri).scan()]
            assert [event.arguments["number"] for event in events] == [0, 1, 2, 3]
            assert [(await backbone.reader(uri).get(event.key)).key for event in events] == [e.key for e in events]
            assert await numbers_of(backbone, uri, last=2) == [2, 3]
