"""Who follows the page about reading from another language reads what producers wrote, from every storage."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest
from pydantic import BaseModel, Field
from redis import Redis

from event_backbone import Backbone, Contract, EventKey, event
from event_backbone.archive import S3Archive
from event_backbone.storage import CachedStorage, RedisHashStorage, S3Options, S3Storage, SplitStorage, Storage
from event_backbone.testing.servers import S3Server
from tests.docs.another_language import (
    FromArchive,
    FromPacks,
    Load,
    MustBeUpdated,
    Read,
    from_hashes,
    new_events,
    place_of,
    read,
)
from tests.docs.pages import ROOT
from tests.support.archives import archive_all
from tests.support.s3 import s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PAGE = (ROOT / "docs/how-to/read-from-another-language.md").read_text(encoding="utf-8")
WIRE = (ROOT / "docs/reference/wire.md").read_text(encoding="utf-8")
URI, STREAM = "shipments", "dev:shipments"
MARKER = {"format": 1, "environment": "dev", "storage": "s3"}
MEMBERS_IN_GO = re.compile(r'`json:"(\w+)"`')


class Item(BaseModel):
    """What is ordered; its title has another name in JSON."""

    title: str = Field(alias="name")


class Shipments(Contract):
    """An event of every type that the page lists, and one without arguments."""

    @event
    def ordered(
        self,
        email: str | None,
        item: Item,
        count: int,
        weight: float,
        due: date,
        price: Decimal,
        label: bytes,
        ref: UUID,
    ) -> None:
        """A customer placed an order."""

    @event
    def closed(self) -> None:
        """No more orders."""


ORDERED: dict[str, Any] = {
    "email": "zoë@example.com",
    "item": {"name": "ruler"},
    "count": 2**70,
    "weight": "Infinity",
    "due": "2026-01-31",
    "price": "12.50",
    "label": "AP8=",
    "ref": "0f6f5bb2-7a0c-4a5e-a1a0-6b1f5b0f7d11",
}


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """A plain, synchronous client."""
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def client(s3_server: S3Server, s3_environment: dict[str, str]) -> "S3Client":
    """A plain client of S3, whose one bucket is empty."""
    return s3_client(s3_server)


def _packs(client: "S3Client", above: str = "dev/", environment: str | None = "dev") -> FromPacks:
    return FromPacks(client, "events", above, URI, "dev", {**MARKER, "environment": environment})


def _keys(client: "S3Client") -> set[str]:
    return {each.get("Key", "") for each in client.list_objects_v2(Bucket="events").get("Contents", [])}


def _split(personal: Storage) -> SplitStorage:
    return SplitStorage(default=S3Storage(), by_argument={"email": personal})


async def _produce(redis_url: str, storage: Storage) -> list[EventKey]:
    """Produce two events with arguments and one without, at the same time."""
    async with Backbone(redis_url, storage=storage, environment="dev") as backbone:
        shipments = backbone.producer(Shipments, uri=URI)
        order = (2**70, float("inf"), date(2026, 1, 31), Decimal("12.50"), b"\x00\xff", UUID(ORDERED["ref"]))
        item = Item(name="ruler")
        calls = [shipments.ordered("zoë@example.com", item, *order), shipments.closed()]
        return await asyncio.gather(*calls, shipments.ordered("zoë@example.com", item, *order))


STORAGES: dict[str, Callable[[], Storage]] = {
    "hash": RedisHashStorage,
    "named hash": lambda: RedisHashStorage(name="other"),
    "inline": lambda: RedisHashStorage(inline_up_to_bytes=1000),
    "s3": S3Storage,
    "s3 elsewhere": lambda: S3Storage(S3Options(prefix="a/b", environment_in="nothing")),
    "cached": lambda: CachedStorage(S3Storage(), RedisHashStorage(name="cache")),
    "split": lambda: _split(RedisHashStorage()),
}


def _loads(case: str, redis: Redis, client: "S3Client") -> dict[str, Load]:
    """Return what the reader of a case has agreed upon with its producers."""
    hashes = from_hashes(redis, STREAM)
    loads: dict[str, dict[str, Load]] = {
        "hash": {"redis-hash": hashes},
        "named hash": {"other": from_hashes(redis, STREAM, "other")},
        "inline": {},
        "s3 elsewhere": {"s3": _packs(client, "a/b/", None)},
        "split": {"s3": _packs(client), "redis-hash": hashes},
    }
    return loads.get(case, {"s3": _packs(client)})


@pytest.mark.parametrize("case", STORAGES)
async def test_a_reader_in_another_language_gets_what_was_produced(
    case: str, redis_url: str, redis: Redis, client: "S3Client"
) -> None:
    """In the order of the stream, argument by argument, and with nothing left pending.

    What was redriven for another group is passed over.
    """
    await _produce(redis_url, STORAGES[case]())
    redis.xadd(STREAM, {"wire": "1", "redriven": "1-0 main-consumer", "redriven:metadata": "{}"})
    found = list(new_events(redis, STREAM, "reports", _loads(case, redis, client)))
    assert sorted((each.metadata["event"], each.arguments) for each in found) == [
        ("closed", {}),
        ("ordered", ORDERED),
        ("ordered", ORDERED),
    ]
    assert all(not each.missing for each in found)
    produced_at = datetime.fromtimestamp(found[0].metadata["at"] / 1_000_000, UTC)
    assert abs((datetime.now(UTC) - produced_at).total_seconds()) < 60
    pending: Any = redis.xpending(STREAM, "reports")
    assert pending["pending"] == 0
    assert list(new_events(redis, STREAM, "reports", {})) == []


async def test_erased_gone_and_unavailable_payloads_are_told_apart(
    redis_url: str, redis: Redis, client: "S3Client"
) -> None:
    """By part: an erased line, an erased hash, a hash that expired, a missing pack, a missing marker, no storage."""
    loads: dict[str, Load] = {"s3": _packs(client), "redis-hash": from_hashes(redis, STREAM)}

    def missing() -> list[dict[str, str]]:
        entries: dict[str, Any] = dict(cast("list[tuple[str, Any]]", redis.xrange(STREAM)))
        erased = entries.pop(str(first))  # events that are produced at the same time may be in any order
        found = [read(fields, loads) for fields in (erased, *entries.values())]
        return [dict(each.missing) for each in found if each.metadata["event"] == "ordered"]

    storage = _split(RedisHashStorage())
    first, *_ = await _produce(redis_url, storage)
    async with Backbone(redis_url, storage=storage, environment="dev") as backbone:
        await backbone.erase(URI, first)
    assert missing() == [{"s3": "erased", "redis-hash": "erased"}, {}]
    hashes: Any = redis.keys(f"{{{STREAM}}}:payload:*")
    redis.delete(*hashes)
    assert missing() == [{"s3": "erased", "redis-hash": "gone"}, {"redis-hash": "gone"}]
    loads["redis-hash"] = lambda _id, _key: {}
    for key in _keys(client) - {"dev/event-backbone.json"}:
        client.delete_object(Bucket="events", Key=key)
    assert missing() == [{"s3": "gone"}] * 2
    client.put_object(Bucket="events", Key="dev/event-backbone.json", Body=json.dumps({**MARKER, "storage": "other"}))
    assert missing() == [{"s3": "unavailable"}] * 2
    client.delete_object(Bucket="events", Key="dev/event-backbone.json")
    assert missing() == [{"s3": "unavailable"}] * 2
    del loads["s3"]
    assert missing() == [{"s3": "unavailable"}] * 2


async def test_the_archive_has_the_same_events_in_the_same_order(
    redis_url: str, redis: Redis, client: "S3Client"
) -> None:
    """Segment after segment, with arguments or the reason why there are none, and nothing else is needed."""
    storage, archive = _split(RedisHashStorage()), S3Archive(segment_bytes=500)
    first, *_ = await _produce(redis_url, storage)
    async with Backbone(redis_url, storage=storage, archive=archive, environment="dev") as backbone:
        await backbone.erase(URI, first, part="s3")
        await archive_all(backbone, URI)
    lines = list(FromArchive(client, "events", f"dev/archive/{URI}/0/"))
    entries: Any = redis.xrange(STREAM)
    assert [each["event_key"] for each in lines] == [entry_id for entry_id, _ in entries]
    for line, (_, fields) in zip(lines, entries, strict=True):
        assert json.loads(fields["metadata"]).items() <= line.items()
    of_first = next(each for each in lines if each["event_key"] == str(first))
    assert (of_first.get("arguments"), of_first["missing"]) == (None, {"s3": "erased"})
    copied = [each["arguments"] for each in lines if each is not of_first]
    without_email = {name: value for name, value in ORDERED.items() if name != "email"}
    assert sorted(map(len, copied)) == [0, len(without_email)]
    assert without_email in copied


async def test_the_line_of_another_event_is_not_taken_for_this_one(
    redis_url: str, redis: Redis, client: "S3Client"
) -> None:
    """Compared are event id, URI and environment; a line that does not parse belongs to no event."""
    await _produce(redis_url, S3Storage())
    entries: Any = redis.xrange(STREAM)
    (event_id, reference), (other_id, _) = [
        (each["id"], each["payload"][0][1]) for each in (json.loads(fields["metadata"]) for _, fields in entries[:2])
    ]
    packs = _packs(client)
    assert isinstance(packs(event_id, reference), dict)
    assert packs(other_id, reference) == "gone"
    assert packs(event_id, re.sub("_[0-9]+$", "_20", reference)) == "gone"
    packs.environment = "prod"
    assert packs(event_id, reference) == "gone"


@pytest.mark.parametrize(
    "fields", [{"wire": "2"}, {"wire": "1", "metadata": '{"id":"1","payload":[],"requires":["partitions"]}'}]
)
def test_what_a_later_version_wrote_is_left_alone(fields: dict[str, str]) -> None:
    """By its format, or by a word that the reader does not know."""
    with pytest.raises(MustBeUpdated):
        read(fields, {})


def test_the_examples_of_the_page_are_true() -> None:
    """The key and the range in the example follow from its reference; each member read in Go is in the wire format."""
    found = re.search(r'\["s3","(?P<key>\w+)"\]`:.*?--key (?P<pack>\S+).*?--range (?P<range>\S+)', PAGE, re.DOTALL)
    assert found is not None
    assert place_of(found["key"], "dev/", "shipment-tracking") == (found["pack"], found["range"])
    members = set(MEMBERS_IN_GO.findall(PAGE))
    assert len(members) > 10
    assert [each for each in sorted(members) if not re.search(rf"^\| .*`{each}`.* \|", WIRE, re.MULTILINE)] == []


def test_members_that_a_reader_does_not_know_are_ignored() -> None:
    """Later versions may add some without another format."""
    fields = {"wire": "1", "metadata": '{"id":"1","payload":[],"later":1}', "arg:count": "7"}
    assert read(fields, {}) == Read({"id": "1", "payload": [], "later": 1}, {"count": 7})
