"""An embedded primary with replicas and Sentinels, for tests and development."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from event_backbone.errors import ConfigurationError
from event_backbone.testing.free_port import LOOPBACK
from event_backbone.testing.redis_server import ANSWER_SOON, RedisServer
from event_backbone.testing.resp import Reply, items_of, lines_of, named_values_of
from event_backbone.testing.server_set import ServerSet, ports_from

SERVICE = "events"
# A dead primary is noticed after this long.
_DOWN_AFTER_MILLISECONDS = 700
# A failover that could not be completed is tried again after twice this long.
_FAILOVER_TIMEOUT_MILLISECONDS = 1500
# The Sentinels' own clocks are made for networks. During a failover they look at replicas once a second, and choose
# only one that they saw within the last five ping periods. A Sentinel that has not heard of a requested failover undoes
# it after four publish periods, so these must be longer than a failover takes.
_CLOCKS = ("INFO-PERIOD", 200, "PING-PERIOD", 400, "ASK-PERIOD", 100, "PUBLISH-PERIOD", 500, "ELECTION-TIMEOUT", 1000)


class ReplicatedServer(RedisServer):
    """A server that Sentinels turn into a primary or a replica; which it is is kept in its configuration file."""

    def __init__(self, *, binary: str | Path | None, append_only: bool, arguments: Sequence[str]) -> None:
        """Start the server, at first as a primary."""
        arguments = ("--repl-diskless-sync-delay", "0", *arguments)
        super().__init__(binary=binary, append_only=append_only, arguments=arguments)

    def replication(self) -> list[str]:
        """The lines of its INFO replication; none if it does not answer."""
        try:
            return lines_of(self.command("INFO", "replication", timeout=ANSWER_SOON))
        except (OSError, ConfigurationError):
            return []

    def _command(self, port: int) -> list[str]:
        file = self._prepared().folder / "redis.conf"
        file.touch()
        command = super()._command(port)
        return [command[0], str(file), *command[1:]]


class SentinelServer(RedisServer):
    """A Sentinel; whom it watches is kept in its configuration file."""

    def __init__(self, *, port: int | None, binary: str | Path | None) -> None:
        """Start the Sentinel; it watches nobody yet."""
        super().__init__(port=port, binary=binary, name="The Sentinel")

    def start(self) -> None:
        """Start the Sentinel, after ``kill`` on the same port and with what it knew."""
        super().start()
        self.command("SENTINEL", "DEBUG", *_CLOCKS)

    def watch(self, primary: RedisServer, quorum: int) -> None:
        """Watch this primary, and its replicas."""
        self.command("SENTINEL", "MONITOR", SERVICE, LOOPBACK, primary.port, quorum)
        self.command("SENTINEL", "SET", SERVICE, "down-after-milliseconds", _DOWN_AFTER_MILLISECONDS)
        self.command("SENTINEL", "SET", SERVICE, "failover-timeout", _FAILOVER_TIMEOUT_MILLISECONDS)

    def primary(self) -> dict[str, str]:
        """What the Sentinel knows of the primary; nothing if it does not answer."""
        return named_values_of(self._know("MASTER"))

    def knows(self, ports: Collection[str], others: int) -> bool:
        """Whether it finds the servers at these ports, and at least so many other Sentinels, healthy."""
        primary, replicas = self.primary(), map(named_values_of, items_of(self._know("REPLICAS")))
        healthy = {each["port"] for each in replicas if each["flags"] == "slave" and each["master-link-status"] == "ok"}
        healthy |= {primary["port"]} if primary.get("flags") == "master" else set()
        return healthy >= set(ports) and int(primary.get("num-other-sentinels", -1)) >= others

    def _know(self, what: str) -> Reply:
        try:
            return self.command("SENTINEL", what, SERVICE, timeout=ANSWER_SOON)
        except (OSError, ConfigurationError):
            return None

    def _command(self, port: int) -> list[str]:
        file = self._prepared().folder / "sentinel.conf"
        file.touch()
        return [
            *(str(self._binary), str(file), "--sentinel", "--bind", LOOPBACK, "--port", str(port)),
            *("--unixsocket", str(self._socket()), "--unixsocketperm", "700"),
            *("--dir", str(file.parent), "--daemonize", "no", "--logfile", ""),
        ]


class RedisSentinel(ServerSet):
    """A primary with replicas and the Sentinels that watch them; started at once, in about a second.

    It ends with its owner, also when that crashes or is killed, and leaves no folder behind. ``kill``, ``start``,
    ``restart`` and ``pid`` of a server are for tests of faults: a primary that is dead or suspended for 0.7 seconds is
    replaced by a replica, within about as long again.
    """

    name = "The Redis servers under Sentinel"

    def __init__(
        self,
        *,
        replicas: int = 1,
        sentinels: int = 3,
        port: int | None = None,
        binary: str | Path | None = None,
        append_only: bool = False,
        arguments: Sequence[str] = (),
    ) -> None:
        """Start all servers and wait until the Sentinels know them and each other, and the replicas are in sync.

        Args:
            replicas: the replicas of the primary, at least one.
            sentinels: the Sentinels, at least one; a majority of them decides.
            port: the port of the first Sentinel, the others take those after it; None takes free ones.
            binary: the server to run; None looks it up, see ``find_redis_binary``.
            append_only: keep an append-only file, so that a server that is killed and started again has its data.
            arguments: further options for primary and replicas, such as ``("--maxmemory", "10mb")``.

        Raises:
            ConfigurationError: no server is installed, or one does not start; the text says why.
        """
        if replicas < 1 or sentinels < 1:
            raise ConfigurationError("Sentinel needs at least one replica and one Sentinel.")
        super().__init__()
        server = partial(ReplicatedServer, binary=binary, append_only=append_only, arguments=arguments)
        sentinel = partial(SentinelServer, binary=binary)
        self._servers: list[ReplicatedServer] = []
        self._sentinels: list[SentinelServer] = []
        try:
            makers: list[Callable[[], RedisServer]] = [server] * (1 + replicas)
            started = self._start(makers + [partial(sentinel, port=each) for each in ports_from(port, sentinels)])
            self._servers = [each for each in started if isinstance(each, ReplicatedServer)]
            self._sentinels = [each for each in started if isinstance(each, SentinelServer)]
            self._connect()
        except BaseException:
            self.stop()
            raise

    @property
    def servers(self) -> tuple[ReplicatedServer, ...]:
        """Primary and replicas, also those that were killed; the first was the primary at the start."""
        return tuple(self._servers)

    @property
    def sentinels(self) -> tuple[SentinelServer, ...]:
        """The Sentinels, also those that were killed."""
        return tuple(self._sentinels)

    @property
    def url(self) -> str:
        """The endpoint, with the addresses of all Sentinels."""
        return "redis+sentinel://" + ",".join(f"{LOOPBACK}:{each.port}" for each in self._sentinels) + f"/{SERVICE}"

    @property
    def primary(self) -> ReplicatedServer:
        """The server that is the primary, by what most Sentinels know by now."""
        ports = [port for each in self._sentinels if (port := each.primary().get("port"))]
        if not ports:
            raise ConfigurationError("No Sentinel answers.")
        port = max(ports, key=ports.count)
        return next(each for each in self._servers if str(each.port) == port)

    @property
    def replicas(self) -> tuple[ReplicatedServer, ...]:
        """The other servers, also those that were killed."""
        primary = self.primary
        return tuple(each for each in self._servers if each is not primary)

    def flush(self) -> None:
        """Remove every key of every database."""
        self.primary.flush()

    def failover(self) -> ReplicatedServer:
        """Wait until all is healthy, then let the Sentinels make a replica the primary; return it once they all know.

        What the old primary accepts meanwhile is lost, as when a network is divided. ``wait_ready`` waits until it is a
        replica.

        Raises:
            ConfigurationError: the Sentinels refuse; the text says why.
        """
        self.wait_ready()
        old = self.primary
        next(each for each in self._sentinels if each.primary()).command("SENTINEL", "FAILOVER", SERVICE)
        self._wait_until(lambda: self._known_primary() not in {"", str(old.port)})
        return self.primary

    def _connect(self) -> None:
        primary, *replicas = self._servers
        for replica in replicas:
            replica.command("REPLICAOF", LOOPBACK, primary.port)
            replica.command("CONFIG", "REWRITE")
        for sentinel in self._sentinels:
            sentinel.watch(primary, len(self._sentinels) // 2 + 1)
        self.wait_ready()

    def _known_primary(self) -> str:
        """The port of the primary if all Sentinels that answer know the same, else nothing."""
        ports = {known["port"] for each in self._sentinels if (known := each.primary())}
        return ports.pop() if len(ports) == 1 else ""

    def _missing(self) -> str:
        port = self._known_primary()
        if not port:
            return "the Sentinels do not know the same primary yet."
        answering = {str(each.port): lines for each in self._servers if (lines := each.replication())}
        if "role:master" not in answering.get(port, []):
            return f"the primary at port {port} does not answer."
        if waiting := [each for each, lines in answering.items() if each != port and not _follows(lines, port)]:
            return f"the server at port {waiting[0]} is not a replica in sync yet."
        watching = [each for each in self._sentinels if each.primary()]
        unaware = [each for each in watching if not each.knows(answering.keys(), len(watching) - 1)]
        return f"the Sentinel at port {unaware[0].port} does not know all others yet." if unaware else ""


def _follows(replication: Sequence[str], port: str) -> bool:
    return {"role:slave", f"master_port:{port}", "master_link_status:up"} <= set(replication)
