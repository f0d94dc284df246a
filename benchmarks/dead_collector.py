"""What an OTLP collector costs a command and a stop, by how it is dead, against no collector in the same run."""

from __future__ import annotations

import asyncio
import signal
import socket
import statistics
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cli.running import start_shop
from tests.support.collector import Collector

COMMAND_SECONDS, STOP_SECONDS = 1.0, 2.0
"""What a dead collector may cost."""

_LIFETIME_SECONDS = 16.0
"""A stop waits for a tenth of a worker's life, up to its longest: after so long."""

_NONE = "no collector"


@dataclass(slots=True)
class Contender:
    """One kind of collector, with the variables that name it, and what was measured, in seconds."""

    name: str
    variables: Mapping[str, str]
    commands: list[float] = field(default_factory=list[float])
    stops: list[float] = field(default_factory=list[float])


async def cost(redis: Mapping[str, str], rounds: int) -> str:
    """Measure a command and a stop beside each collector, in turn, in each round; the first command does not count."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contenders = [Contender(_NONE, redis)]
        for name, address in _collectors(stack).items():
            contenders.append(Contender(name, {**redis, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}"}))
        for number in range(rounds + 1):
            for each in contenders:
                seconds = await asyncio.to_thread(_command, each.variables, folder)
                if number > 0:
                    each.commands.append(seconds)
        for _ in range(max(rounds // 2, 1)):
            await asyncio.to_thread(_stop_all, contenders, folder)
    return _report(contenders)


def _collectors(stack: ExitStack) -> dict[str, str]:
    """Return the addresses of collectors: one that works, and three that do not."""
    silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return {
        "a collector that answers": stack.enter_context(Collector()).address,
        "one that refuses connections": "127.0.0.1:1",
        "one that never answers": f"127.0.0.1:{silent.getsockname()[1]}",
        "one whose host drops packets": stack.enter_context(_dropping()),
    }


@contextmanager
def _dropping() -> Generator[str]:
    """A port of which Linux drops what would connect: its queue of connections is full and nobody takes one."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(2):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"


def _command(variables: Mapping[str, str], folder: Path) -> float:
    """Return how long it takes to produce an event from the command line."""
    started = time.perf_counter()
    process = start_shop("produce", "closed", temporary=folder, environment=variables)
    _, errors = process.communicate(timeout=60)
    if process.returncode != 0:
        raise RuntimeError(errors)
    return time.perf_counter() - started


def _stop_all(contenders: list[Contender], folder: Path) -> None:
    """Let workers live side by side, then stop one after the other."""
    workers = [start_shop("worker", temporary=folder, environment=each.variables) for each in contenders]
    time.sleep(_LIFETIME_SECONDS)
    for each, worker in zip(contenders, workers, strict=True):
        started = time.perf_counter()
        worker.send_signal(signal.SIGTERM)
        _, errors = worker.communicate(timeout=60)
        if worker.returncode != 0:
            raise RuntimeError(errors)
        each.stops.append(time.perf_counter() - started)


def _report(contenders: list[Contender]) -> str:
    lines = ["A dead OTLP collector: one `produce`, and the stop of a worker that ran for a quarter of a minute"]
    none = contenders[0]
    for each in contenders:
        command, stop = statistics.median(each.commands), statistics.median(each.stops)
        lines.append(f"  {each.name:<44} command {command:>6.2f} s   stop {stop:>6.2f} s")
    for each in contenders[1:]:
        lines.append(f"  {each.name:<44} {_compared(each.commands, none.commands, COMMAND_SECONDS)}")
        lines.append(f"  {'':<44} {_compared(each.stops, none.stops, STOP_SECONDS, 'stop')}")
    answering = contenders[1]
    lines.append("  The same against the one that answers, that is, without the import of the SDK:")
    for each in contenders[2:]:
        lines.append(f"  {each.name:<44} {_compared(each.commands, answering.commands, COMMAND_SECONDS)}")
        lines.append(f"  {'':<44} {_compared(each.stops, answering.stops, STOP_SECONDS, 'stop')}")
    return "\n".join(lines)


def _compared(ours: list[float], without: list[float], wanted: float, what: str = "command") -> str:
    """Return the medians over the rounds of the ratio and of the difference."""
    pairs = list(zip(ours, without, strict=True))
    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
    seconds = statistics.median(mine - theirs for mine, theirs in pairs)
    verdict = "reached" if seconds < wanted else "NOT reached"
    return f"{what:<7} {ratio:>6.2f}x   {seconds:>+5.2f} s   wanted below {wanted:g} s: {verdict}"
