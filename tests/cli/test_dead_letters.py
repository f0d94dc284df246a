"""One night of failures, from the command line: look, decide, redrive, discard; and what is pending meanwhile."""

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from event_backbone import Backbone, Consumer, Context, EventKey, Reject, Retry, RetryPolicy
from tests.cli.conftest import Shop
from tests.cli.running import answer_on_terminal
from tests.cli.shop import Shop as ShopContract
from tests.cli.shop import User
from tests.support.eventually import eventually

EMAIL = "ada@example.com"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
A_TIME = datetime.fromisoformat("2026-01-31T12:00:00Z")


def failing(error: Exception, *, on_packing: Exception) -> Consumer[ShopContract]:
    """Return a consumer whose handlers raise."""
    consumer = Consumer(ShopContract)

    @consumer.on(ShopContract.order_placed)
    async def order_placed(ctx: Context, user: User, product_id: int, time: datetime) -> None:
        raise error

    @consumer.on(ShopContract.packing)
    async def packing(ctx: Context, email: str, tags: list[str] | None = None) -> None:
        raise on_packing

    return consumer


@asynccontextmanager
async def opened(redis_url: str) -> AsyncGenerator[Backbone]:
    """The shop's backbone."""
    async with Backbone(redis_url, environment="test") as backbone:
        yield backbone


@pytest.fixture
async def night(redis_url: str) -> list[EventKey]:
    """Two orders that were rejected, and a packing whose error was no longer retried."""
    async with opened(redis_url) as backbone:
        producer = backbone.producer(ShopContract, uri="shop")
        order = (User(name="Ada", email=EMAIL), 7, A_TIME)
        keys = [await producer.order_placed(*order), await producer.order_placed(*order)]
        keys.append(await producer.packing("grace@example.com"))
        consumer = failing(Reject("no product 7"), on_packing=TimeoutError())
        once = RetryPolicy(max_attempts=1)
        async with backbone.subscribe(
            consumer, uri="shop", group="main-consumer", concurrency=1, max_events=3, retry=once
        ) as subscription:
            await subscription.wait()
        return keys


def by_hand(redis_shop: Shop) -> Callable[..., str]:
    """Run a `dead-letters` command that succeeds; return what it prints, without the layout."""

    def run(*arguments: str) -> str:
        answer = redis_shop("dead-letters", *arguments)
        assert (answer.code, answer.errors) == (0, "")
        return " ".join(answer.output.split())

    return run


def test_a_night_is_looked_at_by_counts_list_and_show(redis_shop: Shop, night: list[EventKey]) -> None:
    """Counts come first, plurals and times are right, and a payload is shown unless it is left out."""
    run = by_hand(redis_shop)
    assert run("list", "--limit", "2").startswith(
        "Group main-consumer has 3 dead letters: 2 rejected, 1 attempts-exhausted. The oldest 2; see --limit Key Event"
    )
    assert "has 1 such dead letter: 1 attempts-exhausted." in run("list", "--error", "TimeoutError")
    assert "has no such dead letters." in run("list", "--reason", "crashed")
    assert run("count", "--newer-than", "8h").count("rejected order_placed event_backbone.errors.Reject") == 1
    first, second = redis_shop("dead-letters", "count", "--json").lines
    assert (first["reason"], first["event"], first["dead_letters"]) == ("rejected", "order_placed", 2)
    assert (second["error"], second["dead_letters"]) == ("TimeoutError", 1)
    shown = run("show", str(night[0]))
    for words in (
        "reason rejected",
        "detail no product 7",
        "event order_placed",
        EMAIL,
        "stored in {test:shop}:payload:",
    ):
        assert words in shown
    assert len(TIME.findall(shown)) >= 2
    assert EMAIL not in run("show", str(night[0]), "--no-payload")
    (whole,) = redis_shop("dead-letters", "show", str(night[0]), "--json").lines
    assert (whole["key"], whole["attempts"], whole["error"]) == (str(night[0]), 1, "event_backbone.errors.Reject")


def test_redrive_and_discard_take_keys_filters_and_a_dry_run(redis_shop: Shop, night: list[EventKey]) -> None:
    """A dry run counts; a key without a dead letter is named after the others were dealt with."""
    run = by_hand(redis_shop)
    assert "has 2 such dead letters: 2 rejected." in run("redrive", "--reason", "rejected", "--dry-run")
    assert "has 3 dead letters" in run("discard", "--all", "--dry-run")
    assert "has 3 dead letters" in run("list")
    answer = redis_shop("dead-letters", "redrive", str(night[0]), "1-0")
    assert (answer.code, "1 event redriven: " in answer.output) == (1, True)
    assert answer.errors == "There is no dead letter of event 1-0; see: shop dead-letters list\n"
    assert run("discard", str(night[1])).endswith("1 dead letter discarded.")
    assert run("redrive", "--older-than", "1d") == "Group main-consumer has no such dead letters."
    assert "1 event redriven: " in run("redrive", "--event", "packing", "--newer-than", "2026-01-01T00:00:00Z")
    assert run("list") == "Group main-consumer has no dead letters."


@pytest.mark.parametrize(
    ("command", "typed", "code", "said"),
    [
        ("dead-letters discard --all", "n", 1, "Nothing was discarded."),
        ("dead-letters discard --all", "y", 0, "3 dead letters discarded."),
        ("erase", "n", 1, "Nothing was erased."),
    ],
)
def test_what_cannot_be_undone_asks_on_a_terminal(
    redis_shop: Shop,
    night: list[EventKey],
    redis_url: str,
    tmp_path: Path,
    command: str,
    typed: str,
    code: int,
    said: str,
) -> None:
    """A bulk discard and an erasure; elsewhere they want --yes."""
    arguments = [*command.split(), *([str(night[0])] if command == "erase" else [])]
    answer = redis_shop(*arguments)
    assert (answer.code, "Give --yes to" in answer.errors) == (2, True)
    asked = answer_on_terminal(*arguments, typed=f"{typed}\n", temporary=tmp_path, redis_url=redis_url)
    assert (asked.code, said in asked.output + asked.errors) == (code, True)
    left = redis_shop("dead-letters", "discard", "--all", "--yes").output
    assert ("3 dead letters discarded." in left) == (typed == "n")
    assert redis_shop("show", str(night[0]), "--json").lines[0]["payload"] == "present"


@pytest.fixture
async def waiting(redis_url: str) -> None:
    """An event that waits for two hours."""
    consumer = failing(OSError(), on_packing=Retry(after=timedelta(hours=2)))
    async with opened(redis_url) as backbone:
        await backbone.producer(ShopContract, uri="shop").packing("grace@example.com")
        async with backbone.subscribe(consumer, uri="shop", group="main-consumer"):
            await eventually(lambda: _parked(backbone))


@pytest.mark.usefixtures("waiting")
def test_pending_says_until_when_an_event_waits(redis_shop: Shop) -> None:
    """Never the name under which the server keeps what waits, nor how long that was not touched."""
    (row,) = [line.split() for line in redis_shop("pending").output.splitlines() if "waiting" in line]
    assert row[1:4] == ["1", "waiting", "until"]
    assert TIME.fullmatch(row[4])
    (event,) = redis_shop("pending", "--json").lines
    assert (event["state"], event["attempts"], set(event)) == ("waiting", 1, {"key", "attempts", "state", "due_at"})
    assert timedelta(hours=1) < datetime.fromisoformat(str(event["due_at"])) - datetime.now(UTC) < timedelta(hours=2)


async def _parked(backbone: Backbone) -> bool:
    states = await backbone.groups("shop")
    return [each.parked for each in states] == [1]
