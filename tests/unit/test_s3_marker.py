"""The object that says whose packs these are, and what a missing object means without it."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from event_backbone.errors import ConfigurationError, PayloadForbidden, PayloadGone, StorageUnavailable
from event_backbone.model import StreamName
from event_backbone.storage.s3 import S3Options
from event_backbone.storage.s3.keys import pack_key, pack_time
from event_backbone.storage.s3.marker import Marker
from event_backbone.storage.s3.options import EnvironmentIn
from tests.support.counting_store import CountingStore

OPTIONS = S3Options("events", environment_in="key")
KEY = "dev/event-backbone.json"
OURS = b'{"format":1,"environment":"dev","storage":"s3"}'
GONE = PayloadGone("There is no such object.")


def pack(before: timedelta = timedelta(0)) -> str:
    """Return the key of a pack that was written that long ago."""
    milliseconds = int((datetime.now(UTC) - before).timestamp() * 1000)
    return pack_key(OPTIONS, StreamName.of("shipments", "dev"), f"{milliseconds:012x}{'7':0<20}")


async def explained(marker: Marker, store: CountingStore, before: timedelta = timedelta(0)) -> Exception:
    """Return what it means that a pack is missing that was written that long ago."""
    key = pack(before)
    return await marker.explain_missing(store, "dev", key, pack_time(key), GONE)


def said_by(store: CountingStore, key: str = KEY) -> bytes:
    """Return what the marker says, without when it was created, which was just now."""
    found = json.loads(store.objects[key])
    assert datetime.now(UTC) - datetime.fromisoformat(found.pop("created")) < timedelta(minutes=1)
    return json.dumps(found, separators=(",", ":")).encode()


async def test_it_is_created_once_and_never_again() -> None:
    """A process that has seen it leaves it missing: a person must look into it first."""
    store, marker = CountingStore(), Marker(OPTIONS, "s3")
    await asyncio.gather(*(marker.require(store, "dev") for _ in range(3)))
    assert (said_by(store), len(store.objects)) == (OURS, 1)
    await marker.check(store, "dev")
    store.objects.clear()
    await marker.require(store, "dev")
    with pytest.raises(StorageUnavailable, match=f"bucket events has no {KEY}: it was emptied"):
        await marker.check(store, "dev")
    assert store.objects == {}
    await Marker(OPTIONS, "s3").check(store, "dev")
    assert (said_by(store), len(store.objects)) == (OURS, 1)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (b'{"format":1,"environment":"prod","storage":"s3"}', '{"format":1,"environment":"prod","storage":"s3"}'),
        (b'{"storage": "private", "environment": "dev", "format": 1}', '"storage":"private"'),
        (b'{"format":2,"environment":"dev","storage":"s3"}', '"format":2'),
        (b'{"format":1,"environment":["secret"],"storage":"s3"}', "something else"),
        (b"[]", "something else"),
        (b"", "something else"),
        (b'"' + b"x" * 10_000 + b'"', "something else"),
    ],
)
async def test_nothing_is_written_where_another_one_is(found: bytes, said: str) -> None:
    """One sentence names both, and stays short; a missing object says nothing about this environment's."""
    store, marker = CountingStore(objects={KEY: found}), Marker(OPTIONS, "s3")
    for refused in (marker.require, marker.check):
        with pytest.raises(ConfigurationError) as raised:
            await refused(store, "dev")
        assert said in str(raised.value)
        assert OURS.decode() in str(raised.value)
        assert len(str(raised.value)) < 300
    assert isinstance(await explained(marker, store), StorageUnavailable)
    assert store.objects == {KEY: found}


async def test_members_that_a_later_version_adds_are_no_difference() -> None:
    """Nor are white space and order."""
    store = CountingStore(objects={KEY: b'{ "storage": "s3", "environment": "dev", "format": 1, "more": [1] }\n'})
    await Marker(OPTIONS, "s3").check(store, "dev")


@pytest.mark.parametrize(("environment_in", "said"), [("bucket", '"dev"'), ("nothing", "null")])
async def test_it_names_the_environment_unless_all_share_a_bucket(environment_in: EnvironmentIn, said: str) -> None:
    """Wherever the environment is in names."""
    store, options = CountingStore(), replace(OPTIONS, environment_in=environment_in)
    await Marker(options, "s3").require(store, "dev")
    assert said_by(store, "event-backbone.json") == OURS.replace(b'"dev"', said.encode())


async def test_a_missing_object_is_gone_only_if_the_marker_is_there_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have disappeared since it was last seen. One question serves all; an outage is remembered for 5 s."""
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    store, marker = CountingStore(objects={KEY: OURS}), Marker(OPTIONS, "s3")
    answers = await asyncio.gather(*(explained(marker, store) for _ in range(100)))
    assert answers == [GONE] * 100
    assert store.reads == 1
    now += 1
    store.objects.clear()
    for _ in range(3):
        assert isinstance(await explained(marker, store), StorageUnavailable)
    assert store.reads == 2
    store.objects[KEY] = OURS
    now += 5.1
    assert await explained(marker, store) is GONE
    assert store.reads == 3


async def test_a_pack_from_before_the_marker_was_created_again_is_waited_for() -> None:
    """The bucket was emptied, and a process that began later has made another marker: a person must look into it."""
    store, marker = CountingStore(), Marker(OPTIONS, "s3")
    await marker.require(store, "dev")
    answer = await explained(marker, store, timedelta(hours=1))
    assert isinstance(answer, StorageUnavailable)
    assert "was emptied or made again after dev/packs/shipments/" in str(answer)
    for later in (timedelta(0), timedelta(seconds=50)):  # clocks differ
        assert await explained(marker, store, later) is GONE
    assert await marker.explain_missing(store, "dev", "dev/no-pack", None, GONE) is GONE  # nobody knows how old


async def test_a_marker_that_may_not_be_read_explains_nothing() -> None:
    """403 of the marker is an outage of what is missing, and a setting to correct at the start."""

    class Forbidding(CountingStore):
        """Refuses to hand out anything."""

        async def read(self, key: str) -> bytes:
            """Refuse."""
            raise PayloadForbidden(key)

    marker = Marker(OPTIONS, "s3")
    assert isinstance(await explained(marker, Forbidding()), StorageUnavailable)
    with pytest.raises(ConfigurationError, match="grant s3:GetObject"):
        await marker.check(Forbidding(), "dev")
