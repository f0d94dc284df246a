"""The health of a worker over HTTP, served in its own event loop: no web framework, and no other process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic_core import to_json

from event_backbone.errors import ConfigurationError
from event_backbone.web.readiness import why_not_alive, why_not_archived, why_not_forwarded, why_not_ready

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.worker import Worker

_READ_WITHIN = timedelta(seconds=5)
_LONGEST_HEAD_BYTES = 8192

Check = Callable[[], Awaitable[str | None]]


@contextlib.asynccontextmanager
async def serve_worker_health(
    worker: Worker,
    backbone: Backbone,
    *,
    port: int,
    host: str = "127.0.0.1",
    timeout: timedelta = timedelta(seconds=2),
) -> AsyncGenerator[int, None]:
    """Serve ``GET /health/live`` and ``GET /health/ready`` while the block runs; yield the port.

    Live answers 200 until a subscription, an archiver or a forwarder has ended. Ready answers 200 when all
    subscriptions read events, Redis and the payload storage answer within ``timeout``, archivers archive in time, and
    forwarders forward. Both answer 503 with a sentence otherwise. As it runs in the worker's own loop, a handler that
    blocks the loop makes both late, which is what a liveness probe should see.

    Raises:
        ConfigurationError: the port is taken or not permitted.
    """
    checks = _checks(worker, backbone, timeout)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_READ_WITHIN.total_seconds()):
                head = await reader.readuntil(b"\r\n\r\n")
            writer.write(await _respond(head, checks))
            await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(answer, host, port, limit=_LONGEST_HEAD_BYTES)
    except OSError as error:
        raise ConfigurationError(f"Choose another health port: the worker cannot listen on {host}:{port}.") from error
    async with server:
        yield server.sockets[0].getsockname()[1]


def _checks(worker: Worker, backbone: Backbone, timeout: timedelta) -> dict[str, Check]:
    async def live() -> str | None:
        return why_not_alive(worker)

    async def ready() -> str | None:
        unready = await why_not_ready(backbone, timeout, worker)
        return unready or why_not_archived(worker) or why_not_forwarded(worker)

    return {"/health/live": live, "/health/ready": ready}


async def _respond(head: bytes, checks: dict[str, Check]) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
    if (check := checks.get(path)) is None:
        return _message("404 Not Found", {"detail": f"Not found; use {' or '.join(checks)}."}, method)
    if method not in {b"GET", b"HEAD"}:
        return _message("405 Method Not Allowed", {"detail": "Use GET."}, method)
    problem = await check()
    if problem is None:
        return _message("200 OK", {"status": "ok"}, method)
    return _message("503 Service Unavailable", {"status": "unavailable", "detail": problem}, method)


def _message(status: str, body: dict[str, str], method: bytes) -> bytes:
    content = to_json(body)
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + (b"" if method == b"HEAD" else content)
