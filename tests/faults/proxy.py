"""A proxy in front of a Redis server that cuts, delays, loses or invents answers, or falls silent: what networks do."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext

from hiredis import Reader

_CHUNK_BYTES = 1 << 16
_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)
_COMMAND = re.compile(rb"(?:\A|\r\n)\*\d+\r\n(?=\$)")


class Proxy:
    """Passes everything on, except what it is asked to spoil. Commands are found by their name in the request."""

    def __init__(self, port: int) -> None:
        """Create a proxy in front of the server on this port of the loopback address."""
        self._port = port
        self._losing: dict[bytes, int] = {}
        self._then: dict[bytes, str | None] = {}
        self._at_once: set[bytes] = set()
        self._answers: dict[bytes, bytes] = {}
        self._silent: set[bytes] = set()
        self._withheld: dict[bytes, asyncio.Event] = {}
        self._delay_seconds = 0.0
        self._clients: set[asyncio.StreamWriter] = set()
        self.swallowed = asyncio.Event()
        self.url = ""

    def lose(self, command: bytes, times: int = 1, then: str | None = None, *, at_once: bool = False) -> None:
        """Let the server carry out the command, but close the connection instead of passing its answer on.

        ``then`` is the error that the command is answered afterwards; the server no longer sees it. With ``at_once``
        the client's side is closed when the command is passed on, and the server's only when it has answered.
        """
        self._losing[command] = times
        self._then[command] = then
        if at_once:
            self._at_once.add(command)

    def still_to_lose(self, command: bytes) -> int:
        """Return how many answers of this command are still to be lost."""
        return self._losing.get(command, 0)

    def answer(self, command: bytes, error: str) -> None:
        """Answer the command with this error; the server never sees it. An empty name means every command.

        As from a server, the answer comes after those to everything that was passed on before.
        """
        self._answers[command] = f"-{error}\r\n".encode()

    def swallow(self, command: bytes) -> None:
        """Neither pass the command on nor answer it, as when the other side disappears silently.

        An empty name means every command. ``swallowed`` is set once that has happened. The connection stays silent
        permanently, also after ``heal``: it cannot go on after bytes that were lost.
        """
        self._silent.add(command)

    def withhold(self, command: bytes) -> asyncio.Event:
        """Pass the command on, but neither its answer nor any later one of that connection.

        Return an event that is set once the server has carried it out.
        """
        return self._withheld.setdefault(command, asyncio.Event())

    def delay(self, seconds: float) -> None:
        """Delay each answer by this long."""
        self._delay_seconds = seconds

    def cut(self, chosen: Callable[[], bool] = lambda: True) -> None:
        """Reset the connections to clients that are open now, or those for which ``chosen`` returns true."""
        for writer in tuple(self._clients):
            if chosen():
                writer.transport.abort()

    def reset(self) -> None:
        """Reset every connection of a client: it ends at once, also for a client that is not reading."""
        for client in self._clients:
            client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
            client.transport.abort()

    def heal(self) -> None:
        """Pass everything on again."""
        self._delay_seconds = 0.0
        self._losing.clear()
        self._at_once.clear()
        self._answers.clear()
        self._silent.clear()
        self._withheld.clear()

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it. It is closed at once when the server does not listen."""
        try:
            server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            back.close()
            return
        doomed, unanswered, withheld = asyncio.Event(), _Unanswered(), list[asyncio.Event]()
        self._clients.add(back)
        passing = [
            asyncio.ensure_future(self._requests(client, to_server, back, doomed, unanswered, withheld)),
            asyncio.ensure_future(self._replies(server, back, doomed, unanswered, withheld)),
        ]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            if doomed.is_set():
                await asyncio.wait(passing[1:])
        finally:
            self._clients.discard(back)
            for task in passing:
                task.cancel()
            for writer in (to_server, back):
                writer.close()
            await asyncio.gather(*passing, return_exceptions=True)
            for writer in (to_server, back):
                with suppress(OSError):
                    await writer.wait_closed()

    async def _requests(
        self,
        client: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        doomed: asyncio.Event,
        unanswered: "_Unanswered",
        withheld: list[asyncio.Event],
    ) -> None:
        gone = False
        while request := await client.read(_CHUNK_BYTES):
            gone = gone or any(command in request for command in self._silent)
            if gone:
                self.swallowed.set()
                continue
            answer = next((answer for command, answer in self._answers.items() if command in request), None)
            if answer is not None:
                await unanswered.none.wait()
                back.write(answer * len(_COMMAND.findall(request)))
                continue
            withheld += [carried_out for command, carried_out in self._withheld.items() if command in request]
            for command, left in self._losing.items():
                if left and command in request:
                    self._losing[command] -= 1
                    doomed.set()
                    then = self._then[command]
                    if then is not None and not self._losing[command]:
                        self.answer(command, then)
                    if command in self._at_once:
                        back.transport.abort()
            unanswered.add(request)
            to_server.write(request)
            await to_server.drain()

    async def _replies(
        self,
        server: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        doomed: asyncio.Event,
        unanswered: "_Unanswered",
        withheld: list[asyncio.Event],
    ) -> None:
        while answer := await server.read(_CHUNK_BYTES):
            if withheld:
                for carried_out in withheld:
                    carried_out.set()
                continue
            if self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            if doomed.is_set():
                return
            back.write(answer)
            unanswered.remove(answer)
            await back.drain()


class _Unanswered:
    """Counts the commands of one connection that were passed on and whose answers have not come back."""

    def __init__(self) -> None:
        self._requests, self._answers = Reader(), Reader()
        self._count = 0
        self.none = asyncio.Event()
        self.none.set()

    def add(self, request: bytes) -> None:
        """Count what was passed on."""
        self._change(_complete(self._requests, request))

    def remove(self, answer: bytes) -> None:
        """Count what came back."""
        self._change(-_complete(self._answers, answer))

    def _change(self, by: int) -> None:
        self._count += by
        (self.none.set if self._count == 0 else self.none.clear)()


def _complete(reader: Reader, chunk: bytes) -> int:
    """Return how many commands or answers are complete with this chunk."""
    reader.feed(chunk)
    count = 0
    while reader.gets() is not False:
        count += 1
    return count


@asynccontextmanager
async def proxy_before(port: int, tls: SSLContext | None = None) -> AsyncGenerator[Proxy]:
    """Run a proxy in front of the server on this port; with ``tls`` its clients must use TLS."""
    proxy = Proxy(port)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await proxy.serve(client, back)
        except asyncio.CancelledError:
            return
        finally:
            tasks.discard(task)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    proxy.url = f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        listening.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
