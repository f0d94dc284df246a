"""Dead letters whose events have left the stream: each is redriven from the archive, to its own group alone."""

from collections.abc import Callable
from datetime import timedelta
from typing import cast

import pytest

from event_backbone import Backbone, Consumer, Context, EventKey, EventNotFound, Reject
from event_backbone.connection import RedisConnection
from event_backbone.storage import RedisHashStorage, S3Storage, Storage
from event_backbone.stream.redis import RedisStreams
from tests.archive.conftest import Make
from tests.archive.segments import archived_keys
from tests.archive.test_restore_groups import Deciding
from tests.support.archives import STREAM, archive_all
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within
from tests.support.restoring import entries_in

OTHERS, SENT = "others", "sent-parcels"
UNFINISHED = STREAM.key_of(f"redriven:{GROUP}")
INLINE = RedisHashStorage(inline_up_to_bytes=1024)


class KeepingContexts(Remembering):
    """Remembers the contexts too."""

    def __init__(self) -> None:
        super().__init__()
        self.contexts: list[Context] = []

    async def packed(self, ctx: Context, number: int) -> None:
        """Remember."""
        await super().packed(ctx, number)
        self.contexts.append(ctx)


async def handled(backbone: Backbone, made: Remembering, *, group: str = GROUP, left: int = 0) -> None:
    """Let a group handle everything; ``left`` are parked at the end."""

    async def is_done() -> bool:
        states = [each for each in await backbone.groups(URI) if each.name == group]
        return [(each.unread, each.pending, each.parked) for each in states] == [(0, left, left)]

    async with stopped_within(backbone.subscribe(made.consumer, uri=URI, group=group)):
        await eventually(is_done)


async def leave_the_stream(connection: RedisConnection) -> None:
    """Remove all entries and the payloads beside them, as retention does."""
    newest = (await RedisStreams(connection).stream(STREAM).last_key()).successor()
    await connection.command("XTRIM", STREAM.key, "MAXLEN", 0)
    await connection.command("HSET", STREAM.key_of("archive"), "complete-from", newest.entry_id)
    payloads = cast("list[bytes]", await connection.command("KEYS", f"{STREAM.key_of('payload')}:*"))
    if payloads:
        await connection.command("DEL", *payloads)


async def dead_and_gone(backbone: Backbone, connection: RedisConnection, *numbers: int) -> list[EventKey]:
    """Produce events that the group rejects, and that have left the stream for the archive; return their keys."""
    await pack(backbone, *numbers)
    await handled(backbone, Deciding(reject=numbers))
    await archive_all(backbone, URI)
    await leave_the_stream(connection)
    return sorted([each.key async for each in backbone.dead_letters(URI, GROUP).list()])


def sending(backbone: Backbone, seen: list[Context], *, rejections: int) -> Consumer[Parcels]:
    """Return a consumer that sends each parcel once, and rejects it so many times."""
    consumer, producer = Consumer(Parcels), backbone.producer(Parcels, uri=SENT)

    @consumer.on(Parcels.packed)
    async def packed(ctx: Context, number: int) -> None:
        seen.append(ctx)
        await producer.sent.using(once="parcel")(number, "ada@example.com")
        if len(seen) <= rejections:
            raise Reject("not in the catalogue")

    return consumer


@pytest.mark.parametrize("storage", [RedisHashStorage, lambda: INLINE, S3Storage], ids=["redis-hash", "inline", "s3"])
async def test_it_is_handled_again_as_if_for_the_first_time(
    archiving: Make, connection: RedisConnection, storage: Callable[[], Storage]
) -> None:
    """Under its own key, with its payload; what it has produced once is not produced again.

    When it is rejected again, its dead letter is as before, and can be redriven again.
    """
    seen = list[Context]()
    async with archiving(storage()) as backbone:
        await pack(backbone, 1, 2)
        (first, _) = [each async for each in backbone.reader(URI).scan()]
        letters, consumer = backbone.dead_letters(URI, GROUP), sending(backbone, seen, rejections=3)
        await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=2, concurrency=1))
        await letters.discard_all(keys=[seen[1].metadata.key])
        await archive_all(backbone, URI)
        await leave_the_stream(connection)
        for turn in (2, 3):
            (letter,) = [each async for each in letters.list()]
            assert (letter.key, (await letters.load(letter)).arguments) == (first.key, {"number": 1})
            assert await letters.redrive(letter.id)
            assert not await letters.redrive(letter.id)
            await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
            assert len(seen) == turn + 1
        assert [each async for each in letters.list()] == []
        sent = [each async for each in backbone.reader(SENT).scan()]
    assert [(each.metadata, each.attempt) for each in seen[2:]] == [(first.metadata, 1)] * 2
    assert [each.arguments["number"] for each in sent] == [1, 2]
    assert str(first.key) in sent[0].metadata.headers["once"]
    assert await connection.command("EXISTS", UNFINISHED, STREAM.key_of(f"once:{GROUP}")) == 0


