"""One attempt at one event: what is called, what is decided, what is set meanwhile. Needs no server."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from event_backbone.consumer import Consumer, Context
from event_backbone.contract import Contract, event
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import PayloadErased, PayloadGone, Reject, StorageUnavailable
from event_backbone.interceptors import HandleInterceptor
from event_backbone.model import EventKey, NewDeadLetter, Payload, StreamName
from event_backbone.model.correlation import lineage
from event_backbone.policy import AckPolicy, RetryLater, RetryPolicy, UnknownPolicy
from event_backbone.spans import HandleSpans
from event_backbone.stream.memory import MemoryStreams
from event_backbone.subscription.handling import Handling
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.subscription.outcome import Finished, Outcome
from event_backbone.testing import context

SECOND = timedelta(seconds=1)


class Ship(Contract):
    """What happens to a ship."""

    @event
    def packing(self, email: str, product_id: int = 3) -> None:
        """It is being packed."""

    @event
    def lost(self) -> None:
        """Nobody knows where it is."""


def handling(
    consumer: Consumer[Ship],
    *interceptors: HandleInterceptor,
    ack: AckPolicy = "on-success",
    unknown: UnknownPolicy = "skip",
    retry: RetryPolicy | None = None,
) -> Handling:
    """Return a handling to a consumer."""
    policy = retry or RetryPolicy(max_attempts=3, backoff=SECOND)
    leases = MemoryStreams().group_leases(StreamName.of("ship"), "g", "member")
    return Handling(
        consumer,
        interceptors=interceptors,
        retry=policy,
        ack=ack,
        unknown=unknown,
        attributes={"uri": "ship"},
        spans=HandleSpans("ship", "group"),
        leases=leases,
        group="g",
    )


async def no_ack(_: object) -> None:
    """Succeed."""


async def deliver(
    to: Handling,
    payload: Payload | Exception | None,
    *,
    name: str = "packing",
    version: int = 1,
    attempt: int = 1,
) -> Outcome:
    """Deliver an event with this payload."""
    metadata = context(event=name, version=version).metadata
    ctx = to.context_of(metadata, metadata.key, attempt, no_ack, None)
    return await to.handle(LoadedEvent(ctx.metadata, to.routes.of(ctx.metadata), payload), ctx, attempt)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def raising(error: BaseException) -> Consumer[Ship]:
    """Return a consumer whose handler raises."""
    consumer = Consumer(Ship)

    @consumer.on(Ship.packing)
    async def handle(ctx: Context, email: str, product_id: int = 3) -> None:
        raise error

    return consumer


def raising_line() -> str:
    """Return where ``raising`` raises."""
    return f"tests/unit/test_handling.py:{raising.__code__.co_firstlineno + 6} in handle"


PACKING: Payload = {"email": b'"a@b.c"', "product_id": b"7"}


async def test_a_handler_gets_the_decoded_arguments_by_name() -> None:
    """A missing one takes the event's default."""
    consumer, calls = Consumer(Ship), list[tuple[str, int]]()

    @consumer.on(Ship.packing)
    async def handle(ctx: Context, email: str, product_id: int = 3) -> None:
        calls.append((email, product_id))

    to = handling(consumer)
    assert await deliver(to, PACKING) == Finished()
    assert await deliver(to, {"email": b'"d@e.f"'}) == Finished()
    assert calls == [("a@b.c", 7), ("d@e.f", 3)]


async def test_the_current_event_is_set_while_handlers_run_and_no_longer() -> None:
    """What is produced meanwhile has its correlation and names it as the cause, also when handlers fail."""
    consumer, seen = Consumer(Ship), list[bool]()

    @consumer.on(Ship.packing)
    async def handle(ctx: Context, email: str, product_id: int = 3) -> None:
        seen.append(lineage(None, None) == (ctx.metadata.correlation_id, str(ctx.metadata.event_id)))
        raise OSError

    metadata, outside, to = context(event="packing").metadata, context(), handling(consumer)
    ctx = to.context_of(metadata, metadata.key, 1, no_ack, None)
    await to.handle(LoadedEvent(metadata, to.routes.of(metadata), PACKING), ctx, 1)
    assert (seen, lineage(None, None)) == ([True], (outside.metadata.correlation_id, str(outside.metadata.event_id)))


