"""A projector folds the events of a stream into a view, each once and in order, and keeps it up to date."""

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from event_backbone import Backbone, ConfigurationError, Contract, ContractError, Metadata, Worker, event
from event_backbone.projection import Projection, SqliteStore
from event_backbone.testing import memory_backbone
from event_backbone.web.readiness import why_not_ready
from tests.support.eventually import eventually
from tests.support.letters import URI, Letters, consumer_of, send
from tests.support.metrics import CountedMetrics
from tests.support.parcels import Parcels
from tests.support.views import letters_view, numbers_in


@pytest.mark.parametrize("count", [0, 1, 100, 250])
async def test_it_catches_up_and_then_follows_within_a_second(
    backbone: Backbone, store: SqliteStore, views: Path, count: int, counted: CountedMetrics
) -> None:
    """No page, one, or several; then what comes. ``ready`` and ``lag`` say that it is up to date."""
    await send(backbone, *range(count))
    async with asyncio.timeout(20), backbone.projector(letters_view(), URI, store=store) as projector:
        await projector.until_caught_up()
        assert counted.begun("event_backbone.fold_failed", uri=URI, projection="letters", event="sent")
        assert counted.begun("event_backbone.outages", uri=URI, side="projection")
        assert numbers_in(views) == list(range(count))
        await send(backbone, count)
        async with asyncio.timeout(1):
            await eventually(lambda: numbers_in(views) == list(range(count + 1)))
        await eventually(lambda: projector.ready)
        assert projector.alive
        assert (projector.lag, projector.problem, projector.handled) == (timedelta(0), None, count + 1)
    assert not projector.alive
    assert counted.count("event_backbone.folded", uri=URI, projection="letters", event="sent") == count + 1


async def test_it_works_in_memory(store: SqliteStore, views: Path) -> None:
    """In a unit test, without servers."""
    async with memory_backbone() as backbone, backbone.projector(letters_view(), URI, store=store) as projector:
        await send(backbone, *range(120))
        await projector.until_caught_up()
        assert numbers_in(views) == list(range(120))


async def test_another_run_goes_on_where_the_last_one_ended(
    backbone: Backbone, store: SqliteStore, views: Path
) -> None:
    """Nothing is folded again, also after events that it does not fold."""
    for first in (0, 10, 20):
        await send(backbone, *range(first, first + 10))
        await backbone.producer(Parcels, uri=URI).packed(first)
        async with backbone.projector(letters_view(), URI, store=store) as projector:
            await projector.until_caught_up()
            assert projector.handled == 10
    assert numbers_in(views) == list(range(30))


