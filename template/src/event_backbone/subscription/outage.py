"""What a subscription does while Redis does not answer: tries again, less and less often, and reports it once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic
from typing import TypeVar

from event_backbone.backoff import Backoff, Delays
from event_backbone.errors import StreamUnavailable
from event_backbone.subscription.monitoring import Monitor

T = TypeVar("T")

BACKOFF = Backoff(first=timedelta(milliseconds=50), longest=timedelta(seconds=5), jitter=0.5)
"""Of whatever a subscription tries again while Redis or a storage does not answer."""


class Outage:
    """Whether Redis answers. Every loop of a subscription reports here, so that an outage is logged once."""

    def __init__(self, monitor: Monitor) -> None:
        """Begin without an outage."""
        self._monitor = monitor
        self._since: float | None = None

    @property
    def lasts(self) -> bool:
        """Whether the last call was not answered."""
        return self._since is not None

    def report(self, error: StreamUnavailable) -> None:
        """Report a failed call."""
        if self._since is None:
            self._since = monotonic()
            self._monitor.outage_began(error)

    def ended(self) -> None:
        """Report a call that was answered."""
        if self._since is not None:
            lasted, self._since = monotonic() - self._since, None
            self._monitor.outage_ended(timedelta(seconds=round(lasted, 3)))

    async def outlast(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat ``call`` until it is answered, and return the answer."""
        delays = Delays(BACKOFF)
        while True:
            try:
                answer = await call()
            except StreamUnavailable as error:
                self.report(error)
                await delays.wait()
            else:
                self.ended()
                return answer


class Refusals:
    """Calls that Redis refuses while it answers others, as a full server does: reported once, and repeated."""

    def __init__(self, outage: Outage) -> None:
        """Report to ``outage``."""
        self._outage = outage
        self._delays = Delays(BACKOFF)
        self._last = False

    def next(self, error: StreamUnavailable) -> timedelta:
        """Note a refused call, and return after how long to try it again."""
        if not self._last:
            self._last = True
            self._outage.report(error)
        return self._delays.next()

    def ended(self) -> None:
        """Note a call that was carried out."""
        self._last = False
        self._delays.reset()
