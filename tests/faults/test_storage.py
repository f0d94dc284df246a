"""Storages whose server fails, lies, hangs or refuses."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from event_backbone.backbone import Backbone
from event_backbone.errors import ConfigurationError, PayloadForbidden, PayloadGone, StorageError, StorageUnavailable
from event_backbone.metadata import Payload, PayloadReference, new_event_id
from event_backbone.policy import RetryPolicy
from event_backbone.storage import (
    CachedStorage,
    MemoryStorage,
    RedisHashStorage,
    S3Options,
    S3Storage,
    SplitStorage,
    StorageScope,
)
from event_backbone.storage.base import HandOver
from event_backbone.storage.loading import load_events, load_payloads
from event_backbone.testing.servers import RedisServer
from tests.conformance.storage_suite import PAYLOAD, StorageCase
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3, Page, Refusal, Relay, faulty_s3, relay_before
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within
from tests.support.seaweed import SeaweedServer

SOON = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def server() -> AsyncIterator[FaultyS3]:
    """A server that does as it is told."""
    async with faulty_s3() as server:
        yield server


@pytest.fixture
def options(server: FaultyS3) -> S3Options:
    """Its address, with short time-outs."""
    return S3Options(
        bucket="events",
        access_key="the-key",
        secret_key="the-secret",
        endpoint=server.endpoint,
        request_timeout=SOON,
        deadline=SOON * 3,
    )


@pytest.fixture
def case(options: S3Options) -> StorageCase:
    """A storage there."""
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


class TestSilentS3:
    """S3 that takes a request and says nothing, while others wait for no part of it."""

    @pytest.fixture
    def patient(self, options: S3Options) -> S3Storage:
        """A storage that waits for as long as a test may take."""
        return S3Storage(replace(options, request_timeout=MINUTE, deadline=MINUTE))

    async def test_what_the_cache_has_is_handed_over_meanwhile(self, patient: S3Storage, server: FaultyS3) -> None:
        """A load that is cancelled leaves no request behind."""
        cached = CachedStorage(patient, MemoryStorage())
        case = StorageCase(cached)
        (kept,) = await case.save(PAYLOAD)
        (lost,) = await StorageCase(patient).save(PAYLOAD)
        server.fail("say nothing")
        found: dict[int, Payload | StorageError] = {}
        before = asyncio.all_tasks()
        loading = asyncio.create_task(cached.load(case.scope(), [lost, kept, lost], found.update))
        await eventually(lambda: server.requests.count("GET") == 2)
        await eventually(lambda: len(found) == 2)
        assert found[1] == PAYLOAD
        loading.cancel()
        await asyncio.wait({loading})
        assert loading.cancelled()
        assert [task for task in asyncio.all_tasks() - before if "faulty_s3.py" not in repr(task)] == []

    async def test_a_split_event_is_handed_over_when_all_its_parts_are_there(
        self, patient: S3Storage, server: FaultyS3
    ) -> None:
        """And one that lies elsewhere does not wait for it."""
        case = StorageCase(SplitStorage(default=MemoryStorage(), by_argument={"email": patient}))
        events = [await case.save(PAYLOAD), await case.save({"product_id": b"1"}), await case.save(PAYLOAD)]
        server.fail("say nothing")
        found: dict[int, Payload | StorageError] = {}
        loading = asyncio.create_task(load_events(case.scope(), case.storage.readable(), events, found.update))
        await eventually(lambda: len(found) == 2)
        assert found.pop(1) == {"product_id": b"1"}
        assert list(found.values()) == [PAYLOAD]
        assert not loading.done()
        loading.cancel()
        await asyncio.wait({loading})


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

    async def test_in_order_one_that_is_waited_for_stops_nobody(
        self, options: S3Options, server: FaultyS3, redis_url: str
    ) -> None:
        """With concurrency 1 it comes after the others; an outage of the storage is no attempt."""
        remembering = Remembering()
        storage = S3Storage(replace(options, retries=0))
        async with Backbone(redis_url, environment="dev", storage=storage) as backbone:
            await pack(backbone, *range(5))
            server.fail(Refusal(503, "SlowDown"), 2)
            async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, concurrency=1)):
                await eventually(lambda: len(remembering.numbers) == 5)
        assert sorted(remembering.numbers) == list(range(5))
        assert remembering.attempts == [1] * 5

    async def test_a_storage_that_forgets_a_payload_ends_the_subscription(self, redis_url: str) -> None:
        """Loudly: else the event would stay where it is, and nobody would know."""

        class Forgetful(MemoryStorage):
            """Hands over nothing."""

            async def load(
                self, scope: StorageScope, references: Sequence[PayloadReference], hand_over: HandOver
            ) -> None:
                hand_over(())

        async with Backbone(redis_url, environment="dev", storage=Forgetful()) as backbone:
            await pack(backbone, 1)
            with pytest.raises(RuntimeError, match="left 1 of 1 payloads unanswered"):
                await run_to_the_end(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP))

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


class TestOneSlowPayload:
    """A real object store that takes its time over one object."""

    @pytest.fixture
    async def relay(self, seaweed: SeaweedServer) -> AsyncIterator[Relay]:
        """What stands before it."""
        async with relay_before(int(seaweed.endpoint.rpartition(":")[2])) as relay:
            yield relay

    @pytest.fixture
    async def backbone(self, seaweed: SeaweedServer, relay: Relay, redis_url: str) -> AsyncIterator[Backbone]:
        """With payloads behind the relay, and all the patience that a test needs."""
        options = replace(seaweed_options(seaweed), endpoint=relay.endpoint, request_timeout=MINUTE, deadline=MINUTE)
        async with Backbone(redis_url, environment="dev", storage=S3Storage(options)) as backbone:
            yield backbone

    async def test_delays_neither_its_batch_nor_the_next(self, backbone: Backbone, relay: Relay) -> None:
        """The ninety-nine others are handled while it hangs, and what comes after them; then it is handled, too."""
        remembering, producer = Remembering(), backbone.producer(Parcels, uri=URI)
        slow = new_event_id()
        relay.hold(f"{slow}.json")
        await producer.packed.using(event_id=slow)(0)
        await pack(backbone, *range(1, 100))
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)):
            await eventually(lambda: len(remembering.numbers) == 99)
            assert relay.holding.is_set()
            await pack(backbone, *range(100, 150))
            await eventually(lambda: len(remembering.numbers) == 149)
            assert 0 not in remembering.numbers
            relay.released.set()
            await eventually(lambda: sorted(remembering.numbers) == list(range(150)))

    async def test_keeps_those_after_it_waiting_when_events_are_handled_in_order(
        self, backbone: Backbone, relay: Relay
    ) -> None:
        """With concurrency 1; those before it are handled meanwhile."""
        remembering, producer = Remembering(), backbone.producer(Parcels, uri=URI)
        slow = new_event_id()
        relay.hold(f"{slow}.json")
        await pack(backbone, *range(20))
        await producer.packed.using(event_id=slow)(20)
        await pack(backbone, *range(21, 40))
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, concurrency=1)):
            await eventually(lambda: len(remembering.numbers) == 20)
            await relay.holding.wait()
            await pack(backbone, *range(40, 50))
            relay.released.set()
            await eventually(lambda: len(remembering.numbers) == 50)
        assert remembering.numbers == list(range(50))

    async def test_does_not_keep_a_stop_waiting(self, backbone: Backbone, relay: Relay) -> None:
        """Its request is given up, and the event goes back to the group, not counted as an attempt."""
        remembering, producer = Remembering(), backbone.producer(Parcels, uri=URI)
        slow = new_event_id()
        relay.hold(f"{slow}.json")
        await producer.packed.using(event_id=slow)(0)
        tasks = asyncio.all_tasks()
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)):
            await relay.holding.wait()
            started = time.monotonic()
        assert time.monotonic() - started < 5
        assert [task for task in asyncio.all_tasks() - tasks if "faulty_s3.py" not in repr(task)] == []
        relay.released.set()
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)):
            await eventually(lambda: remembering.attempts == [1])


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
