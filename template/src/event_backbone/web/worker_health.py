"""The health of a worker, and its lag, over HTTP in its own event loop: no web framework, and no other process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from pydantic_core import to_json

from event_backbone.errors import BackboneError, ConfigurationError
from event_backbone.web.error_texts import text_for_client
from event_backbone.web.lag_reading import read_lag
from event_backbone.web.readiness import why_not_alive, why_not_archived, why_not_forwarded, why_not_ready

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.worker import Worker

_READ_WITHIN = timedelta(seconds=5)
_LONGEST_HEAD_BYTES = 8192

_log = logging.getLogger("event_backbone")

Query = Mapping[str, Sequence[str]]
Answer = tuple[HTTPStatus, object]
Routes = Mapping[str, Callable[[Query], Awaitable[Answer]]]
LIVE, READY, LAG = "/health/live", "/health/ready", "/lag"


@contextlib.asynccontextmanager
async def serve_worker_health(
    worker: Worker,
    backbone: Backbone,
    *,
    port: int,
    host: str = "127.0.0.1",
    timeout: timedelta = timedelta(seconds=2),
) -> AsyncGenerator[int, None]:
    """Serve ``GET /health/live``, ``GET /health/ready`` and ``GET /lag`` while the block runs; yield the port.

    Live answers 200 until a subscription, an archiver or a forwarder has ended. Ready answers 200 when all
    subscriptions read events, Redis and the payload storage answer within ``timeout``, archivers archive in time, and
    forwarders forward. Both answer 503 with a sentence otherwise. As it runs in the worker's own loop, a handler that
    blocks the loop makes both late, which is what a liveness probe should see. Lag answers what ``lag_routes`` does, of
    the groups of the worker's subscriptions.

    Raises:
        ConfigurationError: the port is taken or not permitted.
    """
    async with serve_routes(worker_routes(worker, backbone, timeout), host=host, port=port) as listening:
        yield listening


@contextlib.asynccontextmanager
async def serve_routes(routes: Routes, *, host: str, port: int) -> AsyncGenerator[int, None]:
    """Serve these routes over HTTP while the block runs; yield the port.

    Raises:
        ConfigurationError: the port is taken or not permitted.
    """
    open_connections: set[asyncio.StreamWriter] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_connections.add(writer)
        try:
            with contextlib.suppress(asyncio.CancelledError):  # the loop ends; asyncio would log a traceback for it
                await answer_one(reader, writer)
        finally:
            writer.close()
            open_connections.discard(writer)

    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_READ_WITHIN.total_seconds()):
                head = await reader.readuntil(b"\r\n\r\n")
            writer.write(await _respond(head, routes))
            await writer.drain()

    try:
        server = await asyncio.start_server(answer, host, port, limit=_LONGEST_HEAD_BYTES)
    except OSError as error:
        raise ConfigurationError(f"Choose another health port: the worker cannot listen on {host}:{port}.") from error
    async with server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:  # since Python 3.12 a server waits for its connections, also for one that asks nothing
            for writer in open_connections:
                writer.transport.abort()


def worker_routes(worker: Worker, backbone: Backbone, timeout: timedelta = timedelta(seconds=2)) -> Routes:
    """Return the routes of a worker, whose answers ``serve_worker_health`` describes."""

    async def live(_: Query) -> Answer:
        return health_answer(why_not_alive(worker))

    async def ready(_: Query) -> Answer:
        unready = await why_not_ready(backbone, timeout, worker)
        return health_answer(unready or why_not_archived(worker) or why_not_forwarded(worker))

    async def lag(query: Query) -> Answer:
        return await _lag(worker, backbone, query.get("group", ()), timeout)

    return {LIVE: live, READY: ready, LAG: lag}


def health_answer(problem: str | None) -> Answer:
    """Return the answer of a health route: 200, or 503 with what is wrong."""
    if problem is None:
        return HTTPStatus.OK, {"status": "ok"}
    return HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unavailable", "detail": problem}


async def _lag(worker: Worker, backbone: Backbone, wanted: Sequence[str], timeout: timedelta) -> Answer:
    groups: dict[str, set[str]] = {}
    for each in worker.subscriptions:
        if not wanted or each.group in wanted:
            groups.setdefault(each.uri, set()).add(each.group)
    own = sorted({each.group for each in worker.subscriptions})
    if not set(wanted) <= set(own):
        return HTTPStatus.NOT_FOUND, {"detail": f"Ask for a group of this worker: {', '.join(own) or 'it has none'}."}
    try:
        return HTTPStatus.OK, await read_lag(backbone, groups, timeout)
    except BackboneError as error:
        _log.warning("The lag is not known: %s", error)
        status, text = text_for_client(error)
        return status, {"detail": text}


async def _answer(method: bytes, path: str, query: str, routes: Routes) -> Answer:
    if (route := routes.get(path)) is None:
        return HTTPStatus.NOT_FOUND, {"detail": f"Not found; use one of {', '.join(routes)}."}
    if method not in {b"GET", b"HEAD"}:
        return HTTPStatus.METHOD_NOT_ALLOWED, {"detail": "Use GET."}
    return await route(parse_qs(query))


async def _respond(head: bytes, routes: Routes) -> bytes:
    method, _, rest = head.partition(b" ")
    path, _, query = rest.partition(b" ")[0].decode("latin-1").partition("?")
    status, body = await _answer(method, path, query, routes)
    content = to_json(body)
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "\r\n")).encode() + (b"" if method == b"HEAD" else content)
