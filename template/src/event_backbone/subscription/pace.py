"""How fast a subscription handles events: this bounds what it takes ahead."""

from __future__ import annotations

from time import perf_counter

_WEIGHT = 1 / 16
# At less than one event a second one is taken ahead, however slow they are; and idle times count while a handler hangs.
_LONGEST_SECONDS = 1.0


class Pace:
    """Estimates events per second from the times between the ends of handled events, idle times left out.

    The mean is exponential, so that it follows within some twenty events. While nothing ends, the estimate sinks with
    the time that has passed: events that hang do not let others be taken ahead. ``since`` is when an event last
    ended, or began while no other one ran (``perf_counter``).
    """

    def __init__(self, concurrency: int) -> None:
        """Begin with a guess: ``concurrency`` events a second."""
        self._concurrency = concurrency
        self._mean_seconds = 1 / concurrency
        self.since = perf_counter()
        self._busy = False

    def began(self, now: float) -> None:
        """Note that an event begins at ``now`` (``perf_counter``) while no other one runs."""
        self.since = now
        self._busy = True

    def ended(self, now: float, *, last: bool) -> None:
        """Note an event that has ended; ``last`` says that nothing else runs."""
        seconds = min(now - self.since, _LONGEST_SECONDS)
        self._mean_seconds += (seconds - self._mean_seconds) * _WEIGHT
        self.since = now
        self._busy = not last

    def ended_together(self, now: float, events: int, *, last: bool) -> None:
        """Note so many events that have ended at once, as if they had ended one by one, evenly."""
        seconds = min((now - self.since) / events, _LONGEST_SECONDS)
        self._mean_seconds += (seconds - self._mean_seconds) * (1 - (1 - _WEIGHT) ** events)
        self.since = now
        self._busy = not last

    @property
    def per_second(self) -> float:
        """How many events end in a second."""
        seconds = self._mean_seconds
        if self._busy:
            seconds = max(seconds, (perf_counter() - self.since) / self._concurrency)
        return 1 / max(seconds, 1e-6)
