"""The baselines on S3: an object per event, written and read by hand with obstore."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from uuid import uuid4

from obstore.store import S3Store
from redis.asyncio import BlockingConnectionPool, Redis

from benchmarks.workload import Packing, example

IN_FLIGHT = 64
"""As many requests at a time as S3Options allows by default."""

PACK = b"\n".join([b"x" * 700] * 256)
"""As many bytes as a full pack of the events that are sent in the races."""

_STREAM = "by-hand-s3"
_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where the object store listens, and its credentials."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str


def store_on(server: S3Server) -> S3Store:
    """Return obstore's client of the server's bucket."""
    return S3Store(
        server.bucket,
        aws_endpoint_url_s3=server.endpoint,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        region="us-east-1",
        client_options={"allow_http": True, "timeout": "120s"},
    )


class ByHandS3:
    """Loops over obstore for the payloads, and one command of redis-py for each entry."""

    def __init__(self, url: str, server: S3Server) -> None:
        """Connect to both."""
        self.redis = Redis(connection_pool=BlockingConnectionPool.from_url(url, max_connections=_CONNECTIONS))
        self._few = asyncio.Semaphore(IN_FLIGHT)
        self._store = store_on(server)

    async def put(self, number: int) -> None:
        """Put one payload, then add its entry."""
        await self._add(await self._put_payload(number))

    async def put_among_few(self, number: int) -> None:
        """The same, with at most 64 PUTs under way."""
        async with self._few:
            event_id = await self._put_payload(number)
        await self._add(event_id)

    async def put_packs(self, total: int) -> None:
        """Put objects as large as full packs, one after the other."""
        for _ in range(total):
            await self._store.put_async(f"by-hand/{uuid4().hex}", PACK, mode="create", use_multipart=False)

    async def fresh_group(self) -> None:
        """Start again at the first entry."""
        await self.redis.xgroup_destroy(_STREAM, "by-hand")
        await self.redis.xgroup_create(_STREAM, "by-hand", "0")

    async def consume(self, total: int) -> None:
        """Read batches of 64, get their payloads in parallel, validate, ack."""
        seen = 0
        while seen < total:
            answer = await self.redis.xreadgroup("by-hand", "one", {_STREAM: ">"}, count=IN_FLIGHT, block=1000)
            entries = cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]", answer)[0][1]
            for payload in await self._get([f"by-hand/{fields[b'id'].decode()}" for _, fields in entries]):
                Packing.model_validate_json(payload)
            await self.redis.xack(_STREAM, "by-hand", *(entry_id for entry_id, _ in entries))
            seen += len(entries)

    async def _put_payload(self, number: int) -> str:
        event_id, body = uuid4().hex, example(number).model_dump_json().encode()
        await self._store.put_async(f"by-hand/{event_id}", body, mode="create", use_multipart=False)
        return event_id

    async def _add(self, event_id: str) -> None:
        await self.redis.xadd(_STREAM, {"id": event_id, "event": "packing"})

    async def _get(self, keys: Sequence[str]) -> list[bytes]:
        async def get(key: str) -> bytes:
            return bytes(await (await self._store.get_async(key)).bytes_async())

        return await asyncio.gather(*map(get, keys))

    async def clear(self) -> None:
        """Empty Redis; the objects stay."""
        await self.redis.flushall()

    async def close(self) -> None:
        """Close what was opened."""
        await self.redis.aclose()
