"""Which groups are forgotten: no member has looked for too long, and none looks while this process watches."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from event_backbone.model import StreamName

if TYPE_CHECKING:
    from event_backbone.stream.redis.retaining import RedisRetaining
    from event_backbone.stream.redis.retention_values import GroupLife, Survey

_MILLISECOND = timedelta(milliseconds=1)

_log = logging.getLogger("event_backbone")


class Forgetting:
    """Decides which groups of one stream are forgotten.

    A running member looks at least every second. So a group is forgotten when its last look is too long ago by the
    server's clock, and it has not looked once while this process watched it for ``watch_for``: a clock that jumps, or
    machines that slept, never make a running group a forgotten one.
    """

    def __init__(
        self, retaining: RedisRetaining, stream: StreamName, after: timedelta | None, *, watch_for: timedelta
    ) -> None:
        """Forget groups ``after`` their last look; None is never."""
        self._retaining = retaining
        self._stream = stream
        self._after = after
        self._watch_for = watch_for.total_seconds()
        self._watched: dict[tuple[str, bytes, int], float] = {}

    async def forgotten(self, survey: Survey) -> Mapping[str, bytes]:
        """Return the forgotten groups, each with the sign of its last look. Raises StreamUnavailable."""
        if self._after is None:
            return {}
        now = int(survey.now.timestamp() * 1000)
        longest = self._after // _MILLISECOND
        overdue = {each.name: each for each in survey.groups if each.forgotten or now - each.looked > longest}
        watched = {_sign(each): self._watched.get(_sign(each), monotonic()) for each in overdue.values()}
        self._watched = watched
        found: dict[str, bytes] = {}
        for name, group in overdue.items():
            if group.forgotten or (self._has_watched(group) and await self._forget(group)):
                found[name] = group.sign
        return found

    def _has_watched(self, group: GroupLife) -> bool:
        return monotonic() - self._watched[_sign(group)] >= self._watch_for

    async def _forget(self, group: GroupLife) -> bool:
        if not await self._retaining.forget(group):
            return False
        _log.warning(
            "Group %s of %s has had no consumer for %s: it no longer keeps events in Redis. If it returns, it is told "
            "how many it has missed.",
            group.name,
            self._stream.key,
            str(self._after).removesuffix(", 0:00:00"),
        )
        return True


def _sign(group: GroupLife) -> tuple[str, bytes, int]:
    return group.name, group.sign, group.looked
