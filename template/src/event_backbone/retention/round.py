"""One round of retention: what is due is removed, and what is left over is reported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING

from event_backbone import telemetry
from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey
from event_backbone.retention.due import due_before
from event_backbone.retention.forgetting import Forgetting
from event_backbone.retention.options import Retention
from event_backbone.retention.payload_bytes import PayloadBytes
from event_backbone.retention.sweep import Sweep
from event_backbone.retention.trimming import Removed, Trimming, Wanted, entry_bytes
from event_backbone.stream.group_admin import GroupAdmin
from event_backbone.stream.redis.retention_values import Interrupted, Survey

if TYPE_CHECKING:
    from event_backbone.stream.redis.retaining import RedisRetaining

_LETTERS_AT_ONCE = 100
_SWEEP_FIRST_SECONDS = 60.0
_SWEEP_AGAIN_SECONDS = 3600.0
_FROM_FIRST_SECONDS = 300.0
_MANY_HELD = 2000
_MOST_PASSES = 20  # of one round, as producers may be as fast

_log = logging.getLogger("event_backbone")


class Round:
    """Everything that retention does on one stream, for the process that has the lock."""

    def __init__(
        self,
        retention: Retention,
        retaining: RedisRetaining,
        *,
        trimming: Trimming,
        forgetting: Forgetting,
        payload_bytes: PayloadBytes | None,
        sweep: Sweep,
        admin: Callable[[str], GroupAdmin],
    ) -> None:
        """Do nothing yet; without ``payload_bytes`` there are no payloads beside the stream that count."""
        self._retention = retention
        self._retaining = retaining
        self._trimming = trimming
        self._forgetting = forgetting
        self._payload_bytes = payload_bytes
        self._sweep = sweep
        self._admin = admin
        self.begin()

    def begin(self) -> None:
        """Begin from nothing: another process may have done anything meanwhile."""
        self._after, self._after_until = EventKey(0), 0.0
        self._trimming.letters.forget()
        self._sweep_at = monotonic() + _SWEEP_FIRST_SECONDS
        if self._payload_bytes is not None:
            self._payload_bytes.forget()

    async def run(self) -> Removed:
        """Carry out one round, and return what was removed.

        Raises:
            Interrupted: another process has the lock, or a restore is under way.
            EventsLost: Redis has lost archived events; nothing is removed before they are restored.
            StreamUnavailable, StorageUnavailable: Redis, or another one that has payloads, does not answer.
        """
        try:
            return await self._run()
        except Interrupted:
            self.begin()
            raise

    async def _run(self) -> Removed:
        survey = await self._retaining.survey()
        if await self._expire_dead_letters(survey):
            survey = await self._retaining.survey()
        forgotten = await self._forgetting.forgotten(survey)
        await self._trimming.letters.read(survey.groups)
        removed = await self._by_age(survey, forgotten)
        if self._retention.max_bytes is not None:
            if removed.events:
                survey = await self._retaining.survey()
            await self._by_bytes(self._retention.max_bytes, survey, forgotten, removed)
        if monotonic() >= self._sweep_at:
            self._sweep_at = monotonic() + _SWEEP_AGAIN_SECONDS
            survey = await self._retaining.survey()
            await self._expire_those_of_deleted_groups(survey)
            await self._sweep.run(survey)
        return removed

    async def _by_age(self, survey: Survey, forgotten: Mapping[str, bytes]) -> Removed:
        if self._retention.max_age is None or survey.first is None:
            return Removed()
        if monotonic() >= self._after_until:
            self._after, self._after_until = EventKey(0, 0, survey.last.partition), monotonic() + _FROM_FIRST_SECONDS
        before = due_before(survey.now, self._retention.max_age)
        wanted = Wanted(
            until=before.predecessor(),
            forgotten=forgotten,
            entry_bytes=entry_bytes(survey),
            groups=len(survey.groups),
            after=self._after,
            measured=self._payload_bytes is not None,
        )
        removed = await self._trimming.remove(wanted)
        # What is held back is looked at again each time, unless that is much.
        if sum(each.events for each in removed.holds.values()) > _MANY_HELD:
            self._after = removed.last or self._after
        if self._payload_bytes is not None:
            self._payload_bytes.removed(removed.events, removed.payload_bytes)
        return removed

    async def _by_bytes(self, most: int, survey: Survey, forgotten: Mapping[str, bytes], removed: Removed) -> None:
        """Remove the oldest events while there are too many bytes: those that nobody needs, and only then others."""
        cutting = False
        for _ in range(_MOST_PASSES):
            if survey.first is None:
                return
            if not survey.stream_bytes:
                raise ConfigurationError(
                    "max_bytes of Retention needs the command MEMORY USAGE, which Redis denies to this user: grant it."
                )
            size = survey.stream_bytes
            if self._payload_bytes is not None:
                size += await self._payload_bytes.measured(survey)
            if size <= most:
                return
            wanted = Wanted(
                until=survey.last,
                forgotten=forgotten,
                entry_bytes=entry_bytes(survey),
                groups=len(survey.groups),
                bytes_over=size - most,
                cutting=cutting,
            )
            freed = await self._trimming.remove(wanted)
            if self._payload_bytes is not None:
                self._payload_bytes.removed(freed.events, freed.payload_bytes)
            removed.include(freed)
            if not freed.events:
                if cutting:
                    return
                cutting = True
            survey = await self._retaining.survey()

    async def _expire_dead_letters(self, survey: Survey) -> bool:
        """Remove dead letters that are too old; return whether there were any."""
        keep, expired = self._retention.dead_letters_for, False
        if keep is None or survey.restoring:
            return False
        before = due_before(survey.now, keep).time
        for group in survey.groups:
            if group.dead_letters and await self._expire_those_of(group.name, before):
                expired = True
        return expired

    async def _expire_those_of_deleted_groups(self, survey: Survey) -> None:
        """Remove what is too old of dead letters that have outlived their group."""
        keep, cursor, ended = self._retention.dead_letters_for, b"0", False
        if keep is None:
            return
        before, names = due_before(survey.now, keep).time, {each.name for each in survey.groups}
        while not ended:
            cursor, groups = await self._retaining.groups_with_letters(cursor)
            for group in groups:
                if group not in names:
                    await self._expire_those_of(group, before)
            ended = cursor == b"0"

    async def _expire_those_of(self, group: str, before: datetime) -> int:
        admin, expired = self._admin(group), 0
        while letters := await admin.dead_letters(None, _LETTERS_AT_ONCE):
            old = [each for each in letters if each.failed_at < before]
            if old:
                expired += await admin.discard(old)
            if len(old) < _LETTERS_AT_ONCE:
                break
        if expired:
            telemetry.dead_letters_expired.add(expired, {"uri": self._retaining.stream.uri, "group": group})
            _log.warning(
                "Dead letters of group %s of %s were removed, as they were older than %s: %d.",
                group,
                self._retaining.stream.key,
                str(self._retention.dead_letters_for).removesuffix(", 0:00:00"),
                expired,
            )
        return expired
