"""Listing a bucket: page by page, on more than one server, and through an outage; and the records that are there."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from event_backbone.errors import ConfigurationError, StorageUnavailable
from event_backbone.storage import (
    CachedStorage,
    MemoryStorage,
    Part,
    RedisHashStorage,
    S3Options,
    S3Storage,
    SplitStorage,
    Storage,
    StorageScope,
)
from event_backbone.storage.s3 import objects
from event_backbone.storage.s3.connection import S3Connection
from event_backbone.storage.s3.objects import S3Objects
from event_backbone.wire import LoggedRecord
from event_backbone.wire.fields import EPOCH
from tests.conformance.storage_suite import PAYLOAD, StorageCase
from tests.support.faulty_s3 import Refusal, faulty_s3
from tests.support.records import record_of
from tests.support.seaweed import GUEST_ACCESS_KEY, GUEST_SECRET, SeaweedServer, seaweed_options

KEYS = [f"packs/a/2026/0{month}/{day}/{pack}.jsonl" for month in (1, 2) for day in (30, 31) for pack in ("x", "y")]
OTHERS = ["packs/a/b/2026/01/30/x.jsonl", "packs/ab/2026/01/30/x.jsonl", "packs/0.jsonl"]


@pytest.fixture
def moto(s3_environment: dict[str, str]) -> S3Options:
    """The options of an empty bucket of moto."""
    return S3Options()


@pytest.fixture(params=["moto", "seaweed"])
def options(request: pytest.FixtureRequest) -> S3Options:
    """The options of a server."""
    found: object = request.getfixturevalue(request.param)
    options = seaweed_options(found) if isinstance(found, SeaweedServer) else found
    assert isinstance(options, S3Options)
    return options.resolved()


@pytest.fixture
async def store(options: S3Options) -> AsyncIterator[S3Objects]:
    """The objects of a server, with some packs."""
    connection = S3Connection(options, None)
    store = await connection.objects("dev")
    for key in (*KEYS, *OTHERS):
        await store.create(key, b"{}\n")
    yield store
    connection.close()


async def listed(store: S3Objects, prefix: str, after: str | None = None) -> list[list[str]]:
    """Return the pages of a listing."""
    return [page async for page in store.list_keys(prefix, after)]


async def test_a_folder_is_listed_page_by_page(store: S3Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, after a key that need not exist; a folder is no prefix of another's name."""
    below = [*KEYS, OTHERS[0]]
    for prefix in ("packs/a/", "packs/a"):
        assert await listed(store, prefix) == [below]
    assert await listed(store, "packs/none/") == []
    assert await listed(store, "packs/a/", KEYS[2]) == [below[3:]]
    for between in ("packs/a/2026/01/31/yy", "packs/a/2026/02/0", "packs/a/2026/02/30/0"):
        assert await listed(store, "packs/a/", between) == [below[4:]]
    assert await listed(store, "packs/a/", "packs/b") == []
    monkeypatch.setattr(objects, "_PAGE", 3)
    assert await listed(store, "packs/a/") == [below[:3], below[3:6], below[6:]]
    assert await listed(store, "packs/a/2026/01/", KEYS[0]) == [below[1:4]]


async def test_folders_are_listed_by_their_names(store: S3Objects) -> None:
    """Without the objects beside them, and without what is in them."""
    assert await store.list_folders("packs/") == ["a", "ab"]
    assert await store.list_folders("packs/a/2026") == ["01", "02"]
    assert await store.list_folders("packs/none/") == []


async def test_what_forbids_listing_is_one_sentence(seaweed: SeaweedServer) -> None:
    """A missing permission, or a missing bucket."""
    ours = seaweed_options(seaweed)
    guest = replace(ours, access_key=GUEST_ACCESS_KEY, secret_key=GUEST_SECRET)
    for options, sentence in (
        (guest, "S3 forbids listing bucket events: grant s3:ListBucket on it"),
        (replace(ours, bucket="no-such-bucket"), "The S3 bucket no-such-bucket does not exist"),
    ):
        store = await S3Connection(options.resolved(), None).objects("dev")
        with pytest.raises(ConfigurationError, match=sentence):
            await listed(store, "packs/")
        with pytest.raises(ConfigurationError, match=sentence):
            await store.list_folders("packs/")


async def test_a_listing_goes_on_after_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page is tried again by itself, and none is skipped or repeated; what lasts is an outage."""
    monkeypatch.setattr(objects, "_PAGE", 3)
    async with faulty_s3() as server:
        server.objects |= {f"/events/{key}": b"{}\n" for key in KEYS}
        options = S3Options("events", None, "key", "secret", server.endpoint, deadline=timedelta(seconds=3))
        store = await S3Connection(options.resolved(), None).objects("dev")
        found: list[str] = []
        async for page in store.list_keys("packs/a/"):
            found += page
            server.fail(Refusal(503, "SlowDown"))
            server.fail("lose the answer")
        assert found == KEYS
        server.faults.clear()
        server.fail(Refusal(503, "SlowDown"), options.retries + 1)
        with pytest.raises(StorageUnavailable, match="does not answer"):
            await listed(store, "packs/a/")


async def test_records_are_found_without_redis(options: S3Options) -> None:
    """By time, also within the hour of their packs; their references load what was saved."""
    case = StorageCase(S3Storage(replace(options, prefix="records", pack_events=1)))
    saved = [(await case.save({"n": str(number).encode()}))[0] for number in range(4)]
    other = await case.save(PAYLOAD, scope=case.scope("shipments/eu"))
    found = await logged(case.storage, case.scope())
    assert [record.reference for record in found] == saved
    assert await case.load(*((record.reference,) for record in found)) == [{"n": str(n).encode()} for n in range(4)]
    began = EPOCH + timedelta(milliseconds=int(saved[2].key[:12], 16))
    since = [record.reference for record in await logged(case.storage, case.scope(), began)]
    assert since == [each for each in saved if each.key[:12] >= saved[2].key[:12]]
    assert [each.reference for each in await logged(case.storage, case.scope("shipments/eu"))] == list(other)
    await case.storage.erase(case.scope(), saved[:1])
    first, *_ = await logged(case.storage, case.scope())
    assert (first.reference, first.erased) == (saved[0], True)


async def logged(storage: Storage, scope: StorageScope, since: datetime | None = None) -> list[LoggedRecord]:
    """Return the records that a storage finds."""
    log = storage.record_log(scope)
    assert log is not None
    return [record async for page in log.records(since) for record in page]


async def test_what_stands_before_a_storage_finds_its_records(moto: S3Options) -> None:
    """A cache, or a part that may be missing; a split is asked part by part, and what Redis kept is lost with it."""
    plain, hashes = S3Storage(moto), RedisHashStorage(timedelta(days=1))
    optional = SplitStorage(MemoryStorage(), {"email": Part(plain, optional=True), "name": Part("p", optional=True)})
    scope = StorageCase(plain).scope()
    record = record_of(PAYLOAD)
    await plain.save(scope, record)
    for storage in (plain, CachedStorage(plain, hashes), optional.readable()["s3"]):
        assert [each.event_id for each in await logged(storage, scope)] == [record.metadata.id_text]
    for storage in (hashes, MemoryStorage(), optional, optional.readable()["p"]):
        assert storage.record_log(scope) is None
