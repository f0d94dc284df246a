"""A proxy in front of an object store that delays each answer, and counts requests: a distant S3 on this machine.

It delays every byte of an answer by as much as the first, so it limits neither bandwidth nor connections. It is a
process by itself, on uvloop where there is one, so that it takes little from what is measured: about 50 microseconds a
request, a tenth of what the object store takes.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter, deque
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, cast

LOOPBACK = "127.0.0.1"
_ROOT = Path(__file__).parents[1]


class Requests(NamedTuple):
    """How many requests passed."""

    put: int
    get: int


class DelayProxy:
    """The proxy as its owner sees it; use it as a context manager."""

    def __init__(self, port: int) -> None:
        """Start the process in front of the server on this loopback port."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.delay_proxy", str(port)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="ascii",
        )
        self.endpoint = f"http://{LOOPBACK}:{self._answer()}"

    def delay(self, milliseconds: int) -> None:
        """Delay what is answered from now on."""
        self._ask(f"delay {milliseconds}")

    def requests(self) -> Requests:
        """Return how many requests passed since the last call."""
        put, get = self._ask("requests").split()
        return Requests(int(put), int(get))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, question: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if not (answer := self._process.stdout.readline()):
            raise RuntimeError("The proxy has ended.")
        return answer.strip()


class _Proxy:
    """The state of the process."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.delay_seconds = 0.0
        self.requests = Counter[bytes]()


class _ToClient(asyncio.Protocol):
    """One connection of a client, and its own to the server."""

    def __init__(self, proxy: _Proxy) -> None:
        self._proxy = proxy
        self._early: list[bytes] = []
        self._server: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._connecting = asyncio.ensure_future(self._connect())

    def data_received(self, data: bytes) -> None:
        """Pass on: a request begins a chunk, as clients wait for the answer to the one before."""
        if data.startswith((b"PUT ", b"GET ")):
            self._proxy.requests[data[:3]] += 1
        if self._server is None:
            self._early.append(data)
        else:
            self._server.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        if self._server is not None:
            self._server.close()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        self._server, _ = await loop.create_connection(
            lambda: _ToServer(self._proxy, self.transport), LOOPBACK, self._proxy.port
        )
        self._server.writelines(self._early)
        self._early.clear()


class _ToServer(asyncio.Protocol):
    """The connection to the server of one client."""

    def __init__(self, proxy: _Proxy, client: asyncio.Transport) -> None:
        self._proxy = proxy
        self._client = client
        self._late = deque[bytes]()
        self._later = asyncio.get_running_loop().call_later

    def data_received(self, data: bytes) -> None:
        if self._proxy.delay_seconds == 0 and not self._late:
            if not self._client.is_closing():
                self._client.write(data)
        else:
            self._late.append(data)
            self._later(self._proxy.delay_seconds, self._pass_on)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._client.close()

    def _pass_on(self) -> None:
        answer = self._late.popleft()
        if not self._client.is_closing():
            self._client.write(answer)


async def _serve(port: int) -> None:
    """Serve until the standard input ends; each of its lines is a question."""
    proxy, loop = _Proxy(port), asyncio.get_running_loop()
    server = await loop.create_server(lambda: _ToClient(proxy), LOOPBACK, 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    while question := await asyncio.to_thread(sys.stdin.readline):
        if question.startswith("delay "):
            proxy.delay_seconds = int(question.split()[1]) / 1000
            sys.stdout.write("\n")
        else:
            sys.stdout.write(f"{proxy.requests[b'PUT']} {proxy.requests[b'GET']}\n")
            proxy.requests.clear()
        sys.stdout.flush()


if __name__ == "__main__":
    try:
        import uvloop
    except ModuleNotFoundError:
        asyncio.run(_serve(int(sys.argv[1])))
    else:
        uvloop.run(_serve(int(sys.argv[1])))
