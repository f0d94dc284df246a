"""What embedded servers have in common: they start, answer, and end with their owner."""

from abc import ABC, abstractmethod
from datetime import timedelta
from types import TracebackType
from typing import Self

from event_backbone.errors import ConfigurationError
from event_backbone.testing.process import OwnedProcess

_READY_WITHIN = timedelta(seconds=30)


class EmbeddedServer(ABC):
    """A server process on the loopback address; use it as a context manager.

    It ends with its owner, also when that crashes or is killed, and its temporary folder is removed.
    """

    def __init__(self, name: str, port: int | None) -> None:
        """Prepare a server on this port, or on a free one; ``name`` begins its error messages."""
        self._name = name
        self._port: int | None = port
        self._process: OwnedProcess | None = None

    def __enter__(self) -> Self:
        self._start_or_clean_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The TCP port on the loopback address; it stays the same over restarts."""
        if self._port is None:
            raise ConfigurationError(f"{self._name} was never started.")
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the server, for tests that suspend and continue it."""
        return self._started().pid

    @abstractmethod
    def start(self) -> None:
        """Start the server, also after ``kill``, on the same port. Does nothing while it runs."""

    def wait_ready(self, timeout: timedelta = _READY_WITHIN) -> None:
        """Wait until the server answers.

        Raises:
            ConfigurationError: it ended, or did not answer in time.
        """
        if not self._started().wait_until(self._answers, timeout):
            raise self._does_not_start()

    def kill(self) -> None:
        """End the server at once, as a crash would (SIGKILL)."""
        self._started().kill()

    def stop(self) -> None:
        """End the server and remove its temporary folder. May be called twice."""
        if self._process is not None:
            self._process.close()
            self._process = None

    @abstractmethod
    def _answers(self) -> bool:
        """Return whether the server is ready for requests."""

    def _start_or_clean_up(self) -> None:
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def _prepared(self) -> OwnedProcess:
        """Return the process and its folder; made on first use, so that a server that never starts leaves nothing."""
        self._process = self._process or OwnedProcess(self._name)
        return self._process

    def _started(self) -> OwnedProcess:
        if self._process is None:
            raise ConfigurationError(f"{self._name} is not running; start it first.")
        return self._process

    def _does_not_start(self) -> ConfigurationError:
        return ConfigurationError(f"{self._name} does not start: {self._started().last_words()}")