async def test_nobody_else_sees_it(
    archiving: Make,
    s3: FaultyS3,
    connection: RedisConnection,
    counted: CountedMetrics,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not other groups, readers or archivers. What is in the stream then can be neither read nor erased."""
    mine, theirs = Remembering(), Remembering()
    async with archiving() as backbone:
        keys, reader = await dead_and_gone(backbone, connection, 1, 2), backbone.reader(URI)
        await handled(backbone, theirs, group=OTHERS)
        await backbone.dead_letters(URI, GROUP).redrive_all()
        await handled(backbone, mine)
        await handled(backbone, theirs, group=OTHERS)
        await archive_all(backbone, URI)
        assert archived_keys(s3.objects, URI) == list(map(str, keys))
        assert (await backbone.archive_state(URI)).lag == timedelta(0)
        assert [each.key async for each in reader.scan()] == keys
        assert [each.key async for each in reader.scan(last=1)] == keys[-1:]
        redriven = await entries_in(connection, STREAM.key)
        for key, _ in redriven:
            with pytest.raises(EventNotFound):
                await reader.get(key)
            with pytest.raises(EventNotFound):
                await backbone.erase(URI, key)
    assert (len(redriven), sorted(mine.numbers), theirs.numbers) == (2, [1, 2], [])
    assert counted.count("event_backbone.delivered", group=OTHERS) == 0
    assert counted.count("event_backbone.skipped") == counted.count("event_backbone.vanished") == 0
    assert "wire format" not in caplog.text


async def test_it_comes_in_its_turn_and_once(archiving: Make, connection: RedisConnection) -> None:
    """After what the group has not read yet: if it were pending before that is read, it would be delivered again."""
    made = Remembering()
    async with archiving() as backbone:
        await dead_and_gone(backbone, connection, 1)
        await pack(backbone, *range(2, 30))
        assert (await backbone.dead_letters(URI, GROUP).redrive_all()).events == 1
        await pack(backbone, 30)
        await run_to_the_end(backbone.subscribe(made.consumer, uri=URI, group=GROUP, max_events=30, concurrency=1))
    assert (made.numbers, set(made.attempts)) == ([*range(2, 30), 1, 30], {1})


@pytest.mark.parametrize("lost", ["everything", "the notes of the archive"])
async def test_a_restore_hands_out_what_was_not_finished(
    archiving: Make, connection: RedisConnection, lost: str
) -> None:
    """Whether it was parked or not read yet, and whatever Redis has lost: once, under its own key. Nothing comes twice.

    What was redriven and handled is not handled again.
    """
    finished, parked, made = Remembering(), Deciding(fail=[2]), KeepingContexts()
    async with archiving() as backbone:
        keys = await dead_and_gone(backbone, connection, 1, 2, 3)
        letters = backbone.dead_letters(URI, GROUP)
        for number, consumer, left in ((1, finished, 0), (2, parked, 1)):
            await letters.redrive_all(keys=[keys[number - 1]])
            await handled(backbone, consumer, left=left)
        await letters.redrive_all(keys=[keys[2]])
        await archive_all(backbone, URI)  # which saves the groups too
        assert (finished.numbers, parked.numbers) == ([1], [2])
        if lost == "everything":
            await connection.command("FLUSHDB")
        else:
            await connection.command("HSET", STREAM.key_of("archive"), "committing", "0-0")
        report = await backbone.restore(URI)
        assert (report.archived, report.live, report.duplicates, report.moved) == (3, 0, 0, 0)
        assert [each.key async for each in backbone.reader(URI).scan()] == keys
        await handled(backbone, made)
        assert sorted((ctx.metadata.key, ctx.attempt) for ctx in made.contexts) == [(key, 1) for key in keys[1:]]
        assert await connection.command("EXISTS", UNFINISHED) == 0


@pytest.mark.parametrize("storage", [RedisHashStorage(), INLINE], ids=["redis-hash", "inline"])
async def test_an_event_that_is_erased_once_it_was_redriven_is_skipped(
    archiving: Make, connection: RedisConnection, counted: CountedMetrics, storage: Storage
) -> None:
    """A redriven entry has no payload, so there is no other copy to erase."""
    made = Remembering()
    async with archiving(storage) as backbone:
        (key,) = await dead_and_gone(backbone, connection, 1)
        await backbone.dead_letters(URI, GROUP).redrive_all()
        await backbone.erase(URI, key)
        await handled(backbone, made)
    assert made.numbers == []
    assert counted.count("event_backbone.skipped", reason="erased", event="packed", group=GROUP) == 1


async def test_what_is_in_neither_stream_nor_archive_is_named(archiving: Make, connection: RedisConnection) -> None:
    """Its dead letter stays. Without an archive it says that this is why; a redrive of all goes on with the others."""
    async with archiving() as backbone, archiving(archived=False) as without:
        (archived,) = await dead_and_gone(backbone, connection, 1)
        await pack(backbone, 2)
        await handled(backbone, Deciding(reject=[2]))
        await leave_the_stream(connection)
        letters = backbone.dead_letters(URI, GROUP)
        _, lost = [each async for each in letters.list()]
        with pytest.raises(EventNotFound, match=f"{lost.key} is neither in stream {STREAM.key} nor in its archive"):
            await letters.redrive(lost.id)
        with pytest.raises(EventNotFound, match=f"{lost.key} is no longer in .* without an archive"):
            await without.dead_letters(URI, GROUP).redrive(lost.id)
        assert (await letters.redrive_all(dry_run=True)).events == 2
        redriven = await letters.redrive_all()
        assert (redriven.events, redriven.not_found) == (1, (lost.key,))
        assert archived not in [each.key async for each in letters.list()]


async def test_a_worker_without_the_archive_leaves_a_payload_that_only_that_has_to_others(
    archiving: Make, connection: RedisConnection
) -> None:
    """It is not ready meanwhile, and says why; no attempt is counted."""
    unable, able = Remembering(), Remembering()
    async with archiving(INLINE) as backbone, archiving(archived=False) as without:
        await dead_and_gone(backbone, connection, 1)
        await backbone.dead_letters(URI, GROUP).redrive_all()
        async with stopped_within(without.subscribe(unable.consumer, uri=URI, group=GROUP)) as subscription:
            await eventually(lambda: not subscription.ready)
        await handled(backbone, able)
    assert (unable.numbers, able.numbers, able.attempts) == ([], [1], [1])
