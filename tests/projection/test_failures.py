"""What fails is rolled back, retried in its place, and never passed over silently."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from event_backbone import (
    Backbone,
    ConfigurationError,
    Contract,
    Metadata,
    ProjectionFailed,
    Reject,
    Retry,
    RetryPolicy,
    event,
)
from event_backbone.projection import Projection, SqliteStore
from event_backbone.storage import S3Options, S3Storage
from event_backbone.testing.servers import RedisServer
from tests.support.eventually import eventually
from tests.support.faulty_s3 import Refusal, faulty_s3
from tests.support.letters import URI, Letters, send
from tests.support.metrics import CountedMetrics
from tests.support.views import letters_view, numbers_in

SOON = RetryPolicy(max_attempts=4, backoff=timedelta(milliseconds=10))


class Failing:
    """Raises for one number, the first few times."""

    def __init__(self, number: int, *errors: BaseException) -> None:
        self.number, self.errors, self.calls = number, list(errors), list[int]()

    def __call__(self, number: int) -> None:
        """Fail if it is the number."""
        self.calls.append(number)
        if number == self.number and self.errors:
            raise self.errors.pop(0)


async def _run(backbone: Backbone, store: SqliteStore, failing: Failing) -> None:
    projection = letters_view(on_event=failing)
    async with asyncio.timeout(20), backbone.projector(projection, URI, store=store, retry=SOON) as projector:
        await projector.until_caught_up()


@pytest.mark.parametrize("number", [0, 57, 149])
async def test_an_event_that_fails_is_retried_in_its_place(
    backbone: Backbone, store: SqliteStore, views: Path, number: int, counted: CountedMetrics
) -> None:
    """What comes before it is folded, what comes after it waits, and the view has each event once."""
    await send(backbone, *range(150))
    await _run(backbone, store, Failing(number, ValueError(), asyncio.CancelledError(), Retry(timedelta(0))))
    assert numbers_in(views) == list(range(150))
    assert counted.count("event_backbone.fold_failed") in {2, 3}  # the first is within a page, unless it begins one


async def test_an_event_that_keeps_failing_ends_the_projector(
    backbone: Backbone, store: SqliteStore, views: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One error names the event and the place, without the message. A new run tries that event first."""
    keys = await send(backbone, *range(10))
    failing = Failing(4, *[ValueError("ada4@example.com") for _ in range(5)])
    with pytest.raises(
        ProjectionFailed, match="by projection 'letters': attempt 4 failed with ValueError at "
    ) as raised:
        await _run(backbone, store, failing)
    assert raised.value.key == str(keys[4])
    assert str(keys[4]) in str(raised.value)
    assert "test_failures.py" in str(raised.value)
    assert "ada4@example.com" not in caplog.text + str(raised.value)
    assert numbers_in(views) == [0, 1, 2, 3]
    await _run(backbone, store, Failing(-1))
    assert numbers_in(views) == list(range(10))


