"""What a cluster and Sentinel have in common: several servers that start and end together."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar

from event_backbone.errors import ConfigurationError
from event_backbone.testing.redis_server import RedisServer

READY_WITHIN = timedelta(seconds=30)
_POLL_SECONDS = 0.01

ServerT = TypeVar("ServerT", bound=RedisServer)


def ports_from(first: int | None, count: int) -> list[int | None]:
    """This port and those after it, one for each of so many servers; None for each that takes a free one."""
    return [None if first is None else first + number for number in range(count)]


class ServerSet(ABC):
    """Several servers on the loopback address; use it as a context manager.

    Each ends with its owner, also when that crashes or is killed, and leaves no folder behind. Each has ``pid``,
    ``kill``, ``start`` and ``restart``, for tests that break it.
    """

    name: str

    def __init__(self) -> None:
        """Begin without servers."""
        self._members: list[RedisServer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    @abstractmethod
    def url(self) -> str:
        """The address for ``REDIS_EVENT_SOURCE_ENDPOINT``."""

    def environment(self) -> dict[str, str]:
        """The variables that point an application at these servers."""
        return {"REDIS_EVENT_SOURCE_ENDPOINT": self.url}

    @abstractmethod
    def flush(self) -> None:
        """Remove every key."""

    def wait_ready(self, timeout: timedelta = READY_WITHIN) -> None:
        """Wait until the servers that run agree on one healthy state; after a ``kill``, until a replica took over.

        Raises:
            ConfigurationError: they did not in time; the text says what was missing last.
        """
        self._wait_until(lambda: not self._missing(), timeout)

    def stop(self) -> None:
        """End all servers and remove their temporary folders. May be called twice."""
        for server in self._members:
            server.stop()
        self._members.clear()

    @abstractmethod
    def _missing(self) -> str:
        """What is still missing for ``wait_ready``; empty when nothing is."""

    def _start(self, makers: Sequence[Callable[[], ServerT]]) -> list[ServerT]:
        """Start servers at the same time. Raises the first error; those that started are members, for ``stop``."""

        def start(make: Callable[[], ServerT]) -> ServerT:
            server = make()
            self._members.append(server)  # at once, so that it is stopped whatever becomes of the others
            return server

        with ThreadPoolExecutor(len(makers)) as pool:
            return list(pool.map(start, makers))

    def _wait_until(self, ready: Callable[[], bool], timeout: timedelta = READY_WITHIN) -> None:
        deadline = time.monotonic() + timeout.total_seconds()
        while not ready():
            if time.monotonic() > deadline:
                seconds = f"{timeout.total_seconds():g} seconds"
                raise ConfigurationError(f"{self.name} was not ready within {seconds}: {self._missing()}")
            time.sleep(_POLL_SECONDS)
