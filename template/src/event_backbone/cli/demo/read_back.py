"""Where payloads are stored, found with plain Redis and S3 clients: nothing here uses the runtime or its storages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

from event_backbone.testing.servers import EmbeddedRedis, RedisCluster, RedisSentinel

_COUNT = 1000


@dataclass(frozen=True, slots=True)
class PayloadLocation:
    """Where a payload was found, and its size there; in S3 also the record, as it was read."""

    name: str
    size_bytes: int
    record: str = ""

    def __str__(self) -> str:
        """Return the name, with the size unless the name says which bytes it is."""
        return self.name if self.record else f"{self.name} ({self.size_bytes} bytes)"


class RedisReadBack:
    """Reads a stream and the hashes of its payloads."""

    def __init__(self, servers: EmbeddedRedis, stream: str) -> None:
        """Read this stream; ``stream`` is its Redis key."""
        client = redis.RedisCluster if isinstance(servers, RedisCluster) else redis.Redis
        server = servers.primary_of(stream) if isinstance(servers, RedisCluster) else servers
        url = (server.primary if isinstance(server, RedisSentinel) else server).url
        self._client = cast("Any", client).from_url(url, socket_timeout=5)
        self._stream = stream

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def event_id(self, key: str) -> str | None:
        """Return the id of the event with this key, or None when the stream has none."""
        fields = self._entry(key)
        return str(json.loads(fields[b"metadata"])["id"]) if fields else None

    def find(self, event_id: str) -> list[PayloadLocation]:
        """Return the hashes whose key names the event."""
        keys = cast("list[bytes]", list(self._client.scan_iter(match=f"*{event_id}*", count=_COUNT, _type="HASH")))
        return [
            PayloadLocation(f"Redis hash {key.decode()}", sum(map(len, self._client.hvals(key))))
            for key in sorted(keys)
        ]

    def find_inline(self, key: str) -> list[PayloadLocation]:
        """Return the entry with this key if the payload is in it."""
        fields = self._entry(key)
        if not fields or json.loads(fields[b"metadata"])["payload"]:
            return []
        return [PayloadLocation(f"Redis stream {self._stream}, entry {key}", sum(map(len, fields.values())))]

    def _entry(self, key: str) -> Mapping[bytes, bytes]:
        entries = self._client.xrange(self._stream, key, key)
        return cast("Mapping[bytes, bytes]", entries[0][1]) if entries else {}

    def finished(self, group: str, last_key: str) -> bool:
        """Return whether every event up to this key was delivered to the group, and none is pending."""
        if not self._client.exists(self._stream):
            return False
        for each in self._client.xinfo_groups(self._stream):
            if each["name"].decode() == group:
                delivered = tuple(map(int, each["last-delivered-id"].split(b"-")))
                return delivered >= tuple(map(int, last_key.split("-"))) and each["pending"] == 0
        return False


class S3ReadBack:
    """Reads the packs of a bucket, and finds its segments."""

    def __init__(self, bucket: str, endpoint: str, access_key: str, secret: str, region: str) -> None:
        """Read this bucket."""
        import boto3  # noqa: PLC0415 - only projects with S3 have it

        self._bucket = bucket
        session = cast("Any", boto3).Session(access_key, secret, region_name=region)
        self._client = session.client("s3", endpoint_url=endpoint)

    def find(self, event_id: str) -> list[PayloadLocation]:
        """Return the lines that are the event's record, each read by itself once it is found."""
        listed = self._client.list_objects_v2(Bucket=self._bucket).get("Contents", [])
        packs = sorted(str(each["Key"]) for each in listed if each["Key"].endswith(".jsonl"))
        return [self._read(pack, first, last) for pack in packs for first, last in self._lines(pack, event_id)]

    def segments(self) -> list[PayloadLocation]:
        """Return the objects that the archive consists of."""
        listed = self._client.list_objects_v2(Bucket=self._bucket).get("Contents", [])
        return [
            PayloadLocation(f"s3://{self._bucket}/{each['Key']}", int(each["Size"]))
            for each in listed
            if each["Key"].endswith(".jsonl.zst")
        ]

    def _lines(self, pack: str, event_id: str) -> list[tuple[int, int]]:
        """Return the first and last byte of each line with this id."""
        found: list[tuple[int, int]] = []
        first = 0
        for line in self._download(pack).splitlines():
            if json.loads(line)["id"] == event_id:
                found.append((first, first + len(line) - 1))
            first += len(line) + 1
        return found

    def _read(self, pack: str, first: int, last: int) -> PayloadLocation:
        record = self._download(pack, Range=f"bytes={first}-{last}")
        name = f"s3://{self._bucket}/{pack} (bytes {first}-{last})"
        return PayloadLocation(name, len(record), record.decode())

    def _download(self, pack: str, **options: str) -> bytes:
        return cast("bytes", self._client.get_object(Bucket=self._bucket, Key=pack, **options)["Body"].read())
