"""S3 that fails, gives wrong answers, hangs or refuses: how a storage reacts."""

import asyncio
import time
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from event_backbone.errors import (
    ConfigurationError,
    PayloadErased,
    PayloadForbidden,
    PayloadGone,
    StorageError,
    StorageUnavailable,
)
from event_backbone.model import Payload
from event_backbone.storage import (
    CachedStorage,
    MemoryStorage,
    RedisHashStorage,
    S3Options,
    S3Storage,
    SplitStorage,
)
from event_backbone.storage.loading import collect_event_payloads, load_event_payloads
from event_backbone.storage.s3.pack_line import PackLine
from tests.conformance.storage_suite import PAYLOAD, StorageCase
from tests.support.eventually import eventually
from tests.support.faulty_s3 import Fault, FaultyS3, Page, Refusal
from tests.support.records import missing_reference

SOON = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


class TestFaultyS3:
    """S3 when it misbehaves."""

    async def test_a_save_whose_answer_is_lost_succeeds_once(self, case: StorageCase, server: FaultyS3) -> None:
        """The repetition finds the same bytes there, of the marker as of the pack."""
        server.fail("lose the answer")
        await case.save(PAYLOAD)
        server.fail("lose the answer")
        references = await case.save(PAYLOAD)
        assert len([path for path in server.objects if path.endswith(".jsonl")]) == 2
        assert await case.load_one(references) == PAYLOAD

    async def test_an_erase_whose_answer_is_lost_is_one(self, case: StorageCase, server: FaultyS3) -> None:
        """The repetition finds that another version is there, and that it is what was wanted."""
        references = await case.save(PAYLOAD)
        server.requests.clear()
        server.writes.extend([Refusal(409, "ConditionalRequestConflict"), "lose the answer"])
        await case.storage.erase(case.scope(), references * 2)
        assert server.requests[-5:] == ["GET", "PUT", "PUT", "PUT", "GET"]
        assert isinstance(await case.load_one(references), PayloadErased)

    @pytest.mark.parametrize("lines", [1, 3])
    @pytest.mark.parametrize("fault", ["cut the body", "shorten the body", "ignore the range"])
    async def test_part_of_what_was_asked_for_is_never_taken_for_all(
        self, case: StorageCase, server: FaultyS3, fault: Fault, lines: int
    ) -> None:
        """Of a whole pack, or of one line: it is asked for again, or found in more than was asked for."""
        saved = await asyncio.gather(*(case.save({**PAYLOAD, "n": b"%d" % n}) for n in range(3)))
        server.fail(fault)
        assert await case.load(*saved[-lines:]) == [{**PAYLOAD, "n": b"%d" % n} for n in range(3)][-lines:]
        assert len([path for path in server.objects if path.endswith(".jsonl")]) == 1

    async def test_a_line_beyond_the_end_of_its_pack_is_damaged(self, case: StorageCase, server: FaultyS3) -> None:
        """S3 has no byte of that range; waiting would not help."""
        (reference,) = await case.save(PAYLOAD)
        pack_id, _, length = PackLine.parse(reference.key)
        server.requests.clear()
        answer = await case.load_one((reference._replace(key=str(PackLine(pack_id, 10_000, length))),))
        assert type(answer) is PayloadGone
        assert server.requests == ["GET"] * 2
        assert await case.load_one((reference,)) == PAYLOAD

    async def test_tries_end(self, case: StorageCase, server: FaultyS3) -> None:
        """After two repetitions it is an outage, which is for others to wait out."""
        server.fail(Refusal(503, "SlowDown"), 3)
        with pytest.raises(StorageUnavailable, match="does not answer, or refuses for now"):
            await case.save(PAYLOAD)
        assert server.requests == ["PUT"] * 3

    async def test_a_server_that_never_answers_is_abandoned_within_the_deadline(
        self, case: StorageCase, server: FaultyS3
    ) -> None:
        """Far below a lease, whatever the number of tries."""
        await case.storage.check(case.scope())  # which opens the storage
        server.fail("say nothing", 9)
        started = time.monotonic()
        with pytest.raises(StorageUnavailable):
            await case.save(PAYLOAD)
        assert 0.9 < time.monotonic() - started < 3.9

    @pytest.mark.parametrize("code", ["AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidObjectState"])
    async def test_a_forbidden_object_is_reported_as_such_and_costs_one_request(
        self, case: StorageCase, server: FaultyS3, code: str
    ) -> None:
        """S3 answers so for a missing one when the bucket may not be listed, and for a wrong policy of a minute."""
        server.fail(Refusal(403, code))
        answer = await case.load_one((missing_reference("s3"),))
        assert isinstance(answer, PayloadForbidden)
        assert "missing or forbidden" in str(answer)
        assert server.requests == ["GET"]

    async def test_behind_a_cache_a_forbidden_object_is_reported_as_such_and_never_kept(
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
        """The outage uses up no attempt; when it is over the forbidden part, which may be allowed, has all of them."""
        away = RedisHashStorage(redis="redis://127.0.0.1:1", name="away")
        references = tuple(missing_reference(name) for name in ("s3", "away"))
        server.reads = Refusal(403, "AccessDenied")
        gone = MemoryStorage("away")
        for storages, kind in (({"away": away}, StorageUnavailable), ({"away": gone}, PayloadForbidden)):
            (answer,) = await collect_event_payloads(case.scope(), {"s3": case.storage, **storages}, [references])
            assert type(answer) is kind
        (answer,) = await collect_event_payloads(case.scope(), {"s3": case.storage}, [references[:1]])
        assert type(answer) is PayloadForbidden
        await away.close()

    async def test_an_object_that_s3_does_not_have_is_gone_if_the_bucket_is_the_right_one(
        self, case: StorageCase, fresh: StorageCase, server: FaultyS3
    ) -> None:
        """S3 answers so with its own code, if the credentials may list the bucket; without the marker, wait."""
        answer = await case.load_one((missing_reference("s3"),))
        assert isinstance(answer, StorageUnavailable)
        assert "it was emptied, or S3_EVENT_SOURCE_BUCKET or prefix is wrong" in str(answer)
        server.objects["/events/dev/event-backbone.json"] = b'{"format":1,"environment":"dev","storage":"s3"}'
        assert type(await fresh.load_one((missing_reference("s3"),))) is PayloadGone

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
            (Refusal(400, "KMS.DisabledException"), "cannot use the KMS key for bucket events; correct kms_key"),
            (Refusal(400, "InvalidStorageClass"), "refuses the encryption, storage_class or tags of S3Options"),
            (Refusal(501, "NotImplemented"), "conditional writes"),
        ],
    )
    async def test_a_wrong_setting_is_raised_when_saving_and_waited_for_when_loading(
        self, case: StorageCase, server: FaultyS3, refusal: Refusal, message: str
    ) -> None:
        """One sentence without a secret; no event is dead-lettered for what is wrong with all of them."""
        server.fail(refusal, 2)
        with pytest.raises(ConfigurationError, match=message) as raised:
            await case.save(PAYLOAD)
        assert "the-" not in str(raised.value)
        answer = await case.load_one((missing_reference("s3"),))
        assert isinstance(answer, PayloadForbidden if refusal.code == "AccessDenied" else StorageUnavailable)
        assert server.requests == ["PUT", "GET"]

    async def test_credentials_that_ran_out_are_waited_for(self, case: StorageCase, server: FaultyS3) -> None:
        """They are renewed elsewhere."""
        server.fail(Refusal(400, "ExpiredToken"))
        with pytest.raises(StorageUnavailable, match="credentials have expired"):
            await case.save(PAYLOAD)

    async def test_the_check_reports_that_reading_is_forbidden(self, case: StorageCase, server: FaultyS3) -> None:
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
        await case.storage.check(case.scope())  # which opens the storage
        server.fail("say nothing", 99)
        started = time.monotonic()
        answers = await case.load(*((missing_reference("s3"),) for _ in range(20)))
        assert all(isinstance(answer, StorageUnavailable) for answer in answers)
        assert time.monotonic() - started < 3