async def test_a_higher_version_builds_the_view_again_and_a_lower_one_stands_by(
    backbone: Backbone, store: SqliteStore, views: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a rolling deployment: two versions at once do not build again what the other has built."""
    caplog.set_level("INFO")
    await send(backbone, 1, 2)
    async with backbone.projector(letters_view(), URI, store=store) as old:
        await old.until_caught_up()
        async with backbone.projector(letters_view(version=2), URI, store=store) as new:
            await new.until_caught_up()
            assert "the projection has version 2 now" in caplog.text
            await send(backbone, 3)
            await eventually(lambda: numbers_in(views) == [1, 2, 3])
            await eventually(lambda: old.problem is not None)
            assert not old.ready
            reason = await why_not_ready(backbone, timedelta(seconds=5), Worker(old))
            assert reason == "A view is not up to date at the moment; the log says why, unless it is still being built."
            assert "is of version 2, and this program has version 1: it stands by" in str(old.problem)
        await send(backbone, 4)
    assert old.handled == 2
    async with backbone.projector(letters_view(), URI, store=store, rebuild=True) as back:
        await back.until_caught_up()
    assert numbers_in(views) == [1, 2, 3, 4]
    assert caplog.text.count("begins its view") == 3


async def test_a_view_is_built_again_in_place(backbone: Backbone, store: SqliteStore, views: Path) -> None:
    """While it runs, and when it starts. What is wrong in the view goes."""
    await send(backbone, *range(150))
    async with backbone.projector(letters_view(), URI, store=store) as projector:
        await projector.until_caught_up()
        with sqlite3.connect(views) as others:
            others.execute("DELETE FROM letters WHERE number > 7")
        others.close()
        await projector.rebuild()
        assert numbers_in(views) == list(range(150))
    assert projector.handled == 300


async def test_a_second_view_is_built_beside_the_first(backbone: Backbone, store: SqliteStore, views: Path) -> None:
    """Several at once, in one worker, beside a subscription; they start and stop together."""
    handled: list[int] = []
    await send(backbone, *range(10))
    worker = Worker(
        backbone.projector(letters_view(), URI, store=store),
        backbone.subscribe(consumer_of(handled), uri=URI, group="group"),
        backbone.projector(letters_view(name="letters-2"), URI, store=store),
    )
    async with worker:
        await worker.until_idle()
        assert [each.name for each in worker.projectors] == ["letters", "letters-2"]
        await eventually(lambda: worker.ready)
    assert numbers_in(views) == numbers_in(views, "letters_2") == handled == list(range(10))


async def test_functions_may_be_async(backbone: Backbone, store: SqliteStore) -> None:
    """A projection may have both, for databases of either kind."""
    projection = Projection(Letters, name="sum", transaction=sqlite3.Connection)

    @projection.reset
    async def empty(tx: sqlite3.Connection) -> None:
        tx.execute("CREATE TABLE IF NOT EXISTS sums (total)")
        tx.execute("INSERT INTO sums VALUES (0)")

    @projection.on(Letters.sent)
    async def sent(tx: sqlite3.Connection, metadata: Metadata, number: int, email: str | None = None) -> None:
        await asyncio.sleep(0)
        tx.execute("UPDATE sums SET total = total + ?", (number,))

    await send(backbone, 1, 2, 3)
    async with backbone.projector(projection, URI, store=store) as projector:
        await projector.until_caught_up()
    async with store.begin() as tx:
        assert tx.execute("SELECT total FROM sums").fetchall() == [(6,)]


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_stop_rolls_back_what_does_not_end_in_time(
    backbone: Backbone, store: SqliteStore, views: Path, caplog: pytest.LogCaptureFixture, *, stubborn: bool
) -> None:
    """The transaction may end within the drain; then its events wait for the next run.

    A function that ignores that it is cancelled is left behind after three seconds.
    """
    running, released = asyncio.Event(), asyncio.Event()
    slow = Projection(Letters, name="slow", transaction=sqlite3.Connection)

    @slow.reset
    def empty(tx: sqlite3.Connection) -> None:
        tx.execute("CREATE TABLE IF NOT EXISTS slow (place INTEGER PRIMARY KEY, key, number, email, note)")

    @slow.on(Letters.sent)
    async def sent(tx: sqlite3.Connection, metadata: Metadata, number: int, email: str | None = None) -> None:
        tx.execute("INSERT INTO slow (number) VALUES (?)", (number,))
        running.set()
        try:
            await asyncio.sleep(60)
        finally:
            if stubborn:
                await released.wait()

    await send(backbone, 1)
    async with asyncio.timeout(10), backbone.projector(slow, URI, store=store) as projector:
        await running.wait()
        projector.stop(timedelta(milliseconds=50))
        await projector.wait()
        assert ("ignores that it was cancelled" in caplog.text) == stubborn
        released.set()
    assert numbers_in(views, "slow") == []


class Versions(Contract):
    """Two versions of an event."""

    @event
    def packed(self, number: int) -> None:
        """As it was."""

    @event(name="packed", version=2)
    def packed_again(self, number: int) -> None:
        """As it is."""


def test_what_cannot_work_is_refused_in_one_sentence() -> None:
    """When it is defined, or when the projector is made."""
    with pytest.raises(ConfigurationError, match="'No Name' is not valid: use up to 64 of"):
        Projection(Letters, name="No Name", transaction=sqlite3.Connection)
    with pytest.raises(ConfigurationError, match="version of a projection must be 1 or more"):
        Projection(Letters, name="x", version=0, transaction=sqlite3.Connection)
    projection = letters_view()

    def sent(tx: sqlite3.Connection, metadata: Metadata, number: int, email: str | None = None) -> None: ...

    def empty(tx: sqlite3.Connection) -> None: ...

    def packed(tx: sqlite3.Connection, metadata: Metadata, number: int) -> None: ...

    def short(tx: sqlite3.Connection, metadata: Metadata, number: int) -> None: ...

    with pytest.raises(ContractError, match="already folds sent"):
        projection.on(Letters.sent)(sent)
    with pytest.raises(ContractError, match="already empties this view"):
        projection.reset(empty)
    other = Projection(Parcels, name="x", transaction=sqlite3.Connection)
    with pytest.raises(ContractError, match=r"must take \(tx, metadata, number, email\)"):
        other.on(Parcels.sent)(short)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match="not an event of Parcels"):
        other.on(Letters.sent)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match=r"give it a function that empties the view, by @projection\.reset"):
        other.checked_reset()
    other.reset(empty)
    with pytest.raises(ConfigurationError, match=r"folds no events: register functions by @projection\.on"):
        other.checked_reset()
    versions = Projection(Versions, name="x", transaction=sqlite3.Connection)
    versions.reset(empty)
    versions.on(Versions.packed_again)(packed)
    with pytest.raises(ConfigurationError, match=r"not its version 1: register a function for Versions\.packed too"):
        versions.checked_reset()
