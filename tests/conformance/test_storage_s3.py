"""Payloads in S3, through moto over HTTP."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import boto3
import pytest

from event_backbone.errors import ConfigurationError, PayloadErased, PayloadGone, StorageUnavailable
from event_backbone.model import PayloadReference
from event_backbone.storage import S3Options, S3Storage
from event_backbone.storage.buckets import check_bucket, create_bucket
from event_backbone.testing.servers import S3Server
from tests.conformance.storage_cases import place_of, s3_case
from tests.conformance.storage_suite import PAYLOAD, StorageCase, StorageSuite, VisibleSuite
from tests.support.records import missing_reference
from tests.support.s3 import s3_client

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.usefixtures("s3_environment")


class TestS3Storage(StorageSuite, VisibleSuite):
    """The suite on S3Storage, with everything from the environment."""


@pytest.fixture
def case(client: "S3Client") -> StorageCase:
    """A storage on an empty bucket."""
    return s3_case(S3Storage(), client)


@pytest.mark.parametrize(
    "damaged", [b"", b"{", b'{"email": "ann', b"[]", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000]
)
async def test_a_damaged_object_is_gone(case: StorageCase, client: "S3Client", damaged: bytes) -> None:
    """Waiting would not repair it."""
    references = await case.save(PAYLOAD)
    bucket, key = place_of(*case.locations(references))
    await asyncio.to_thread(lambda: client.put_object(Bucket=bucket, Key=key, Body=damaged))
    assert isinstance(await case.load_one(references), PayloadGone)


@pytest.mark.parametrize(
    ("environment_in", "bucket", "below"),
    [("key", "events", "dev/"), ("bucket", "dev.events", ""), ("nothing", "events", "")],
)
async def test_the_environment_is_where_it_was_asked_for(
    client: "S3Client", monkeypatch: pytest.MonkeyPatch, environment_in: str, bucket: str, below: str
) -> None:
    """In the key, in the bucket's name, whose dot requires path style, or nowhere."""
    monkeypatch.setenv("S3_EVENT_SOURCE_ENVIRONMENT_IN", environment_in)
    assert await create_bucket(S3Options(), "dev") is (bucket != "events")
    case = s3_case(S3Storage(S3Options(prefix="all/events")), client)
    references = await case.save(PAYLOAD)
    (location,) = case.locations(references)
    assert location.startswith(f"s3://{bucket}/all/events/{below}")
    assert re.search(r"\.jsonl \(bytes 0-\d+\)$", location)
    assert await case.look(location) is not None
    assert await case.load_one(references) == PAYLOAD


async def test_everything_is_written_as_the_options_say(client: "S3Client", s3_bucket: str) -> None:
    """Also what an erasure rewrites, and the object by which access is checked."""
    options = S3Options(
        encryption="aws:kms",
        kms_key="arn:aws:kms:us-east-1:123456789012:key/11112222-3333-4444-5555-666677778888",
        storage_class="STANDARD_IA",
        tags={"team": "orders + returns", "größe": "ü=1"},
    )
    case = s3_case(S3Storage(options), client)
    await case.storage.check(case.scope())
    await case.storage.erase(case.scope(), await case.save(PAYLOAD))

    def look() -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        for each in client.list_objects_v2(Bucket=s3_bucket).get("Contents", []):
            key = each.get("Key", "")
            head = client.head_object(Bucket=s3_bucket, Key=key)
            tags = client.get_object_tagging(Bucket=s3_bucket, Key=key)["TagSet"]
            kms = (head["ServerSideEncryption"], head["SSEKMSKeyId"], head["BucketKeyEnabled"])
            found.append((*kms, head["StorageClass"], {tag["Key"]: tag["Value"] for tag in tags}))
        return found

    expected = ("aws:kms", options.kms_key, True, "STANDARD_IA", options.tags)
    assert await asyncio.to_thread(look) == [expected] * 2


async def test_a_bucket_is_pleasant_to_look_at(case: StorageCase, client: "S3Client") -> None:
    """Dated folders with lines that anyone can read; what was saved at the same time is one object."""
    saved = await asyncio.gather(*(case.save({"number": str(number).encode()}) for number in range(3)))
    listed = await asyncio.to_thread(client.list_objects_v2, Bucket="events")
    marker, pack = [each.get("Key", "") for each in listed.get("Contents", [])]
    assert marker == "dev/event-backbone.json"
    assert re.fullmatch(r"dev/packs/shipments/\d{4}/\d\d/\d\d/\d\d/[0-9a-f]{32}\.jsonl", pack)
    found = await asyncio.to_thread(client.get_object, Bucket="events", Key=pack)
    assert found["ContentType"] == "application/x-ndjson"
    records = [json.loads(line) for line in found["Body"].read().splitlines()]
    assert [record["id"] for record in records] == [reference.event_id for (reference,) in saved]
    assert [record["arguments"] for record in records] == [{"number": number} for number in range(3)]
    assert [json.loads(await case.look(case.locations(each)[0]) or b"") for each in saved] == records