async def test_a_failure_is_decided_by_the_policy() -> None:
    """Later at first, then the dead letters, with the error's type and place and without its text."""
    assert await deliver(handling(raising(ValueError("secret"))), PACKING, attempt=1) == RetryLater(SECOND)
    last = await deliver(handling(raising(ValueError("secret"))), PACKING, attempt=3)
    assert last == NewDeadLetter("attempts-exhausted", "", "ValueError", (raising_line(),))


async def test_a_reject_goes_to_the_dead_letters_under_every_ack_policy() -> None:
    """With the handler's reason."""
    for ack in ("on-success", "manual", "always"):
        to = handling(raising(Reject("never")), ack=ack)
        rejected = NewDeadLetter("rejected", "never", "event_backbone.errors.Reject", (raising_line(),))
        assert await deliver(to, PACKING) == rejected


async def test_our_own_errors_raised_by_a_handler_are_failures_like_any_other() -> None:
    """That a handler could not load something else says nothing about the event's own payload."""
    assert await deliver(handling(raising(PayloadGone("elsewhere"))), PACKING) == RetryLater(SECOND)


@pytest.mark.parametrize(
    ("payload", "name", "version", "reason"),
    [
        (PayloadGone("gone"), "packing", 1, "payload-gone"),
        ({"email": b"12"}, "packing", 1, "undecodable"),
        (PACKING, "packing", 9, "unknown-version"),
    ],
)
async def test_what_waiting_does_not_solve_goes_to_the_dead_letters_at_once(
    payload: Payload | Exception | None, name: str, version: int, reason: str
) -> None:
    """Whatever the attempt."""
    outcome = await deliver(handling(raising(AssertionError())), payload, name=name, version=version)
    assert isinstance(outcome, NewDeadLetter)
    assert outcome.reason == reason


