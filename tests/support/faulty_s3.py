"""S3 that misbehaves on request.

``faulty_s3`` is a server of one bucket without authentication, with a fault for each request that is to go wrong;
``relay_before`` runs in front of a real server, and delays the reads that a test names.
"""

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl

Fault = Literal[
    "lose the request",
    "lose the answer",
    "say nothing",
    "cut the body",
    "shorten the body",
    "spoil the body",
    "ignore the range",
]
"""What becomes of a request. A body that is cut ends before its length; one that is shortened has the right length."""


@dataclass
class Refusal:
    """An error answer of S3."""

    status: int
    code: str
    headers: str = ""


@dataclass
class Page:
    """An answer that is not S3's own: of a load balancer, a proxy, or a gateway whose service is down."""

    status: int
    body: bytes = b"<html><body><h1>Sorry</h1></body></html>"


Choice = Fault | Refusal | Page


def no_fault(method: str, path: str) -> None:
    """Choose to answer as S3 does."""


async def no_wait(method: str, path: str) -> None:
    """Carry a request out, or answer it, at once."""


@dataclass
class FaultyS3:
    """Its requests and objects; ``faults`` are used up one per request, ``writes`` one per PUT.

    ``reads``, ``choose`` (by method and path), ``has_bucket`` and ``ignores_conditions`` last until they are changed.
    ``before`` is awaited before a request is carried out, ``after`` before its answer is sent.
    """

    endpoint: str = ""
    objects: dict[str, bytes] = field(default_factory=dict[str, bytes])
    requests: list[str] = field(default_factory=list[str])
    paths: list[str] = field(default_factory=list[str])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    faults: deque[Choice] = field(default_factory=deque[Choice])
    writes: deque[Choice] = field(default_factory=deque[Choice])
    reads: Refusal | Page | None = None
    choose: Callable[[str, str], Choice | None] = no_fault
    before: Callable[[str, str], Awaitable[None]] = no_wait
    after: Callable[[str, str], Awaitable[None]] = no_wait
    has_bucket: bool = True
    ignores_conditions: bool = False

    @property
    def packs(self) -> list[str]:
        """The paths of the packs in the bucket."""
        return [path for path in self.objects if path.endswith(".jsonl")]

    def fail(self, fault: Choice, requests: int = 1) -> None:
        """Let the next requests that have no fault yet fail like this."""
        self.faults.extend(fault for _ in range(requests))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        try:
            while await self._answer(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests.append(method)
        self.paths.append(path)
        self.headers.append(headers)
        fault = self._fault(method, path)
        if isinstance(fault, Refusal | Page):
            writer.write(_error(fault) if isinstance(fault, Refusal) else _page(fault))
            return True
        if fault == "say nothing":
            await asyncio.sleep(3600)
        if fault == "lose the request":
            return False
        await self.before(method, path)
        if method == "PUT":
            answer = self._stored(path, body, {} if self.ignores_conditions else headers)
        else:
            answer = self._listed(path) if "?" in path else self._fetched(path, headers, fault)
        await self.after(method, path)
        if fault == "lose the answer":
            return False
        writer.write(answer[:-5] if fault == "cut the body" else answer)
        return fault != "cut the body"

    def _fault(self, method: str, path: str) -> Choice | None:
        faults = self.writes if method == "PUT" and self.writes else self.faults
        if faults:
            return faults.popleft()
        if not self.has_bucket:
            return Refusal(404, "NoSuchBucket")
        return (self.reads if method == "GET" else None) or self.choose(method, path)

    def _stored(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        there = path in self.objects
        if there and "if-none-match" in headers:
            return _error(Refusal(412, "PreconditionFailed"))
        if "if-match" in headers and not (there and headers["if-match"] == _e_tag(self.objects[path])):
            return _error(Refusal(412, "PreconditionFailed"))
        self.objects[path] = body
        return f"HTTP/1.1 200 OK\r\nETag: {_e_tag(body)}\r\nContent-Length: 0\r\n\r\n".encode()

    def _listed(self, path: str) -> bytes:
        bucket, _, query = path.partition("?")
        asked = dict(parse_qsl(query))
        keys = [key.removeprefix(f"{bucket}/") for key in sorted(self.objects)]
        below = [key for key in keys if key.startswith(asked["prefix"]) and key > asked.get("start-after", "")]
        folders: list[str] = []
        if "delimiter" in asked:
            rests = [key.removeprefix(asked["prefix"]) for key in below]
            folders = sorted({rest.partition("/")[0] for rest in rests if "/" in rest})
            below = [key for key, rest in zip(below, rests, strict=True) if "/" not in rest]
        described = "<Size>1</Size><LastModified>2026-11-23T06:00:00.000Z</LastModified><ETag>1</ETag>"
        found = "".join(f"<Contents><Key>{key}</Key>{described}</Contents>" for key in below)
        found += "".join(
            f"<CommonPrefixes><Prefix>{asked['prefix']}{folder}/</Prefix></CommonPrefixes>" for folder in folders
        )
        body = f"<ListBucketResult>{found}</ListBucketResult>".encode()
        return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def _fetched(self, path: str, headers: dict[str, str], fault: Choice | None) -> bytes:
        if path not in self.objects:
            return _error(Refusal(404, "NoSuchKey"))
        whole = body = self.objects[path]
        status = "200 OK"
        if asked := re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", "") if fault != "ignore the range" else ""):
            first, last = int(asked[1]), min(int(asked[2]), len(whole) - 1)
            if first >= len(whole):
                return _error(Refusal(416, "InvalidRange"))
            status = f"206 Partial Content\r\nContent-Range: bytes {first}-{last}/{len(whole)}"
            body = whole[first : last + 1]
        if fault == "shorten the body":
            body = body[: len(body) // 2]
        if fault == "spoil the body":
            body = body[::-1]
        described = f"ETag: {_e_tag(whole)}\r\nLast-Modified: Mon, 23 Nov 2026 06:00:00 GMT"
        return f"HTTP/1.1 {status}\r\n{described}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _e_tag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'  # noqa: S324 - as S3 does


@dataclass
class Relay:
    """Passes everything on to an S3 server, signatures intact, except reads of the object to delay.

    ``written`` is the path of the last object that was written.
    """

    endpoint: str = ""
    written: str = ""
    delayed: str | None = None
    holding: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    def delay_last(self) -> None:
        """Delay reads of the object that was written last, until ``released`` is set."""
        self.delayed = self.written

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        server, to_server = await asyncio.open_connection("127.0.0.1", self.port)
        answers = asyncio.ensure_future(_passed_on(server, back))
        try:
            while True:
                head = await client.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head.lower())
                body = await client.readexactly(int(length.group(1))) if length else b""
                path = head.split(b" ", 2)[1].decode()
                if head.startswith(b"PUT"):
                    self.written = path
                if head.startswith(b"GET") and path == self.delayed:
                    self.holding.set()
                    await self.released.wait()
                to_server.write(head + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            answers.cancel()
            to_server.close()
            back.close()


async def _passed_on(server: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
    while answer := await server.read(1 << 16):
        back.write(answer)


@asynccontextmanager
async def relay_before(port: int) -> AsyncGenerator[Relay]:
    """Run a relay in front of the S3 server on this loopback port for the time of the block."""
    relay = Relay(port=port)
    async with _served(relay.serve) as relay.endpoint:
        yield relay


@asynccontextmanager
async def faulty_s3() -> AsyncGenerator[FaultyS3]:
    """Serve on a free loopback port for the time of the block."""
    server = FaultyS3()
    async with _served(server.serve) as server.endpoint:
        yield server


@asynccontextmanager
async def _served(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]],
) -> AsyncGenerator[str]:
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.get_running_loop().create_task(serve(reader, writer)))

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _error(refusal: Refusal) -> bytes:
    body = f"<?xml version='1.0'?><Error><Code>{refusal.code}</Code><Message>No.</Message></Error>".encode()
    return (
        f"HTTP/1.1 {refusal.status} Refused\r\n{refusal.headers}Content-Type: application/xml\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def _page(page: Page) -> bytes:
    head = f"HTTP/1.1 {page.status} Sorry\r\nContent-Type: text/html\r\nContent-Length: {len(page.body)}\r\n\r\n"
    return head.encode() + page.body