async def test_reject_passes_over_one_event(
    backbone: Backbone, store: SqliteStore, views: Path, counted: CountedMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    """What its function had done is rolled back; it is counted and logged."""
    keys = await send(backbone, *range(10))
    await _run(backbone, store, Failing(4, *[Reject("a test letter") for _ in range(3)]))
    assert numbers_in(views) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert counted.count("event_backbone.fold_skipped", reason="rejected") == 1
    assert f"Event {keys[4]} (sent) is not folded: a function of projection 'letters' rejected it: a test letter" in (
        caplog.text
    )


class Newer(Contract):
    """The contract of a later version."""

    @event(version=2)
    def sent(self, number: str) -> None:
        """Has another argument."""


async def test_an_event_that_cannot_be_decoded_ends_the_projector(
    backbone: Backbone, store: SqliteStore, views: Path
) -> None:
    """Also if a later version of the contract has produced it: to pass over it would leave the view wrong."""
    await send(backbone, 1)
    key = await backbone.producer(Newer, uri=URI).sent("two")
    with pytest.raises(ProjectionFailed, match=rf"Event {key} .*UnknownVersion: Event 'sent' version 2 is unknown"):
        await _run(backbone, store, Failing(-1))
    assert numbers_in(views) == [1]


def _run_a_script(tx: sqlite3.Connection) -> None:
    tx.executescript("SELECT 1")  # it commits first


@pytest.mark.parametrize("end", [sqlite3.Connection.commit, sqlite3.Connection.rollback, _run_a_script])
async def test_a_function_cannot_end_the_transaction(
    backbone: Backbone, store: SqliteStore, views: Path, end: Callable[[sqlite3.Connection], object]
) -> None:
    """A commit halfway would leave a checkpoint that is ahead of the view."""
    projection = Projection(Letters, name="ending", transaction=sqlite3.Connection)

    @projection.reset
    def empty(tx: sqlite3.Connection) -> None:
        tx.execute("CREATE TABLE IF NOT EXISTS letters (place INTEGER PRIMARY KEY, key, number, email, note)")

    @projection.on(Letters.sent)
    def sent(tx: sqlite3.Connection, metadata: Metadata, number: int, email: str | None = None) -> None:
        tx.execute("INSERT INTO letters (number) VALUES (?)", (number,))
        end(tx)

    await send(backbone, 1)
    with pytest.raises(ProjectionFailed, match=r"sqlite3\.DatabaseError"):
        async with backbone.projector(projection, URI, store=store, retry=SOON) as projector:
            await projector.wait()
    assert numbers_in(views) == []


async def test_a_locked_database_is_waited_for_and_raised_in_the_end(
    backbone: Backbone, views: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process has the lock: no event is lost or folded twice."""
    await send(backbone, *range(10))
    lock = sqlite3.connect(views, isolation_level=None)
    async with SqliteStore(views, timeout=timedelta(milliseconds=20)) as store:
        await _run(backbone, store, Failing(-1))
        lock.execute("BEGIN IMMEDIATE")
        await send(backbone, 10)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await _run(backbone, store, Failing(-1))
        projector = backbone.projector(letters_view(), URI, store=store, retry=RetryPolicy(backoff=timedelta(0)))
        async with asyncio.timeout(20), projector:
            caplog.clear()
            await eventually(lambda: "The store of projection 'letters' of letters failed on attempt 1" in caplog.text)
            lock.execute("ROLLBACK")
            await projector.until_caught_up()
    lock.close()
    assert numbers_in(views) == list(range(11))


class LosingAnswers(SqliteStore):
    """A store that loses the answer to every third commit, and every fifth connection before it."""

    count = 0

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[sqlite3.Connection, None]:
        """Begin, and lose something now and then."""
        self.count += 1
        lost = self.count
        async with super().begin() as tx:
            yield tx
            if lost % 5 == 0:
                raise ConnectionError
        if lost % 3 == 0:
            raise ConnectionError


async def test_lost_answers_of_the_database_change_nothing(backbone: Backbone, views: Path) -> None:
    """A commit that raised may have taken effect: the checkpoint says so."""
    await send(backbone, *range(1000))
    retry = RetryPolicy(max_attempts=5, backoff=timedelta(0))
    store = LosingAnswers(views)
    projector = backbone.projector(letters_view(), URI, store=store, retry=retry)
    async with asyncio.timeout(30), store, projector:
        await projector.until_caught_up()
    assert numbers_in(views) == list(range(1000))


@pytest.fixture
def broken(own_redis: RedisServer) -> RedisServer:
    """A Redis that a test may stop."""
    return own_redis


async def test_an_outage_of_redis_is_waited_for(
    broken: RedisServer, store: SqliteStore, views: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not ready meanwhile, says why once, and goes on where it was."""
    async with Backbone(broken.url, environment="test") as backbone:
        await send(backbone, *range(150))
        async with asyncio.timeout(60), backbone.projector(letters_view(), URI, store=store) as projector:
            await projector.until_caught_up()
            await eventually(lambda: projector.ready)
            broken.stop()
            await eventually(lambda: projector.problem is not None)
            assert not projector.ready
            assert projector.alive
            broken.start()
            await eventually(lambda: projector.problem is None)
            await send(backbone, 150)
            await projector.until_caught_up()
    assert numbers_in(views) == list(range(151))


async def test_a_stop_during_an_outage_ends_who_waits(broken: RedisServer, store: SqliteStore, views: Path) -> None:
    """Waiting until it has caught up returns early, as it is said to, and raises nothing."""
    async with Backbone(broken.url, environment="test") as backbone:
        await send(backbone, 1)
        async with asyncio.timeout(60), backbone.projector(letters_view(), URI, store=store) as projector:
            await projector.until_caught_up()
            broken.stop()
            await eventually(lambda: projector.problem is not None)
            waiting = asyncio.create_task(projector.until_caught_up())
            await asyncio.sleep(0)
            projector.stop()
            await waiting
    assert numbers_in(views) == [1]


async def test_an_outage_of_s3_is_waited_for(redis_url: str, store: SqliteStore, views: Path) -> None:
    """A payload that cannot be loaded now is neither passed over nor taken for gone."""
    async with faulty_s3() as s3:
        access = S3Options(bucket="events", endpoint=s3.endpoint, access_key="key", secret_key="secret")
        options = replace(access, region="us-east-1", retries=0, deadline=timedelta(seconds=1))
        async with Backbone(redis_url, storage=S3Storage(options), environment="test") as backbone:
            await send(backbone, *range(30))
            s3.fail(Refusal(503, "SlowDown"), 2)
            async with asyncio.timeout(60), backbone.projector(letters_view(), URI, store=store) as projector:
                await eventually(lambda: projector.problem is not None)
                await projector.until_caught_up()
                assert projector.problem is None
    assert numbers_in(views) == list(range(30))


class Fatal(BaseException):
    """Neither an error nor a cancellation."""


async def test_what_is_no_exception_ends_the_projector_and_the_worker(
    backbone: Backbone, store: SqliteStore, views: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of its page is in the view."""
    caplog.set_level(logging.ERROR)
    await send(backbone, *range(5))
    with pytest.raises(Fatal):
        await _run(backbone, store, Failing(3, Fatal()))
    assert numbers_in(views) == []


async def test_a_checkpoint_that_cannot_be_read_is_said(backbone: Backbone, store: SqliteStore, views: Path) -> None:
    """It may be of a later version. ``rebuild`` does without it."""
    await send(backbone, 1)
    await _run(backbone, store, Failing(-1))
    async with store.begin() as tx:
        tx.execute("UPDATE event_backbone_checkpoints SET checkpoint = '{}'")
    with pytest.raises(ConfigurationError, match="A checkpoint in the store of a projection cannot be read"):
        await _run(backbone, store, Failing(-1))
    async with backbone.projector(letters_view(), URI, store=store, rebuild=True) as projector:
        await projector.until_caught_up()
    assert numbers_in(views) == [1]
