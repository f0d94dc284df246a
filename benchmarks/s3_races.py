"""The races on S3 storage, against SeaweedFS: produce and consume, with 64 requests in flight."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import cast
from uuid import uuid4

import boto3
from botocore.config import Config
from mypy_boto3_s3 import S3Client
from obstore.store import S3Store
from redis.asyncio import Redis

from benchmarks.measure import Track, by_callers, race, ratio, report
from benchmarks.workload import TEXT, TIME, Packing, Parcels, example
from event_backbone import Backbone, Consumer, Context
from event_backbone.storage import S3Options, S3Storage

IN_FLIGHT = 64
THREADS = 16
STREAM = "by-hand-s3"
URI = "parcels-s3"


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where the object store listens, and its credentials."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str


class ByHandS3:
    """Loops over obstore or boto3 for the payloads, and one pipeline of redis-py for each batch of entries."""

    def __init__(self, url: str, server: S3Server) -> None:
        """Connect to both."""
        self.redis = Redis.from_url(url)
        self._store = S3Store(
            server.bucket,
            aws_endpoint_url_s3=server.endpoint,
            access_key_id=server.access_key,
            secret_access_key=server.secret_key,
            region="us-east-1",
            client_options={"allow_http": True},
        )
        self._boto3: S3Client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            region_name="us-east-1",
            config=Config(max_pool_connections=THREADS),
        )
        self._bucket = server.bucket
        self._threads = ThreadPoolExecutor(THREADS)

    async def put(self, number: int) -> None:
        """Put one payload with obstore, then add its entry."""
        event_id = uuid4().hex
        await self._store.put_async(
            f"by-hand/{event_id}", example(number).model_dump_json().encode(), mode="create", use_multipart=False
        )
        await self.redis.xadd(STREAM, {"id": event_id, "event": "packing"})

    async def put_by_boto3(self, number: int) -> None:
        """Put one payload with boto3 in a thread, then add its entry."""
        event_id, body = uuid4().hex, example(number).model_dump_json().encode()
        await asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: self._boto3.put_object(Bucket=self._bucket, Key=f"by-hand/{event_id}", Body=body, IfNoneMatch="*"),
        )
        await self.redis.xadd(STREAM, {"id": event_id, "event": "packing"})

    async def fresh_group(self) -> None:
        """Start again at the first entry."""
        await self.redis.xgroup_destroy(STREAM, "by-hand")
        await self.redis.xgroup_create(STREAM, "by-hand", "0")

    async def consume(self, total: int, *, by_boto3: bool) -> None:
        """Read batches of 64, get their payloads in parallel, validate, ack."""
        seen = 0
        while seen < total:
            answer = await self.redis.xreadgroup("by-hand", "one", {STREAM: ">"}, count=IN_FLIGHT, block=1000)
            entries = cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]", answer)[0][1]
            keys = [f"by-hand/{fields[b'id'].decode()}" for _, fields in entries]
            for payload in await (self._get_by_boto3(keys) if by_boto3 else self._get(keys)):
                Packing.model_validate_json(payload)
            await self.redis.xack(STREAM, "by-hand", *(entry_id for entry_id, _ in entries))
            seen += len(entries)

    async def _get(self, keys: Sequence[str]) -> list[bytes]:
        async def get(key: str) -> bytes:
            return bytes(await (await self._store.get_async(key)).bytes_async())

        return await asyncio.gather(*map(get, keys))

    async def _get_by_boto3(self, keys: Sequence[str]) -> list[bytes]:
        def get(key: str) -> bytes:
            return self._boto3.get_object(Bucket=self._bucket, Key=key)["Body"].read()

        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(self._threads, get, key) for key in keys))

    async def close(self) -> None:
        """Close what was opened."""
        self._threads.shutdown()
        await self.redis.aclose()


async def produce_and_consume(url: str, server: S3Server, total: int, rounds: int) -> str:
    """Race producing and consuming."""
    by_hand, numbers = ByHandS3(url, server), itertools.count()
    options = S3Options(
        bucket=server.bucket,
        endpoint=server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
        region="us-east-1",
    )
    async with Backbone(url, storage=S3Storage(options), environment="benchmark") as backbone:
        parcels = backbone.producer(Parcels, uri=URI)
        produce = [
            Track(
                "event_backbone, 64 callers",
                lambda: by_callers(IN_FLIGHT, total, lambda number: parcels.packing(TEXT, number, TIME)),
                total,
            ),
            Track("obstore + XADD, 64 tasks, by hand", lambda: by_callers(IN_FLIGHT, total, by_hand.put), total),
            Track("boto3 + XADD, 16 threads", lambda: by_callers(THREADS, total, by_hand.put_by_boto3), total),
        ]
        await race(produce, rounds)
        consume = [
            Track("event_backbone, typed handler", lambda: _handle_all(backbone, total, next(numbers)), total),
            Track(
                "obstore, 64 tasks, by hand, typed",
                lambda: by_hand.consume(total, by_boto3=False),
                total,
                by_hand.fresh_group,
            ),
            Track(
                "boto3, 16 threads, typed", lambda: by_hand.consume(total, by_boto3=True), total, by_hand.fresh_group
            ),
        ]
        await race(consume, rounds)
    await by_hand.close()
    return "\n\n".join(
        report(title, tracks, [ratio(tracks[0], tracks[1], 0.7), ratio(tracks[0], tracks[2])])
        for title, tracks in (("Produce, S3 on SeaweedFS", produce), ("Consume, S3 on SeaweedFS", consume))
    )


async def _handle_all(backbone: Backbone, total: int, number: int) -> None:
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packing)
    async def handle(ctx: Context, email: str, product_id: int, time: object) -> None:
        """Do nothing, as every handler here."""

    async with backbone.subscribe(
        consumer,
        uri=URI,
        group=f"group-{number}",
        concurrency=IN_FLIGHT,
        max_events=total,
        drain=timedelta(seconds=5),
    ) as subscription:
        await subscription.wait()