async def test_what_a_consumer_needs_not_handle_is_skipped_and_logged_once_a_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Erased events, and names that the contract lacks; under another policy the latter are dead letters."""
    caplog.set_level("INFO", "event_backbone")
    to = handling(raising(AssertionError()))
    for _ in range(2):
        assert await deliver(to, PayloadErased("erased")) == Finished()
        assert await deliver(to, None, name="sunk") == Finished()
        assert await deliver(to, None, name="raised") == Finished()
    assert [record.args[1] for record in caplog.records if record.args] == ["packing", "sunk", "raised"]  # type: ignore[index] # pyright: ignore[reportArgumentType]
    outcome = await deliver(handling(raising(AssertionError()), unknown="dead-letter"), None, name="sunk")
    assert isinstance(outcome, NewDeadLetter)
    assert outcome.reason == "unknown-event"


async def test_a_storage_that_is_away_uses_up_no_attempt() -> None:
    """Even on the last one."""
    outcome = await deliver(handling(raising(AssertionError())), StorageUnavailable("away"), attempt=99)
    assert outcome == RetryLater(SECOND, counts=False)


async def test_payloads_are_wanted_only_for_what_somebody_handles() -> None:
    """Others are not loaded at all."""
    consumer = raising(AssertionError())
    to = handling(consumer)
    wanted = [
        to.routes.of(context(event=name, version=version).metadata).wanted
        for name, version in (("packing", 1), ("packing", 2), ("lost", 1), ("sunk", 1))
    ]
    assert wanted == [True, False, False, False]

    @consumer.fallback
    async def rest(ctx: Context, event: StoredEvent) -> None:
        """Take everything else."""

    assert to.routes.of(context(event="sunk").metadata).wanted


async def test_under_manual_returning_without_an_ack_finishes_nothing() -> None:
    """It comes again, without an attempt being used up."""
    consumer = Consumer(Ship)

    @consumer.on(Ship.packing)
    async def handle(ctx: Context, email: str, product_id: int = 3) -> None:
        if product_id == 1:
            await ctx.ack()

    to = handling(consumer, ack="manual")
    assert await deliver(to, PACKING) == RetryLater(SECOND, counts=False)
    assert await deliver(to, {**PACKING, "product_id": b"1"}) == Finished()


async def test_under_always_a_failure_finishes_the_event() -> None:
    """Except an event that cannot be decoded: no handler has seen it."""
    to = handling(raising(OSError()), ack="always")
    assert await deliver(to, PACKING) == Finished()
    assert isinstance(await deliver(to, {"email": b"12"}), NewDeadLetter)


async def test_a_failure_after_an_ack_changes_nothing() -> None:
    """The event is finished already."""
    consumer = Consumer(Ship)

    @consumer.on(Ship.packing)
    async def handle(ctx: Context, email: str, product_id: int = 3) -> None:
        await ctx.ack()
        raise OSError

    assert await deliver(handling(consumer), PACKING) == Finished()


async def test_interceptors_may_pass_on_another_context_or_nothing() -> None:
    """Without the call the attempt succeeds; what they raise counts as a handler's."""
    consumer, seen = Consumer(Ship), list[int]()

    @consumer.on(Ship.packing)
    async def handle(ctx: Context, email: str, product_id: int = 3) -> None:
        seen.append(ctx.attempt)

    async def replaced(ctx: Context, call_next: Callable[[Context], Awaitable[None]]) -> None:
        await call_next(context(attempt=7))

    async def swallowed(ctx: Context, call_next: Callable[[Context], Awaitable[None]]) -> None:
        """Call nothing."""

    async def refused(ctx: Context, call_next: Callable[[Context], Awaitable[None]]) -> None:
        raise Reject("not today")

    assert await deliver(handling(consumer, replaced), PACKING) == Finished()
    assert await deliver(handling(consumer, swallowed), PACKING) == Finished()
    assert isinstance(await deliver(handling(consumer, refused), PACKING), NewDeadLetter)
    assert seen == [7]


async def test_a_cancellation_passes_and_is_a_failure_unless_its_owner_wanted_it() -> None:
    """A stop, or a lost lease, is not the event's failure; what else cancels its task is."""
    consumer, running = Consumer(Ship), asyncio.Event()

    @consumer.on(Ship.packing)
    async def handle(ctx: Context, email: str, product_id: int = 3) -> None:
        running.set()
        await asyncio.Event().wait()

    to = handling(consumer)
    task = asyncio.create_task(deliver(to, PACKING))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await task
    ctx = to.context_of(context().metadata, EventKey(1), 1, no_ack, None)
    assert to.failed(ctx, 1, cancelled.value) == RetryLater(SECOND)
    last = to.failed(ctx, 3, cancelled.value)
    assert isinstance(last, NewDeadLetter)
    assert (last.error, last.detail) == ("asyncio.exceptions.CancelledError", "")
    assert last.place[0].endswith(" in handle")


async def test_the_policy_counts_attempts_of_the_events_own() -> None:
    """Not deliveries as the server counts them, which include crashes beside others."""
    to = handling(raising(ValueError()))
    ctx = to.context_of(context(event="packing").metadata, EventKey(1), 9, no_ack, None)
    assert await to.handle(LoadedEvent(ctx.metadata, to.routes.of(ctx.metadata), PACKING), ctx, 2) == RetryLater(SECOND)
    assert isinstance(
        await to.handle(LoadedEvent(ctx.metadata, to.routes.of(ctx.metadata), PACKING), ctx, 3), NewDeadLetter
    )


async def test_metrics_name_only_events_that_the_contract_knows() -> None:
    """Names from the wire are unbounded, labels must not be."""
    to = handling(Consumer(Ship))
    assert to.routes.attributes_of("packing") == {"uri": "ship", "event": "packing"}
    assert to.routes.attributes_of("made-up-71") == {"uri": "ship", "event": "unknown"}
