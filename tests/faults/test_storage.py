"""Storages whose server fails, lies, hangs or refuses."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from event_backbone.backbone import Backbone
from event_backbone.errors import ConfigurationError, PayloadForbidden, PayloadGone, StorageUnavailable
from event_backbone.metadata import PayloadReference, new_event_id
from event_backbone.policy import RetryPolicy
from event_backbone.storage import CachedStorage, MemoryStorage, RedisHashStorage, S3Options, S3Storage
from event_backbone.storage.loading import load_payloads
from event_backbone.testing.servers import RedisServer
from tests.conformance.storage_suite import PAYLOAD, StorageCase
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3, Page, Refusal, faulty_s3
from tests.support.parcels import GROUP, URI, Remembering, pack, run_to_the_end, stopped_within
from tests.support.seaweed import SeaweedServer

SOON = timedelta(seconds=1)


@pytest.fixture
async def server() -> AsyncIterator[FaultyS3]:
    """A server that does as it is told."""
    async with faulty_s3() as server:
        yield server


@pytest.fixture
def case(server: FaultyS3) -> StorageCase:
    """A storage there, with short time-outs."""
    options = S3Options(
        bucket="events",
        access_key="the-key",
        secret_key="the-secret",
        endpoint=server.endpoint,
        request_timeout=SOON,
        deadline=SOON * 3,
    )
    return StorageCase(S3Storage(options))


class TestFaultyS3:
    """S3 as it is on a bad day."""

    async def test_a_save_whose_answer_is_lost_succeeds_once(self, case: StorageCase, server: FaultyS3) -> None:
        """The repetition finds the object there, and compares."""
        server.fail("lose the answer")
        references = await case.save(PAYLOAD)
        assert server.requests == ["PUT", "PUT", "GET"]
        assert len(server.objects) == 1
        assert await case.load_one(references) == PAYLOAD

    async def test_slow_down_is_obeyed_and_tried_again(self, case: StorageCase, server: FaultyS3) -> None:
        """Saving and loading alike."""
        server.fail(Refusal(503, "SlowDown"))
        server.fail(Refusal(500, "InternalError"))
        references = await case.save(PAYLOAD)
        server.fail(Refusal(503, "SlowDown"))
        assert await case.load_one(references) == PAYLOAD

    async def test_a_conflict_of_two_writers_is_tried_again(self, case: StorageCase, server: FaultyS3) -> None:
        """409 says that another conditional write is under way, not that there is an object."""
        server.fail(Refusal(409, "ConditionalRequestConflict"))
        assert await case.load_one(await case.save(PAYLOAD)) == PAYLOAD

    async def test_a_cut_body_is_fetched_again(self, case: StorageCase, server: FaultyS3) -> None:
        """Half a payload is none."""
        references = await case.save(PAYLOAD)
        server.fail("cut the body")
        assert await case.load_one(references) == PAYLOAD

    async def test_tries_end(self, case: StorageCase, server: FaultyS3) -> None:
        """After two repetitions it is an outage, which is for others to wait out."""
        server.fail(Refusal(503, "SlowDown"), 3)
        with pytest.raises(StorageUnavailable, match="does not answer, or refuses for now"):
            await case.save(PAYLOAD)
        assert server.requests == ["PUT"] * 3

    async def test_a_server_that_says_nothing_is_given_up_within_the_deadline(
        self, case: StorageCase, server: FaultyS3
    ) -> None:
        """Far below a lease, whatever the number of tries."""
        server.fail("say nothing", 9)
        started = time.monotonic()
        with pytest.raises(StorageUnavailable):
            await case.save(PAYLOAD)
        assert 0.9 < time.monotonic() - started < 3.9

    @pytest.mark.parametrize("code", ["AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidObjectState"])
    async def test_a_forbidden_object_is_told_as_such_and_costs_one_request(
        self, case: StorageCase, server: FaultyS3, code: str
    ) -> None:
        """S3 answers so for a missing one when the bucket may not be listed, and for a wrong policy of a minute."""
        server.fail(Refusal(403, code))
        answer = await case.load_one((PayloadReference("s3", str(new_event_id())),))
        assert isinstance(answer, PayloadForbidden)
        assert "missing or forbidden" in str(answer)
        assert server.requests == ["GET"]

    async def test_behind_a_cache_a_forbidden_object_is_told_as_such_and_never_kept(
        self, case: StorageCase, server: FaultyS3
    ) -> None:
        """The next try asks the origin again."""
        references = await case.save(PAYLOAD)
        cached = StorageCase(CachedStorage(case.storage, MemoryStorage()))
        server.fail(Refusal(403, "AccessDenied"))
        assert isinstance(await cached.load_one(references), PayloadForbidden)
        assert await cached.load_one(references) == PAYLOAD

    async def test_of_a_split_an_outage_counts_before_a_forbidden_part(
        self, case: StorageCase, server: FaultyS3
    ) -> None:
        """The outage uses up no attempt; when it is over the forbidden part has all of them."""
        away = RedisHashStorage(redis="redis://127.0.0.1:1", name="away")
        references = tuple(PayloadReference(name, str(new_event_id())) for name in ("s3", "away"))
        server.reads = Refusal(403, "AccessDenied")
        for storages, kind in (({"away": away}, StorageUnavailable), ({"away": MemoryStorage("away")}, PayloadGone)):
            (answer,) = await load_payloads(case.scope(), {"s3": case.storage, **storages}, [references])
            assert type(answer) is kind
        (answer,) = await load_payloads(case.scope(), {"s3": case.storage}, [references[:1]])
        assert type(answer) is PayloadForbidden
        await away.close()

    async def test_an_object_that_s3_does_not_have_is_gone(self, case: StorageCase) -> None:
        """S3 says so by its own code, to whoever may list the bucket."""
        answer = await case.load_one((PayloadReference("s3", str(new_event_id())),))
        assert type(answer) is PayloadGone

    @pytest.mark.parametrize(
        "page",
        [
            Page(401, b""),
            Page(403),
            Page(403, b"<Error><Code>Teapot</Code></Error>"),
            Page(404),
            Page(404, b""),
            Page(412, b""),
            Page(501),
        ],
        ids=str,
    )
    async def test_an_answer_without_a_known_code_is_an_outage(
        self, case: StorageCase, server: FaultyS3, page: Page
    ) -> None:
        """A load balancer says nothing about an object or a setting, whatever its status; it is asked again."""
        references = await case.save(PAYLOAD)
        server.fail(page, 3)
        assert isinstance(await case.load_one(references), StorageUnavailable)
        server.fail(page, 3)
        with pytest.raises(StorageUnavailable):
            await case.save(PAYLOAD)
        server.fail(page, 2)
        assert await case.load_one(references) == PAYLOAD

    @pytest.mark.parametrize(
        ("refusal", "message"),
        [
            (Refusal(403, "AccessDenied"), "bucket events: grant s3:PutObject"),
            (Refusal(403, "InvalidAccessKeyId"), "does not know these credentials; correct S3_EVENT_SOURCE_ACCESS_KEY"),
            (Refusal(403, "SignatureDoesNotMatch"), "does not know these credentials"),
            (Refusal(400, "AuthorizationHeaderMalformed"), "another region; set S3_EVENT_SOURCE_REGION"),
            (Refusal(301, "PermanentRedirect"), "another region; set S3_EVENT_SOURCE_REGION"),
            (Refusal(404, "NoSuchBucket"), "bucket events does not exist"),
            (Refusal(501, "NotImplemented"), "conditional writes"),
        ],
    )
    async def test_a_wrong_setting_is_told_when_saving_and_waited_for_when_loading(
        self, case: StorageCase, server: FaultyS3, refusal: Refusal, message: str
    ) -> None:
        """One sentence without a secret; no event is given up for what is wrong with all of them."""
        server.fail(refusal, 2)
        with pytest.raises(ConfigurationError, match=message) as raised:
            await case.save(PAYLOAD)
        assert "the-" not in str(raised.value)
        answer = await case.load_one((PayloadReference("s3", str(new_event_id())),))
        assert isinstance(answer, PayloadForbidden if refusal.code == "AccessDenied" else StorageUnavailable)
        assert server.requests == ["PUT", "GET"]

    async def test_credentials_that_ran_out_are_waited_for(self, case: StorageCase, server: FaultyS3) -> None:
        """They are renewed elsewhere."""
        server.fail(Refusal(400, "ExpiredToken"))
        with pytest.raises(StorageUnavailable, match="credentials have expired"):
            await case.save(PAYLOAD)

    async def test_the_check_tells_that_reading_is_forbidden(self, case: StorageCase, server: FaultyS3) -> None:
        """The probe was just written, so it cannot be missing."""
        await case.storage.check(case.scope())
        server.fail(Refusal(403, "AccessDenied"))
        with pytest.raises(ConfigurationError, match="grant s3:GetObject"):
            await case.storage.check(case.scope())

    async def test_waiting_for_a_slot_counts_against_the_deadline(self, server: FaultyS3) -> None:
        """However many events wait, each has its answer in time."""
        options = S3Options(
            "events", None, "k", "s", server.endpoint, request_timeout=SOON, deadline=SOON, concurrency=2, retries=0
        )
        case = StorageCase(S3Storage(options))
        server.fail("say nothing", 99)
        started = time.monotonic()
        answers = await case.load(*((PayloadReference("s3", str(new_event_id())),) for _ in range(20)))
        assert all(isinstance(answer, StorageUnavailable) for answer in answers)
        assert time.monotonic() - started < 3


class TestConsumingFromFaultyS3:
    """What becomes of events whose payloads S3 does not hand out."""

    @pytest.fixture
    async def backbone(self, case: StorageCase, redis_url: str) -> AsyncIterator[Backbone]:
        """With payloads on the faulty server."""
        async with Backbone(redis_url, environment="dev", storage=case.storage) as backbone:
            yield backbone

    @pytest.mark.parametrize("page", [Page(403), Page(404), Page(404, b"")], ids=str)
    async def test_an_answer_that_is_not_s3s_own_uses_up_no_attempt(
        self, backbone: Backbone, server: FaultyS3, page: Page
    ) -> None:
        """However long it lasts; afterwards everything is handled, at its first attempt."""
        remembering = Remembering()
        await pack(backbone, 1, 2, 3)
        server.reads = page
        once = RetryPolicy(max_attempts=1)
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, retry=once)):
            await eventually(lambda: server.requests.count("GET") >= 18)
            server.reads = None
            await eventually(lambda: len(remembering.numbers) == 3)
        assert remembering.attempts == [1, 1, 1]

    async def test_forbidden_for_a_while_is_tried_again_and_handled(self, backbone: Backbone, server: FaultyS3) -> None:
        """As when a role is changed by mistake: each try counts, and waits as after a failed handler."""
        remembering = Remembering()
        await pack(backbone, 1, 2, 3)
        server.reads = Refusal(403, "AccessDenied")
        often = RetryPolicy(max_attempts=1000, backoff=timedelta(milliseconds=10))
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, retry=often)):
            await eventually(lambda: server.requests.count("GET") >= 12)
            server.reads = None
            await eventually(lambda: len(remembering.numbers) == 3)
        assert sorted(remembering.numbers) == [1, 2, 3]
        assert min(remembering.attempts) > 1
        assert [letter async for letter in backbone.dead_letters(URI, GROUP).list()] == []

    async def test_forbidden_for_good_is_a_dead_letter_after_the_last_attempt(
        self, backbone: Backbone, server: FaultyS3
    ) -> None:
        """A missing object looks the same when the bucket may not be listed, so this ends."""
        await pack(backbone, 1)
        server.reads = Refusal(403, "AccessDenied")
        thrice = RetryPolicy(max_attempts=3, backoff=timedelta(milliseconds=10))
        consumer = Remembering().consumer
        await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, retry=thrice, max_events=1))
        (letter,) = [letter async for letter in backbone.dead_letters(URI, GROUP).list()]
        assert (letter.reason, letter.error, letter.attempts) == ("payload-gone", "PayloadForbidden", 3)
        assert "missing or forbidden" in letter.detail
        assert server.requests.count("GET") == 3

    async def test_a_reader_yields_a_forbidden_event_without_its_payload(
        self, backbone: Backbone, server: FaultyS3
    ) -> None:
        """A reader has no attempts; the metadata may be all that somebody wants."""
        await pack(backbone, 1)
        server.reads = Refusal(403, "AccessDenied")
        (event,) = [event async for event in backbone.reader(URI).scan()]
        assert event.metadata.event == "packed"
        with pytest.raises(PayloadGone, match="missing or forbidden"):
            _ = event.arguments


@pytest.fixture(scope="module")
def seaweed() -> Iterator[SeaweedServer]:
    """A real object store that checks credentials."""
    with SeaweedServer() as server:
        server.create_bucket("events")
        yield server


def seaweed_options(server: SeaweedServer) -> S3Options:
    """Its own credentials, short time-outs."""
    settings = server.environment("events")
    return S3Options(
        bucket="events",
        region=settings["S3_EVENT_SOURCE_REGION"],
        access_key=settings["S3_EVENT_SOURCE_ACCESS_KEY"],
        secret_key=settings["S3_EVENT_SOURCE_SECRET"],
        endpoint=server.endpoint,
        request_timeout=SOON,
        deadline=SOON * 3,
    )


class TestSeaweed:
    """A real object store."""

    async def test_wrong_credentials_stop_saving_and_let_loading_wait(self, seaweed: SeaweedServer) -> None:
        """Whatever is stored is still there when they are right again."""
        right = seaweed_options(seaweed)
        references = await StorageCase(S3Storage(right)).save(PAYLOAD)
        for wrong in (replace(right, secret_key="guessed"), replace(right, access_key="nobody")):
            case = StorageCase(S3Storage(wrong))
            with pytest.raises(ConfigurationError, match="does not know these credentials") as raised:
                await case.save(PAYLOAD)
            assert "guessed" not in str(raised.value)
            with pytest.raises(ConfigurationError, match="does not know these credentials"):
                await case.storage.check(case.scope())
            assert isinstance(await case.load_one(references), StorageUnavailable)

    async def test_of_many_who_save_one_event_all_succeed(self, seaweed: SeaweedServer) -> None:
        """One writes the object, the others find it to be theirs."""
        case, event_id = StorageCase(S3Storage(seaweed_options(seaweed))), new_event_id()
        answers = await asyncio.gather(*(case.save(PAYLOAD, event_id=event_id) for _ in range(32)))
        assert len(set(answers)) == 1
        assert await case.load_one(answers[0]) == PAYLOAD

    async def test_a_server_that_comes_back_is_found_again(self, seaweed: SeaweedServer) -> None:
        """While it is down each call tells so, soon; afterwards the same storage goes on."""
        case = StorageCase(S3Storage(seaweed_options(seaweed)))
        references = await case.save(PAYLOAD)
        seaweed.kill()
        with pytest.raises(StorageUnavailable, match="does not answer"):
            await case.save(PAYLOAD)
        assert isinstance(await case.load_one(references), StorageUnavailable)
        await asyncio.to_thread(seaweed.start)

        async def is_read() -> bool:
            return await case.load_one(references) == PAYLOAD

        await eventually(is_read)

    async def test_a_server_that_hangs_stops_nothing_else(self, seaweed: SeaweedServer) -> None:
        """Other tasks go on, and the call ends within its deadline."""
        case = StorageCase(S3Storage(seaweed_options(seaweed)))
        references = await case.save(PAYLOAD)
        os.kill(seaweed.pid, signal.SIGSTOP)
        # The signal takes its time, and until then the server answers.
        await asyncio.to_thread(os.waitid, os.P_PID, seaweed.pid, os.WSTOPPED | os.WNOWAIT)
        try:
            started = time.monotonic()
            loading = asyncio.create_task(case.load_one(references))
            turns = 0
            while not loading.done():
                await asyncio.sleep(0.01)
                turns += 1
            assert isinstance(await loading, StorageUnavailable)
            assert time.monotonic() - started < 3.9
            assert turns > 50
        finally:
            os.kill(seaweed.pid, signal.SIGCONT)


async def test_redis_that_is_down_is_an_outage_for_all_that_were_asked(own_redis: RedisServer) -> None:
    """Not an empty payload, and not a gone one; when it is back they are read."""
    storage = RedisHashStorage(redis=own_redis.url)
    case = StorageCase(storage)
    references = [await case.save(PAYLOAD) for _ in range(3)]
    own_redis.kill()
    answers = await case.load(*references)
    assert all(isinstance(answer, StorageUnavailable) for answer in answers)
    with pytest.raises(StorageUnavailable):
        await case.save(PAYLOAD)
    with pytest.raises(StorageUnavailable):
        await storage.check(case.scope())
    own_redis.start()
    assert await case.load(*references) == [PAYLOAD] * 3
    await storage.close()


async def test_a_server_that_forgot_its_scripts_is_given_them_again(own_redis: RedisServer) -> None:
    """As after a restart or a failover."""
    storage = RedisHashStorage(redis=own_redis.url)
    case = StorageCase(storage)
    references = await case.save(PAYLOAD)
    own_redis.restart()
    assert await case.load_one(references) == PAYLOAD
    await storage.erase(case.scope(), references)
    await storage.close()