async def test_those_who_erase_lines_of_one_pack_at_the_same_time_lose_nothing(client: "S3Client") -> None:
    """Whoever finds the pack changed reads it again; the other lines stay where they are, and readable."""
    cases = [s3_case(S3Storage(), client) for _ in range(4)]
    for each in cases:
        await each.storage.check(each.scope())
    saved = await asyncio.gather(*(cases[0].save({**PAYLOAD, "n": str(n).encode()}) for n in range(12)))
    lines = [references[0] for references in saved]
    turns = [(each, lines[n : n + 2]) for each in cases for n in (0, 2, 4)]
    await asyncio.gather(*(each.storage.erase(each.scope(), erased) for each, erased in turns))
    answers = await s3_case(S3Storage(), client).load(*saved)
    assert [type(answer) for answer in answers[:6]] == [PayloadErased] * 6
    assert answers[6:] == [{**PAYLOAD, "n": str(n).encode()} for n in range(6, 12)]
    bucket, key = place_of(cases[0].locations(saved[0])[0])
    found = await asyncio.to_thread(client.get_object, Bucket=bucket, Key=key)
    pack = found["Body"].read()
    assert pack.count(b"ann@example.org") == 6
    assert [json.loads(line).get("erased") for line in pack.splitlines()] == [True] * 6 + [None] * 6


async def test_erasing_what_is_not_there_says_so_and_erases_the_rest(case: StorageCase) -> None:
    """No tombstone could be left. A reference that leads to another event's line erases nothing of it."""
    second, third, *others = [lines[0] for lines in await asyncio.gather(*(case.save(PAYLOAD) for _ in range(6)))]
    wrong = PayloadReference("s3", third.event_id, second.key)
    across = PayloadReference("s3", second.event_id, f"{second.key}0")  # ten times as long
    damaged = PayloadReference("s3", second.event_id, "no-line")
    for missing, other in zip((missing_reference("s3"), wrong, across, damaged), others, strict=True):
        with pytest.raises(PayloadGone):
            await case.storage.erase(case.scope(), [missing, other])
        assert isinstance(await case.load_one((other,)), PayloadErased)
    assert case.storage.location(case.scope(), damaged) == "s3://events (no line of a pack has the key no-line)"
    assert await case.load((second,), (third,)) == [PAYLOAD, PAYLOAD]


async def test_a_bucket_that_was_emptied_is_an_outage_until_somebody_acts(
    case: StorageCase, client: "S3Client"
) -> None:
    """Nothing in it counts as lost, and a process that has seen the marker does not make a new one."""
    references = await case.save(PAYLOAD)
    for key in ("dev/event-backbone.json", place_of(case.locations(references)[0])[1]):
        await asyncio.to_thread(client.delete_object, Bucket="events", Key=key)
    with pytest.raises(StorageUnavailable, match="it was emptied"):
        await case.storage.erase(case.scope(), references)
    assert await case.load_one(await case.save(PAYLOAD)) == PAYLOAD
    with pytest.raises(StorageUnavailable, match="it was emptied"):
        await case.storage.check(case.scope())
    restarted = s3_case(S3Storage(), client)
    await restarted.storage.check(case.scope())
    with pytest.raises(PayloadGone):
        await restarted.storage.erase(case.scope(), references)


async def test_a_bucket_of_another_storage_is_not_written_to(case: StorageCase, client: "S3Client") -> None:
    """One sentence names both; reading goes on."""
    references = await case.save(PAYLOAD)
    other = s3_case(S3Storage(name="private"), client)
    for refused in (other.save(PAYLOAD), other.storage.check(case.scope())):
        with pytest.raises(ConfigurationError, match=r'"storage":"s3"}, and this is .*"storage":"private"}: use'):
            await refused
    listed = await asyncio.to_thread(client.list_objects_v2, Bucket="events")
    assert listed["KeyCount"] == 2
    assert await other.load_one(tuple(each._replace(storage="private") for each in references)) == PAYLOAD


