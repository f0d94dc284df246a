"""What becomes of events whose payloads are in an S3 that fails, refuses, or takes its time."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from event_backbone.backbone import Backbone
from event_backbone.errors import PayloadGone
from event_backbone.model import PayloadReference
from event_backbone.policy import RetryPolicy
from event_backbone.storage import (
    MemoryStorage,
    S3Options,
    S3Storage,
    StorageScope,
)
from event_backbone.storage.base import OnPayloads
from tests.conformance.storage_suite import StorageCase
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3, Page, Refusal, Relay, relay_before
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within
from tests.support.seaweed import SeaweedServer, seaweed_options

MINUTE = timedelta(minutes=1)


class TestConsumingFromFaultyS3:
    """What becomes of events whose payloads S3 does not return."""

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
        """With concurrency 1 it comes after the others; an outage of the storage does not count as an attempt."""
        remembering = Remembering()
        storage = S3Storage(replace(options, retries=0))
        async with Backbone(redis_url, environment="dev", storage=storage) as backbone:
            await pack(backbone, *range(5))
            server.fail(Refusal(503, "SlowDown"), 2)
            async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, concurrency=1)):
                await eventually(lambda: len(remembering.numbers) == 5)
        assert sorted(remembering.numbers) == list(range(5))
        assert remembering.attempts == [1] * 5

    async def test_events_of_one_pack_share_its_requests(self, backbone: Backbone, server: FaultyS3) -> None:
        """Those of a consumer that handles one event at a time, of another group, and of a reader."""
        producer = backbone.producer(Parcels, uri=URI)
        await asyncio.gather(*(producer.packed(number) for number in range(300)))
        packs = len(server.packs)
        assert packs < 10
        server.requests.clear()
        for concurrency in (1, 50):
            remembering = Remembering()
            group = f"group-{concurrency}"
            await run_to_the_end(
                backbone.subscribe(remembering.consumer, uri=URI, group=group, concurrency=concurrency, max_events=300)
            )
            assert sorted(remembering.numbers) == list(range(300))
        assert len([event.arguments async for event in backbone.reader(URI).scan()]) == 300
        assert packs <= server.requests.count("GET") <= 2 * packs

    async def test_a_storage_that_forgets_a_payload_ends_the_subscription(self, redis_url: str) -> None:
        """With an error: otherwise the event would stay where it is, and nobody would know."""

        class Forgetful(MemoryStorage):
            """Return nothing."""

            async def load(
                self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads
            ) -> None:
                on_payloads(())

        async with Backbone(redis_url, environment="dev", storage=Forgetful()) as backbone:
            await pack(backbone, 1)
            with pytest.raises(RuntimeError, match="left 1 of 1 payloads unanswered"):
                await run_to_the_end(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP))

    async def test_forbidden_for_a_while_is_tried_again_and_handled(self, backbone: Backbone, server: FaultyS3) -> None:
        """As when a role was changed by mistake: each try counts, and waits as after a failed handler."""
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

    async def test_forbidden_permanently_is_a_dead_letter_after_the_last_attempt(
        self, backbone: Backbone, server: FaultyS3
    ) -> None:
        """A missing object looks the same when the bucket may not be listed, so this ends."""
        await pack(backbone, 1)
        server.reads = Refusal(403, "AccessDenied")
        thrice = RetryPolicy(max_attempts=3, backoff=timedelta(milliseconds=10))
        consumer = Remembering().consumer
        await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, retry=thrice, max_events=1))
        (letter,) = [letter async for letter in backbone.dead_letters(URI, GROUP).list()]
        assert (letter.reason, letter.error, letter.attempts) == (
            "payload-gone",
            "event_backbone.errors.PayloadForbidden",
            3,
        )
        assert "missing or forbidden" in letter.detail
        assert server.requests.count("GET") == 3

    async def test_a_reader_yields_a_forbidden_event_without_its_payload(
        self, backbone: Backbone, server: FaultyS3
    ) -> None:
        """A reader has no attempts; the metadata may be all that is wanted."""
        await pack(backbone, 1)
        server.reads = Refusal(403, "AccessDenied")
        (event,) = [event async for event in backbone.reader(URI).scan()]
        assert event.metadata.event == "packed"
        with pytest.raises(PayloadGone, match="missing or forbidden"):
            _ = event.arguments


class TestOneSlowPayload:
    """A real object store that takes its time over one object."""

    @pytest.fixture
    async def relay(self, seaweed: SeaweedServer) -> AsyncIterator[Relay]:
        """A relay in front of it."""
        async with relay_before(int(seaweed.endpoint.rpartition(":")[2])) as relay:
            yield relay

    @pytest.fixture
    async def backbone(self, seaweed: SeaweedServer, relay: Relay, redis_url: str) -> AsyncIterator[Backbone]:
        """With payloads behind the relay, and a long deadline."""
        options = replace(seaweed_options(seaweed), endpoint=relay.endpoint, request_timeout=MINUTE, deadline=MINUTE)
        async with Backbone(redis_url, environment="dev", storage=S3Storage(options)) as backbone:
            yield backbone

    async def test_delays_neither_its_batch_nor_the_next(self, backbone: Backbone, relay: Relay) -> None:
        """The ninety-nine others are handled while it hangs, and what comes after them; then it is handled too."""
        remembering, producer = Remembering(), backbone.producer(Parcels, uri=URI)
        await producer.packed(0)
        relay.delay_last()
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
        await pack(backbone, *range(20))
        await producer.packed(20)
        relay.delay_last()
        await pack(backbone, *range(21, 40))
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, concurrency=1)):
            await eventually(lambda: len(remembering.numbers) == 20)
            await relay.holding.wait()
            await pack(backbone, *range(40, 50))
            relay.released.set()
            await eventually(lambda: len(remembering.numbers) == 50)
        assert remembering.numbers == list(range(50))

    async def test_does_not_keep_a_stop_waiting(self, backbone: Backbone, relay: Relay) -> None:
        """Its request is abandoned, and the event goes back to the group, not counted as an attempt."""
        remembering, producer = Remembering(), backbone.producer(Parcels, uri=URI)
        await producer.packed(0)
        relay.delay_last()
        tasks = asyncio.all_tasks()
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)):
            await relay.holding.wait()
            started = time.monotonic()
        assert time.monotonic() - started < 5
        assert [task for task in asyncio.all_tasks() - tasks if "faulty_s3.py" not in repr(task)] == []
        relay.released.set()
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)):
            await eventually(lambda: remembering.attempts == [1])
