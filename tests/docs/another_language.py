"""A reader as docs/how-to/read-from-another-language.md has it: plain clients and JSON, nothing of the runtime."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, cast

import zstandard
from botocore.exceptions import ClientError
from redis import Redis

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Outcome = Literal["erased", "gone", "unavailable"]
Arguments = dict[str, Any]
Load = Callable[[str, str], Arguments | Outcome]
"""Loads the payload of an event id under a key."""

KNOWN_REQUIREMENTS = frozenset[str]()


class MustBeUpdated(Exception):
    """A later version wrote the entry."""


@dataclass
class Read:
    """An event; ``missing`` says, for the storage of each part that was not found, why."""

    metadata: dict[str, Any]
    arguments: Arguments
    missing: dict[str, Outcome] = field(default_factory=dict[str, Outcome])


def new_events(redis: Redis, stream: str, group: str, storages: Mapping[str, Load]) -> Iterator[Read]:
    """Read what the group has not seen, and ack each event after it was handled."""
    groups: Any = redis.xinfo_groups(stream)
    if not any(each["name"] == group for each in groups):
        redis.xgroup_create(stream, group, "0")
    answer: Any = redis.xreadgroup(group, "one", {stream: ">"}, count=100)
    entries: list[tuple[str, dict[str, str]]] = answer[0][1] if answer else []
    for entry_id, fields in entries:
        if "redriven" not in fields:
            yield read(fields, storages)
        redis.xack(stream, group, entry_id)


def read(fields: Mapping[str, str], storages: Mapping[str, Load]) -> Read:
    """Read an entry, and load its payload."""
    if fields["wire"] != "1":
        raise MustBeUpdated
    metadata = json.loads(fields["metadata"])
    if set(metadata.get("requires") or ()) - KNOWN_REQUIREMENTS:
        raise MustBeUpdated
    found = Read(metadata, {})
    if not metadata["payload"]:
        found.arguments = {
            name.removeprefix("arg:"): json.loads(value) for name, value in fields.items() if name.startswith("arg:")
        }
    for reference in metadata["payload"]:
        name, key = (reference, metadata["id"]) if isinstance(reference, str) else reference
        part = storages[name](metadata["id"], key) if name in storages else "unavailable"
        if isinstance(part, dict):
            found.arguments |= part
        else:
            found.missing[name] = part
    return found


def from_hashes(redis: Redis, stream: str, name: str = "redis-hash") -> Load:
    """Return what loads payloads from the hashes of this storage."""
    place = "" if name == "redis-hash" else f"{name}:"

    def load(event_id: str, key: str) -> Arguments | Outcome:
        fields = cast("dict[str, str]", redis.hgetall(f"{{{stream}}}:payload:{place}{key}"))
        if not fields:
            return "gone"
        if "_erased" in fields:
            return "erased"
        return {argument: json.loads(value) for argument, value in fields.items() if not argument.startswith("_")}

    return load


@dataclass
class FromPacks:
    """Loads payloads from lines of packs in S3. ``above`` is what keys begin with: prefix and environment."""

    client: "S3Client"
    bucket: str
    above: str
    uri: str
    environment: str
    marker: dict[str, Any]

    def __call__(self, event_id: str, key: str) -> Arguments | Outcome:
        """Fetch the line, and compare."""
        pack, bytes_of_line = place_of(key, self.above, self.uri)
        try:
            line = self._get(pack, bytes_of_line)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code == "InvalidRange" or (code == "NoSuchKey" and self._is_the_right_bucket(key)):
                return "gone"
            return "unavailable"
        return self._read(line, event_id)

    def _read(self, line: bytes, event_id: str) -> Arguments | Outcome:
        try:
            record = json.loads(line)
        except ValueError:
            return "gone"
        place = [record.get(name) for name in ("id", "uri", "environment", "partition")]
        if place != [event_id, self.uri, self.environment, 0]:
            return "gone"
        return "erased" if record.get("erased") else cast("Arguments", record["arguments"])

    def _is_the_right_bucket(self, key: str) -> bool:
        try:
            found = json.loads(self._get(f"{self.above}event-backbone.json"))
        except ClientError:
            return False
        if {name: found.get(name) for name in self.marker} != self.marker:
            return False
        written = datetime.fromtimestamp(int(key[:12], 16) / 1000, UTC)
        return datetime.fromisoformat(found["created"]) <= written + timedelta(minutes=1)

    def _get(self, key: str, bytes_of_line: str = "bytes=0-") -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=key, Range=bytes_of_line)["Body"].read()


@dataclass
class FromArchive:
    """Reads the segments of an archive one after the other. ``above`` is what the keys of its objects begin with."""

    client: "S3Client"
    bucket: str
    above: str

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield every line, to the end of the archive."""
        follows = "0-0"
        while (data := self._get(f"{self.above}{name_of(follows)}")) is not None:
            end = 8 + int.from_bytes(data[4:8], "little")
            header = json.loads(data[8:end])
            assert (data[:4].hex(), header["format"], header["follows"]) == ("502a4d18", 1, follows)
            lines = decompressed(data[end:]).splitlines() if data[end:] else []
            assert len(lines) == header["events"]
            yield from map(json.loads, lines)
            follows = header["last"]

    def _get(self, key: str) -> bytes | None:
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None


def name_of(follows: str) -> str:
    """Return the name of the segment that follows this key."""
    milliseconds, sequence = map(int, follows.split("-"))
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y/%m/%d}/{milliseconds:020d}-{sequence:020d}.jsonl.zst"


def decompressed(data: bytes) -> bytes:
    """Return the lines of a segment."""
    with zstandard.ZstdDecompressor().stream_reader(data) as reader:
        return reader.read()


def place_of(key: str, above: str, uri: str) -> tuple[str, str]:
    """Return the key of the pack and the range of the line that the key of a reference means."""
    match = re.fullmatch("([0-9a-f]{32})_([0-9]+)_([0-9]+)", key)
    assert match is not None
    pack, offset, length = match[1], int(match[2]), int(match[3])
    hour = datetime.fromtimestamp(int(pack[:12], 16) / 1000, UTC).strftime("%Y/%m/%d/%H")
    return f"{above}packs/{uri}/{hour}/{pack}.jsonl", f"bytes={offset}-{offset + length - 1}"
