"""An embedded Redis-compatible server, for demo and tests."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from event_backbone.errors import ConfigurationError
from event_backbone.testing.embedded_server import EmbeddedServer
from event_backbone.testing.free_port import LOOPBACK, free_port
from event_backbone.testing.redis_binary import find_redis_binary
from event_backbone.testing.resp import RefusedCommand, Reply, ask

_READY_WITHIN = timedelta(seconds=20)
_PORT_TRIES = 10
_ANSWER_WITHIN = timedelta(seconds=5)
ANSWER_SOON = timedelta(seconds=1)
"""For questions to one of several servers: one that is suspended must not hold up the others for long."""


class RedisServer(EmbeddedServer):
    """A server on the loopback address and on a unix socket, started at once; use it as a context manager.

    It ends with its owner, also when that crashes or is killed, and leaves no folder behind. It keeps nothing on disk
    by default: with ``append_only`` every acknowledged write survives ``kill`` and ``restart`` (fsync before the
    reply), and with ``directory`` it also survives the server object; that directory is the caller's and stays.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        binary: str | Path | None = None,
        append_only: bool = False,
        directory: str | Path | None = None,
        arguments: Sequence[str] = (),
        name: str = "The Redis server",
    ) -> None:
        """Start the server and wait until it answers.

        Args:
            port: the TCP port; None takes a free one.
            binary: the server to run; None looks it up, see ``find_redis_binary``.
            append_only: keep an append-only file.
            directory: where data files are written; None keeps them in a temporary folder.
            arguments: further options, such as ``("--maxmemory", "10mb")``.
            name: how error messages begin.

        Raises:
            ConfigurationError: no server is installed, or it does not start; the text says why.
        """
        super().__init__(name, port)
        self._binary = find_redis_binary(binary)
        self._directory = None if directory is None else Path(directory).absolute()
        kept = ("--appendonly", "yes", "--appendfsync", "always") if append_only else ("--appendonly", "no")
        self._options = (*kept, "--save", "", *arguments)
        self._start_or_clean_up()

    @property
    def url(self) -> str:
        """The address over TCP."""
        return f"redis://{LOOPBACK}:{self.port}"

    @property
    def socket_url(self) -> str:
        """The address over the unix socket."""
        return f"unix://{self._socket()}"

    def environment(self) -> dict[str, str]:
        """The variables that point an application at this server."""
        return {"REDIS_EVENT_SOURCE_ENDPOINT": self.url}

    def start(self) -> None:
        """Start the server and wait until it answers; after ``kill`` on the same port and with the files it left.

        Does nothing while it runs.
        """
        process = self._prepared()
        if process.running:
            return
        for _ in range(_PORT_TRIES):
            port = self._port or free_port()
            process.start(self._command(port))
            # Asked over its own socket: on the port another server might answer, if that one was quicker to bind it.
            if process.wait_until(self._answers, _READY_WITHIN):
                self._port = port
                return
            if not self._may_try_other_ports():
                break
        raise self._does_not_start()

    def restart(self) -> None:
        """Stop the server gracefully, then start it on the same port, with what its append-only file holds."""
        self._started().terminate()
        self.start()

    def command(self, *parts: str | int, timeout: timedelta = _ANSWER_WITHIN) -> Reply:
        """Send one command over the unix socket and return the reply.

        Raises:
            OSError: the server does not answer, or not in time.
            ConfigurationError: the server refuses the command; the text says why.
        """
        try:
            return ask(self._socket(), *parts, timeout_seconds=timeout.total_seconds())
        except RefusedCommand as error:
            raise ConfigurationError(f"{self._name} refuses {parts[0]}: {error}") from None

    def flush(self) -> None:
        """Remove every key of every database."""
        self.command("FLUSHALL")

    def stop(self) -> None:
        """End the server and remove its temporary folder. May be called twice."""
        if self._process is not None and self._directory is None:
            self._process.kill()  # nothing is kept, and a graceful stop takes the server a tenth of a second
        super().stop()

    def _socket(self) -> Path:
        return self._started().folder / "redis.sock"

    def _command(self, port: int) -> list[str]:
        return [
            *(str(self._binary), "--bind", LOOPBACK, "--port", str(port)),
            *("--unixsocket", str(self._socket()), "--unixsocketperm", "700"),
            *("--dir", str(self._directory or self._started().folder), "--daemonize", "no", "--logfile", ""),
            *self._options,
        ]

    def _may_try_other_ports(self) -> bool:
        return self._port is None

    def _answers(self) -> bool:
        try:
            return self.command("PING") == b"PONG"
        except OSError:
            return False
        except ConfigurationError as error:
            return "NOAUTH" in str(error)  # it is up, and has a password
