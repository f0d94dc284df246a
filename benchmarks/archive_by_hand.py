"""The baselines of the archive: what a careful developer writes with redis-py, obstore and zstandard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from time import time
from typing import cast

import zstandard
from redis.asyncio import Redis

from benchmarks.by_hand_s3 import S3Server, store_on

COPY = "by-hand/archive.jsonl.zst"
_PAGE = 500

_Fields = dict[bytes, bytes]


class ArchiveByHand:
    """Copies a stream of events into one object, and reads objects of events."""

    def __init__(self, url: str, server: S3Server) -> None:
        """Connect to both servers."""
        self._redis = Redis.from_url(url)
        self._store = store_on(server)

    async def copy_from_hashes(self, stream: str) -> None:
        """Read the stream in pages of 500, each page's payloads with one pipeline; compress all, and put one object."""
        lines = list[bytes]()
        async for page in _Pages(self._redis, stream):
            documents = [json.loads(fields[b"metadata"]) for _, fields in page]
            pipeline = self._redis.pipeline(transaction=False)
            for document in documents:
                pipeline.hgetall(f"{{{stream}}}:payload:{document['id']}")
            payloads = cast("list[_Fields]", await pipeline.execute())
            for (entry_id, fields), payload in zip(page, payloads, strict=True):
                arguments = b",".join(b'"%s":%s' % (name, value) for name, value in payload.items())
                line = b'{"event_key":"%s",%s,"arguments":{%s}}'
                lines.append(line % (entry_id, fields[b"metadata"][1:-1], arguments))
        await self._put(lines)

    async def copy_from_packs(self, stream: str, folder: str) -> None:
        """Read the stream in pages of 500, and all packs of a page at once; a line of a pack is the record it needs."""
        lines, packs = list[bytes](), dict[str, bytes]()
        async for page in _Pages(self._redis, stream):
            places = [json.loads(fields[b"metadata"])["payload"][0][1].split("_") for _, fields in page]
            wanted = list(dict.fromkeys(pack for pack, _, _ in places))
            read = [await self._get_packs([each for each in wanted if each not in packs], folder)]
            packs = {each: packs[each] for each in wanted if each in packs} | read[0]
            for (entry_id, _), (pack, offset, length) in zip(page, places, strict=True):
                record = packs[pack][int(offset) : int(offset) + int(length)]
                lines.append(b'{"event_key":"%s",%s' % (entry_id, record[1:]))
        await self._put(lines)

    async def read(self, keys: Sequence[str]) -> int:
        """Get these objects one after the other, parse every line, and return how many there were."""
        found = 0
        for key in keys:
            found += len([json.loads(line) for line in await self._lines(key)])
        return found

    async def get(self, key: str, event_key: str) -> object:
        """Get the object that has this event, and return the event."""
        start = f'{{"event_key":"{event_key}"'.encode()
        return next(json.loads(line) for line in await self._lines(key) if line.startswith(start))

    async def keys(self, prefix: str) -> list[str]:
        """Return the keys of all segments below this prefix, in order."""
        listed = [each["path"] for page in self._store.list(prefix) for each in page]
        return sorted(each for each in listed if each.endswith(".jsonl.zst"))

    async def restore(self, keys: Sequence[str], stream: str, *, hashes: bool) -> None:
        """Get these objects one after the other; add each event with a pipeline, and with ``hashes`` its payload."""
        for key in keys:
            lines = [line for line in await self._lines(key) if line]
            for first in range(0, len(lines), _PAGE):
                pipeline = self._redis.pipeline(transaction=False)
                for line in lines[first : first + _PAGE]:
                    event = json.loads(line)
                    entry_id, arguments = event.pop("event_key"), event.pop("arguments")
                    if hashes:
                        fields = {name: json.dumps(value) for name, value in arguments.items()}
                        pipeline.hset(f"{{{stream}}}:payload:{event['id']}", mapping=fields)
                    pipeline.xadd(stream, {"wire": "1", "metadata": json.dumps(event)}, id=entry_id)
                await pipeline.execute()

    async def spread(self, stream: str, over: timedelta) -> None:
        """Give the entries other ids, as if they had been appended evenly over this time from now on."""
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", await self._redis.xrange(stream))
        begin, step = time(), over.total_seconds() / len(entries)
        await self._redis.delete(stream)
        for first in range(0, len(entries), _PAGE):
            pipeline = self._redis.pipeline(transaction=False)
            for number, (_, fields) in enumerate(entries[first : first + _PAGE], first):
                milliseconds = round((begin + number * step) * 1000)
                pipeline.xadd(stream, dict(fields.items()), id=f"{milliseconds}-0")
            await pipeline.execute()

    async def forget_archive(self, stream: str) -> None:
        """Let the stream look as if it had never been archived."""
        await self._redis.delete(f"{{{stream}}}:archive", f"{{{stream}}}:archiver")

    async def lose(self, stream: str) -> None:
        """Delete the stream with all its keys, as if Redis had lost them."""
        found = cast("AsyncIterator[bytes]", self._redis.scan_iter(f"{{{stream}}}:*", count=10_000))
        keys = [key async for key in found]
        for first in range(0, len(keys), 10_000):
            await self._redis.unlink(*keys[first : first + 10_000])
        await self._redis.unlink(stream)

    async def trim(self, stream: str) -> None:
        """Remove all entries, as retention does once they are archived."""
        committed = cast("bytes", await self._redis.hget(f"{{{stream}}}:archive", "committed"))
        milliseconds, sequence = committed.split(b"-")
        await self._redis.hset(f"{{{stream}}}:archive", "complete-from", f"{milliseconds.decode()}-{int(sequence) + 1}")
        await self._redis.xtrim(stream, maxlen=0, approximate=False)

    async def close(self) -> None:
        """Close what was opened."""
        await self._redis.aclose()

    async def _put(self, lines: Sequence[bytes]) -> None:
        data = zstandard.ZstdCompressor(level=3).compress(b"\n".join(lines))
        await self._store.put_async(COPY, data, use_multipart=False)

    async def _get_packs(self, packs: Sequence[str], folder: str) -> dict[str, bytes]:
        async def get(pack: str) -> bytes:
            hour = datetime.fromtimestamp(int(pack[:12], 16) / 1000, UTC).strftime("%Y/%m/%d/%H")
            return bytes(await (await self._store.get_async(f"{folder}/{hour}/{pack}.jsonl")).bytes_async())

        return dict(zip(packs, await asyncio.gather(*map(get, packs)), strict=True))

    async def _lines(self, key: str) -> list[bytes]:
        data = bytes(await (await self._store.get_async(key)).bytes_async())
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
            return reader.read().splitlines()


class _Pages:
    """The entries of a stream, page by page."""

    def __init__(self, redis: Redis, stream: str) -> None:
        self._redis = redis
        self._stream = stream
        self._last = "-"

    def __aiter__(self) -> _Pages:
        return self

    async def __anext__(self) -> list[tuple[bytes, _Fields]]:
        reply = await self._redis.xrange(self._stream, min=self._last, count=_PAGE)
        page = cast("list[tuple[bytes, _Fields]]", reply)
        if not page:
            raise StopAsyncIteration
        self._last = f"({page[-1][0].decode()}"
        return page
