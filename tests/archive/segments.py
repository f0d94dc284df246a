"""Reads the segments in a bucket without the code under test, and checks that they are one history."""

import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar, cast

import zstandard

from event_backbone.testing.servers import S3Server
from tests.support.letters import URI
from tests.support.s3 import BUCKET, objects_of

_NAME = re.compile(r"(\d{4}/\d\d/\d\d)/(\d{20})-(\d{20})\.jsonl\.zst")
T = TypeVar("T")
Key = tuple[int, int]


@dataclass(frozen=True)
class StoredSegment:
    """A segment as anyone can read it: its key below the stream's folder, its header, and its lines."""

    name: str
    header: Mapping[str, object]
    lines: Sequence[bytes]

    @property
    def keys(self) -> list[Key]:
        """The keys of its events."""
        return [key_of(json.loads(line)["event_key"]) for line in self.lines]


def key_of(text: object) -> Key:
    """Return the two numbers of an entry id."""
    milliseconds, _, sequence = str(text).partition("-")
    return int(milliseconds), int(sequence)


def id_of(key: Key) -> str:
    """Return the entry id of two numbers."""
    return f"{key[0]}-{key[1]}"


def paths_of(server: S3Server) -> dict[str, bytes]:
    """Return what is in the bucket of moto, by paths as those of ``FaultyS3``."""
    return {f"/{BUCKET}/{key}": data for key, data in objects_of(server).items()}


def below(objects: Mapping[str, T], folder: str, uri: str = URI) -> dict[str, T]:
    """Return the objects in a folder of the stream's archive, by their rest of the path."""
    prefix = f"/events/test/archive/{uri}/0/{folder}"
    return {path.removeprefix(prefix): body for path, body in objects.items() if path.startswith(prefix)}


def segments_of(objects: Mapping[str, bytes], uri: str = URI) -> list[StoredSegment]:
    """Return the stream's segments in order, having checked that they are one history without fork, gap or overlap."""
    found = sorted((name, data) for name, data in below(objects, "", uri).items() if _NAME.fullmatch(name))
    segments = [_segment(name, data) for name, data in found]
    follows, previous, total = (0, 0), None, 0
    for segment in segments:
        header, last = segment.header, segment.keys[-1]
        match = _NAME.fullmatch(segment.name)
        assert match is not None
        assert (int(match[2]), int(match[3])) == follows == key_of(header["follows"])
        assert match[1] == datetime.fromtimestamp(follows[0] / 1000, UTC).strftime("%Y/%m/%d")
        assert header["previous"] == (None if previous is None else id_of(previous))
        assert segment.keys == sorted(set(segment.keys))
        assert segment.keys[0] > follows
        assert key_of(header["last"]) == last
        total += len(segment.lines)
        assert (header["format"], header["uri"], header["environment"]) == (1, uri, "test")
        assert (header["partition"], header["events"], header["total"]) == (0, len(segment.lines), total)
        follows, previous = last, follows
    return segments


def archived_keys(objects: Mapping[str, bytes], uri: str = URI) -> list[str]:
    """Return the keys of all archived events, in order."""
    return [id_of(key) for segment in segments_of(objects, uri) for key in segment.keys]


def archived_events(objects: Mapping[str, bytes], uri: str = URI) -> list[dict[str, object]]:
    """Return all archived events, in order."""
    lines = [line for segment in segments_of(objects, uri) for line in segment.lines]
    return [cast("dict[str, object]", json.loads(line)) for line in lines]


def _segment(name: str, data: bytes) -> StoredSegment:
    magic, length = struct.unpack_from("<II", data)
    assert magic == 0x184D2A50
    header = cast("dict[str, object]", json.loads(data[8 : 8 + length]))
    text = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return StoredSegment(name, header, text.splitlines())
