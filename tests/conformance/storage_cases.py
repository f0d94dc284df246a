"""Storages under test, with a plain client that looks at what they left in Redis or S3."""

import asyncio
from typing import TYPE_CHECKING, cast

from redis.asyncio import Redis

from event_backbone.connection import RedisConnection
from event_backbone.storage import Storage
from tests.conformance.storage_suite import StorageCase

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def place_of(location: str) -> tuple[str, str]:
    """Return bucket and key of the object in which a line is."""
    bucket, _, key = location.removeprefix("s3://").partition(" ")[0].partition("/")
    return bucket, key


def bytes_of(location: str) -> str:
    """Return the bytes of a line, as a request takes them."""
    return "bytes=" + location.partition(" (bytes ")[2].rstrip(")")


def s3_case(storage: Storage, client: "S3Client") -> StorageCase:
    """A case whose locations are lines of objects."""

    def read(location: str) -> bytes | None:
        bucket, key = place_of(location)
        try:
            return client.get_object(Bucket=bucket, Key=key, Range=bytes_of(location))["Body"].read()
        except client.exceptions.NoSuchKey:
            return None

    async def look(location: str) -> bytes | None:
        return await asyncio.to_thread(read, location)

    async def remove(location: str) -> None:
        bucket, key = place_of(location)
        await asyncio.to_thread(lambda: client.delete_object(Bucket=bucket, Key=key))

    return StorageCase(storage, look=look, remove=remove)


def redis_case(storage: Storage, redis: Redis, connection: RedisConnection | None) -> StorageCase:
    """A case whose locations are Redis keys."""

    async def look(location: str) -> bytes | None:
        fields = cast("dict[bytes, bytes]", await redis.hgetall(location))
        return b" ".join(part for pair in fields.items() for part in pair) or None

    async def remove(location: str) -> None:
        await redis.delete(location)

    return StorageCase(storage, connection, look, remove)