async def test_a_large_load_holds_what_is_under_way_and_the_cache_and_no_more(options: S3Options) -> None:
    """However many packs it reads; what its caller keeps is the caller's."""
    options = replace(options, concurrency=4, pack_events=2, pack_cache_bytes=2 << 20, deadline=MINUTE)
    case = StorageCase(S3Storage(options))
    payload: Payload = {"blob": b'"' + b"x" * (256 << 10) + b'"'}
    references = [each for _ in range(40) for (each,) in await asyncio.gather(case.save(payload), case.save(payload))]
    held: list[int] = []

    def on_payloads(results: Iterable[tuple[int, Payload | StorageError]]) -> None:
        assert [found for _, found in results] == [payload] * 2
        runtime = tracemalloc.Filter(inclusive=True, filename_pattern="*/event_backbone/*")
        held.append(sum(each.size for each in tracemalloc.take_snapshot().filter_traces([runtime]).traces))

    tracemalloc.start()
    try:
        await case.storage.load(case.scope(), references, on_payloads)
    finally:
        tracemalloc.stop()
    assert len(held) == 40
    assert 1 << 20 < max(held) < 6 << 20


class TestSilentS3:
    """S3 that accepts a request and never answers, while others need no part of it."""

    @pytest.fixture
    def patient(self, options: S3Options) -> S3Storage:
        """A storage that waits for as long as a test may take."""
        return S3Storage(replace(options, request_timeout=MINUTE, deadline=MINUTE))

    async def test_what_the_cache_has_is_handed_over_meanwhile(self, patient: S3Storage, server: FaultyS3) -> None:
        """A load that is cancelled leaves no request behind."""
        cached = CachedStorage(patient, MemoryStorage())
        case = StorageCase(cached)
        (kept,) = await case.save(PAYLOAD)
        (lost,), (other,) = [await StorageCase(patient).save(PAYLOAD) for _ in range(2)]
        server.fail("say nothing")
        found: dict[int, Payload | StorageError] = {}
        before = asyncio.all_tasks()
        loading = asyncio.create_task(cached.load(case.scope(), [lost, kept, other], found.update))
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
        """And one that is elsewhere does not wait for it."""
        case = StorageCase(SplitStorage(default=MemoryStorage(), by_argument={"email": patient}))
        events = [await case.save(PAYLOAD), await case.save({"product_id": b"1"}), await case.save(PAYLOAD)]
        server.fail("say nothing")
        found: dict[int, Payload | StorageError] = {}
        loading = asyncio.create_task(load_event_payloads(case.scope(), case.storage.readable(), events, found.update))
        await eventually(lambda: len(found) == 2)
        assert found.pop(1) == {"product_id": b"1"}
        assert list(found.values()) == [PAYLOAD]
        assert not loading.done()
        loading.cancel()
        await asyncio.wait({loading})