async def test_a_missing_bucket_is_a_wrong_setting_when_saving_and_an_outage_when_loading(client: "S3Client") -> None:
    """An event is not dead-lettered because the bucket's name is wrong."""
    case = s3_case(S3Storage(S3Options(bucket="never-made")), client)
    with pytest.raises(ConfigurationError, match="bucket never-made does not exist"):
        await case.save(PAYLOAD)
    with pytest.raises(ConfigurationError, match="bucket never-made does not exist"):
        await case.storage.check(case.scope())
    answer = await case.load_one((missing_reference("s3"),))
    assert isinstance(answer, StorageUnavailable)
    assert "never-made" in str(answer)


async def test_no_credentials_stop_saving_and_let_loading_wait(
    client: "S3Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the demo of a user who has set up nothing."""
    monkeypatch.delenv("S3_EVENT_SOURCE_ACCESS_KEY")
    monkeypatch.delenv("S3_EVENT_SOURCE_SECRET")
    case = s3_case(S3Storage(), client)
    with pytest.raises(ConfigurationError, match="No AWS credentials"):
        await case.save(PAYLOAD)
    assert isinstance(await case.load_one((missing_reference("s3"),)), StorageUnavailable)


async def test_a_ready_session_is_used(
    client: "S3Client", monkeypatch: pytest.MonkeyPatch, s3_server: S3Server
) -> None:
    """Its credentials count, and no others are looked for."""
    monkeypatch.delenv("S3_EVENT_SOURCE_ACCESS_KEY")
    monkeypatch.delenv("S3_EVENT_SOURCE_SECRET")
    session = boto3.Session(aws_access_key_id="mine", aws_secret_access_key="mine")
    options = S3Options(bucket="events", endpoint=s3_server.endpoint)
    case = s3_case(S3Storage(options, session=session), client)
    assert await case.load_one(await case.save(PAYLOAD)) == PAYLOAD


async def test_variables_that_obstore_would_read_change_nothing(
    client: "S3Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    """What boto3 found is all that counts."""
    for name, value in {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ENDPOINT": "http://127.0.0.1:1",
        "AWS_BUCKET": "another",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AWS_SESSION_TOKEN": "of-someone-else",
        "AWS_METADATA_ENDPOINT": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    case = s3_case(S3Storage(), client)
    assert await case.load_one(await case.save(PAYLOAD)) == PAYLOAD


async def test_one_storage_serves_several_event_loops_and_threads(case: StorageCase) -> None:
    """Clients and credentials belong to no event loop."""
    references = await case.save(PAYLOAD)

    async def elsewhere() -> list[object]:
        return [*await case.load(*[references] * 8)]

    found = await asyncio.gather(*(asyncio.to_thread(asyncio.run, elsewhere()) for _ in range(3)))
    assert found == [[PAYLOAD] * 8] * 3
    saved = await asyncio.gather(*(asyncio.to_thread(asyncio.run, case.save(PAYLOAD)) for _ in range(3)))
    assert await case.load(*saved) == [PAYLOAD] * 3
    assert await case.load_one(references) == PAYLOAD


async def test_slow_credentials_do_not_hold_up_the_event_loop(
    client: "S3Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role or single sign-on asks over the network; other tasks go on meanwhile."""
    asked_in: list[threading.Thread] = []

    class SlowSession(boto3.Session):
        """Takes half a second to find its credentials."""

        def get_credentials(self) -> "Credentials | None":
            asked_in.append(threading.current_thread())
            time.sleep(0.5)
            return super().get_credentials()

    session = SlowSession(aws_access_key_id="mine", aws_secret_access_key="mine")
    case = s3_case(S3Storage(session=session), client)
    saving = asyncio.create_task(case.save(PAYLOAD))
    turns = 0
    while not saving.done():
        await asyncio.sleep(0.01)
        turns += 1
    await saving
    assert asked_in
    assert threading.main_thread() not in asked_in
    assert turns >= 10


async def test_a_bucket_is_made_once(s3_server: S3Server) -> None:
    """Asking again reports that it is there; in a region other than the default one it is created there."""
    options = S3Options(bucket="made-here", region="eu-central-1")
    assert await check_bucket(options) == "missing"
    assert await create_bucket(options) is True
    assert await create_bucket(options) is False
    assert await check_bucket(options) == "exists"
    client = s3_client(s3_server)
    found = await asyncio.to_thread(lambda: client.get_bucket_location(Bucket="made-here"))
    assert found["LocationConstraint"] == "eu-central-1"


@pytest.mark.parametrize("act", [create_bucket, check_bucket])
async def test_making_a_bucket_where_nobody_answers_says_so(act: Callable[[S3Options], object]) -> None:
    """In one sentence."""
    options = S3Options(endpoint="http://127.0.0.1:1", retries=0)
    with pytest.raises(StorageUnavailable, match="does not answer; start it or correct S3_EVENT_SOURCE_ENDPOINT"):
        await act(options)  # type: ignore[misc]
