"""Taking deliveries up: each once, wherever it comes from."""

from collections.abc import Sequence
from datetime import timedelta

from event_backbone.metadata import StreamName, new_event_id
from event_backbone.stream.memory import MemoryStreams
from event_backbone.stream.values import Delivery, Lease, NewEntry
from event_backbone.subscription.held import Held
from event_backbone.subscription.intake import Intake
from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.outage import Outage
from event_backbone.subscription.signals import Signals
from event_backbone.subscription.work import Work

STREAM = StreamName.of("intake")
NO_WAIT = timedelta(0)


class Desk:
    """An intake of consumer "me" on a stream in memory, and what it has sent on."""

    def __init__(self, options: SubscriptionOptions | None = None) -> None:
        self.streams = MemoryStreams()
        self.ended = 0
        signals = Signals(STREAM, "group")
        self.held = Held(options or SubscriptionOptions(), signals, self._end)
        self.outage = Outage(signals)
        self.sent: list[Work] = []
        self.reader = self.streams.group_reader(STREAM, "group", "me")
        self.intake = Intake(self.reader, self.held, self.outage, signals, ordinary=self._send, suspicious=self._send)

    async def append(self, count: int) -> None:
        """Append events, and make the group."""
        await self.streams.stream(STREAM).append([NewEntry(new_event_id(), b"{}") for _ in range(count)])
        await self.reader.ensure("beginning")

    async def answer_lost(self) -> Sequence[Delivery]:
        """Read what there is, and lose the answer."""
        return await self.streams.group_reader(STREAM, "group", "me").read(10, NO_WAIT)

    def _send(self, works: Sequence[Work]) -> None:
        self.sent.extend(works)

    def _end(self) -> None:
        self.ended += 1


async def test_events_of_a_lost_answer_are_recovered_once_with_their_attempt_unchanged() -> None:
    """They had been delivered to this consumer, which knew nothing of them."""
    desk = Desk()
    await desk.append(3)
    await desk.answer_lost()
    desk.outage.recovery_due = True
    await desk.intake.recover()
    await desk.intake.recover()
    assert [work.attempt for work in desk.sent] == [1, 1, 1]
    assert not desk.outage.recovery_due


async def test_what_is_held_is_not_taken_up_again() -> None:
    """Not by a recovery, and not by a claim of what has not been renewed."""
    desk = Desk()
    await desk.append(3)
    await desk.intake.read(NO_WAIT)
    await desk.intake.recover()
    assert await desk.intake.claim(100, NO_WAIT) == 0
    assert len(desk.sent) == 3


async def test_the_same_event_with_another_attempt_replaces_what_was_held() -> None:
    """Its group was made anew meanwhile: the old lease means nothing any more."""
    desk = Desk()
    await desk.append(1)
    (delivery,) = await desk.answer_lost()
    (old,) = desk.held.admit([Delivery(delivery.entry, attempt=4)])
    (new,) = desk.held.admit([delivery])
    assert (old.lost, new.lost, new.lease) == (True, False, Lease(delivery.entry.key, 1))
    assert desk.held.admit([delivery]) == []


async def test_there_is_room_for_as_many_as_may_be_held() -> None:
    """Reading waits until at most half of them have not been started."""
    desk = Desk(SubscriptionOptions(prefetch=4))
    await desk.append(10)
    assert await desk.intake.read(NO_WAIT)
    assert (len(desk.sent), desk.held.room) == (4, 0)
    assert not await desk.intake.read(NO_WAIT)
    desk.held.move(desk.sent[0], "running")
    desk.held.finish(desk.sent[0])
    assert desk.held.room == 0
    desk.held.move(desk.sent[1], "running")
    assert desk.held.room == 1


async def test_what_is_being_acked_leaves_room_but_not_without_end() -> None:
    """Reading goes on while an ack is under way; an ack that takes for ever stops it."""
    desk = Desk(SubscriptionOptions(prefetch=4))
    await desk.append(20)
    for taken in (4, 8):
        assert await desk.intake.read(NO_WAIT)
        assert len(desk.sent) == taken
        for work in desk.sent[-4:]:
            desk.held.move(work, "settling")
    assert desk.held.room == 0
    desk.held.finish(*desk.sent[:4])
    assert desk.held.room == 4


async def test_no_more_are_taken_than_the_limit_leaves() -> None:
    """Held ones count, and so do finished ones; the end is told once they are at an end."""
    desk = Desk(SubscriptionOptions(max_events=3))
    await desk.append(10)
    await desk.intake.read(NO_WAIT)
    assert (len(desk.sent), desk.held.room) == (3, 0)
    desk.held.lose(desk.sent[0])
    assert desk.held.room == 1
    for work in desk.sent:
        desk.held.finish(work)
    assert (desk.held.finished, desk.ended, desk.held.room) == (2, 0, 1)
    await desk.intake.read(NO_WAIT)
    desk.held.finish(desk.sent[-1])
    assert desk.ended == 1
