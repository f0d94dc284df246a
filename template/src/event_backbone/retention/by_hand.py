"""Retention for people: removes what is due now, and says how a stream is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from event_backbone.errors import ConfigurationError, StreamError
from event_backbone.model import EventKey
from event_backbone.retention.due import due_before
from event_backbone.retention.options import Retention
from event_backbone.retention.trimming import Trimming, Wanted, entry_bytes
from event_backbone.stream.redis.retaining import RedisRetaining
from event_backbone.stream.redis.retention_values import Hold, Interrupted, Survey
from event_backbone.stream.values import key_before

if TYPE_CHECKING:
    from event_backbone.retention.opening import RetainedStream

_SAMPLE = 200
_STEADY = 0.9
_LATE = timedelta(hours=1)
_BY_HAND = ""


@dataclass(frozen=True, slots=True)
class TrimReport:
    """What was removed from a stream, or would be.

    Attributes:
        uri: the URI of the stream.
        before: the key before which events were due.
        removed: how many events were removed.
        payload_bytes: what their payloads beside the stream took of Redis' memory.
        held: why the others that were due have stayed.
        cut: how many of the removed ones each forgotten group has lost unfinished.
        left: how many events the stream has now; in a dry run, how many it would have.
    """

    uri: str
    before: EventKey
    removed: int
    payload_bytes: int
    held: tuple[Hold, ...]
    cut: Mapping[str, int]
    left: int


@dataclass(frozen=True, slots=True)
class RetentionState:
    """How large a stream is, and how it goes on.

    Attributes:
        length: how many events are in the stream.
        stream_bytes: what the stream takes of Redis' memory.
        payload_bytes: about what the payloads beside it take that do not expire.
        oldest: the key of the oldest event; None without one.
        age: how old that is.
        overdue: for how long it has been kept beyond ``max_age``; 0 if it is not.
        held: why it is kept, if it is overdue.
        events_per_second: how many events have been appended lately.
        memory_used: how many bytes Redis uses.
        memory_limit: how many it may use; 0 is no limit.
        full_in: when Redis reaches its limit, if events are appended as lately; None if it does not.
    """

    length: int
    stream_bytes: int
    payload_bytes: int
    oldest: EventKey | None
    age: timedelta
    overdue: timedelta
    held: Hold | None
    events_per_second: float
    memory_used: int
    memory_limit: int
    full_in: timedelta | None


async def trim_by_hand(
    stream: RetainedStream, retention: Retention | None, before: EventKey | datetime | None, *, dry_run: bool
) -> TrimReport:
    """Remove what is due, without the lock; ``Backbone.trim`` has the guarantees."""
    retaining = _retaining(stream)
    survey = await retaining.survey(noting=False)
    due = _due(survey, retention, before)
    trimming = _trimming(stream, retaining)
    await trimming.letters.read(survey.groups)
    wanted = Wanted(
        until=due.predecessor(),
        forgotten=_forgotten(survey),
        entry_bytes=entry_bytes(survey),
        groups=len(survey.groups),
        dry=dry_run,
        measured=True,
    )
    try:
        removed = await trimming.remove(wanted)
        if not dry_run:
            # What stays was not looked at, except among what was removed.
            removed.holds = (await trimming.remove(replace(wanted, dry=True))).holds
    except Interrupted:
        text = f"A restore or migration of stream {stream.scope.stream.key} is under way; trim it afterwards."
        raise StreamError(text) from None
    left = (await retaining.survey(noting=False)).length
    return TrimReport(
        stream.scope.stream.uri,
        due,
        removed.events,
        removed.payload_bytes,
        tuple(removed.holds.values()),
        {group: events for (group, _), events in removed.cuts.items()},
        left - removed.events if dry_run else left,
    )


async def read_state(stream: RetainedStream, retention: Retention | None) -> RetentionState:
    """Return the state of a stream; raises StreamUnavailable."""
    retaining = _retaining(stream)
    survey = await retaining.survey(noting=False)
    per_event = await _payload_bytes(retaining, survey)
    used, limit = await retaining.memory()
    age = timedelta(0) if survey.first is None else max(timedelta(0), survey.now - survey.first.time)
    max_age = None if retention is None else retention.max_age
    overdue = timedelta(0) if max_age is None or age <= max_age else age - max_age
    held = await _holder(_trimming(stream, retaining), survey) if overdue else None
    rate = await _events_per_second(stream, survey)
    growth = rate * (per_event + entry_bytes(survey))
    steady = max_age is not None and held is None and overdue < _LATE and age >= _STEADY * max_age
    return RetentionState(
        survey.length,
        survey.stream_bytes,
        round(per_event * survey.length),
        survey.first,
        age,
        overdue,
        held,
        rate,
        used,
        limit,
        None if not limit or not growth or steady else timedelta(seconds=min(max(0, limit - used) / growth, 1e9)),
    )


async def _payload_bytes(retaining: RedisRetaining, survey: Survey) -> float:
    """Return what the payload of an event takes on average, by some of the oldest and some of the later half."""
    if survey.first is None:
        return 0.0
    middle = EventKey((survey.first.milliseconds + survey.last.milliseconds) // 2, 0, survey.last.partition)
    samples = [await retaining.measure(after, _SAMPLE) for after in (EventKey(0, 0, middle.partition), middle)]
    entries = sum(each for _, each, _ in samples)
    return sum(size for _, _, size in samples) / entries if entries else 0.0


async def _holder(trimming: Trimming, survey: Survey) -> Hold | None:
    """Return why the oldest event stays; None if it does not."""
    if survey.first is None:
        return None
    await trimming.letters.read(survey.groups)
    wanted = Wanted(
        after=survey.first.predecessor(),
        until=survey.first,
        forgotten=_forgotten(survey),
        entry_bytes=0,
        groups=0,
        dry=True,
    )
    return next(iter((await trimming.remove(wanted)).holds.values()), None)


async def _events_per_second(stream: RetainedStream, survey: Survey) -> float:
    newest = await stream.streams.stream(stream.scope.stream).before(None, _SAMPLE)
    if not newest:
        return 0.0
    return len(newest) / max((survey.now - newest[-1].key.time).total_seconds(), 1.0)


def _retaining(stream: RetainedStream) -> RedisRetaining:
    return RedisRetaining(stream.redis, stream.scope.stream, _BY_HAND, stream.places, stream.elsewhere)


def _trimming(stream: RetainedStream, retaining: RedisRetaining) -> Trimming:
    return Trimming(stream.scope, retaining, stream.storages, archived=stream.archived, hold=_no_lock)


def _due(survey: Survey, retention: Retention | None, before: EventKey | datetime | None) -> EventKey:
    partition = survey.last.partition
    if before is not None:
        if isinstance(before, datetime) and before.tzinfo is None:
            raise ConfigurationError("before needs a time zone; datetime.now(UTC) - timedelta(days=7) has one.")
        return key_before(before, partition).successor()
    if retention is None or retention.max_age is None:
        raise ConfigurationError("There is no retention with max_age; say before which event to trim, by before=.")
    return due_before(survey.now, retention.max_age)


def _forgotten(survey: Survey) -> Mapping[str, bytes]:
    return {each.name: each.sign for each in survey.groups if each.forgotten}


async def _no_lock() -> None:
    """Need no lock: each step looks by itself what may be removed."""
