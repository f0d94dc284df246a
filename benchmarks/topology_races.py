"""The races of several servers: the cluster's client and the single one, replicas, URIs over nodes, and idle groups."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Self, cast

from redis.asyncio import Redis

from benchmarks.handling import handle_all
from benchmarks.measure import Track, by_callers, fixed, race, ratio, table
from benchmarks.results import Table
from benchmarks.with_faststream import WithFastStream
from benchmarks.workload import TEXT, TIME, Parcels
from event_backbone import Backbone, Consumer, Context
from event_backbone.testing.servers import RedisCluster, RedisSentinel, RedisServer

URI, GROUP, ENVIRONMENT = "parcels", "idle", "benchmark"
CALLERS = 256
PRIMARIES = 3
IDLE_SECONDS = 5.0


async def cluster(url: str, total: int, rounds: int) -> Table:
    """Race the client of a cluster, where all load is on one node, against that of a single server."""
    numbers, producers, consumers = itertools.count(), list[Track](), list[Track]()
    with RedisCluster(nodes=PRIMARIES, replicas=0) as servers:
        async with AsyncExitStack() as stack:
            for name, endpoint in (("single server", url), ("cluster, one node", servers.url)):
                backbone = await stack.enter_async_context(Backbone(endpoint, environment=ENVIRONMENT))
                node = url if endpoint == url else servers.primary_of(f"{ENVIRONMENT}:{URI}").url
                redis = await stack.enter_async_context(Redis.from_url(node))
                send = partial(_send, backbone.producer(Parcels, uri=URI))
                produce = partial(by_callers, CALLERS, total, send)
                producers.append(Track(f"produce, {name}", produce, total, partial(_flush, redis)))
                consume = partial(_consume, backbone, numbers, total)
                consumers.append(Track(f"consume, {name}", consume, total))
            await race(producers, rounds)
            await race(consumers, rounds)
    ratios = [ratio(tracks[1], tracks[0], 0.9) for tracks in (producers, consumers)]
    return table("cluster", "The client of a cluster, on one node", [*producers, *consumers], ratios)


async def replicas(_: str, total: int, rounds: int) -> Table:
    """Race a producer that waits for a replica against one that does not, on the same servers."""
    with RedisSentinel() as servers:
        async with AsyncExitStack() as stack:
            redis = await stack.enter_async_context(Redis.from_url(servers.primary.url))
            tracks: list[Track] = []
            for callers, min_replicas in itertools.product((1, CALLERS), (0, 1)):
                backbone = Backbone(servers.url, environment=ENVIRONMENT, min_replicas=min_replicas)
                opened = await stack.enter_async_context(backbone)
                send, events = partial(_send, opened.producer(Parcels, uri=URI)), total if callers > 1 else total // 10
                name = f"min_replicas={min_replicas}, {callers} caller{'s' if callers > 1 else ''}"
                run = partial(by_callers, callers, events, send)
                tracks.append(Track(name, run, events, partial(_flush, redis)))
            await race(tracks, rounds)
    ratios = [ratio(tracks[1], tracks[0]), ratio(tracks[3], tracks[2])]
    return table("replicas", "Produce, with one replica that has the event, too", tracks, ratios)


async def uris(url: str, total: int, rounds: int) -> Table:
    """Race URIs on as many nodes of a cluster, each with a process that produces to it, against one server."""
    with RedisCluster(nodes=PRIMARIES, replicas=0) as servers:
        on_nodes = _one_on_each(servers)
        tracks: list[Track] = []
        async with AsyncExitStack() as stack:
            for count in range(1, PRIMARIES + 1):
                plural, each = "s" if count > 1 else "", total // count
                for name, endpoint in (("one server", url), (f"{count} node{plural}", servers.url)):
                    producers = await stack.enter_async_context(_Producers(endpoint, on_nodes[:count], each))
                    tracks.append(Track(f"{count} URI{plural}, {name}", producers.produce, each * count))
            await race(tracks, rounds)
    ratios = [ratio(nodes, server) for server, nodes in zip(tracks[::2], tracks[1::2], strict=True)]
    ratios += [ratio(tracks[-1], tracks[1])]
    return table("uris", "Produce to several URIs, a process for each", tracks, ratios)


async def idle(url: str, _: int, rounds: int) -> Table:
    """Count the commands of a group that has nothing to do, in a second; FastStream polls."""
    tracks: list[Track] = []
    with RedisCluster(nodes=PRIMARIES, replicas=0) as nodes, RedisSentinel() as servers, RedisServer() as other:
        for name, endpoint, counted in (
            ("single server", url, [url]),
            ("Sentinel, primary", servers.url, [servers.primary.url]),
            ("cluster, all nodes", nodes.url, [each.url for each in nodes.nodes]),
        ):
            rate = await _while_idle(partial(_idle, endpoint), counted)
            tracks.append(fixed(f"event_backbone, {name}", rate, rounds))
        rate = await _while_idle(partial(_idle_with_faststream, other.url), [other.url])
        tracks.append(fixed("FastStream, single server", rate, rounds))
    ratios = [ratio(each, tracks[-1]) for each in tracks[:-1]]
    return table("idle", "Commands per second of an idle group", tracks, ratios)


class _Producers:
    """Processes of this module that are connected, each of which produces when it is told to."""

    def __init__(self, endpoint: str, uris: Sequence[str], events: int) -> None:
        self._endpoint, self._uris, self._events = endpoint, uris, events
        self._processes: list[Process] = []

    async def __aenter__(self) -> Self:
        for uri in self._uris:
            arguments = ("-m", "benchmarks.topology_races", self._endpoint, uri, str(self._events))
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdin=PIPE, stdout=PIPE, env=environment
            )
            self._processes.append(process)
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self._processes:
            cast("asyncio.StreamWriter", each.stdin).close()
            await each.wait()

    async def produce(self) -> None:
        """Let each of them produce, and wait until all have."""
        for each in self._processes:
            cast("asyncio.StreamWriter", each.stdin).write(b"go\n")
        for each in self._processes:
            if not await cast("asyncio.StreamReader", each.stdout).readline():
                raise RuntimeError("A process that produces has ended.")


async def _produce_when_told(endpoint: str, uri: str, events: int) -> None:
    async with Backbone(endpoint, environment=ENVIRONMENT) as backbone:
        send = partial(_send, backbone.producer(Parcels, uri=uri))
        while await asyncio.to_thread(sys.stdin.readline):
            await by_callers(CALLERS, events, send)
            sys.stdout.write("done\n")
            sys.stdout.flush()


def _one_on_each(servers: RedisCluster) -> list[str]:
    """Return a URI on each primary."""
    found: dict[int, str] = {}
    for number in itertools.count():
        uri = f"{URI}-{number}"
        found.setdefault(servers.primary_of(f"{ENVIRONMENT}:{uri}").port, uri)
        if len(found) == PRIMARIES:
            return list(found.values())
    raise AssertionError


async def _while_idle(subscribed: Callable[[], Coroutine[None, None, None]], urls: Sequence[str]) -> float:
    """Return how many commands these servers carry out in a second, beyond those without the subscription."""
    alone = await _commands(urls)
    idle = asyncio.create_task(subscribed())
    await asyncio.sleep(1)
    commands = await _commands(urls)
    idle.cancel()
    await asyncio.wait((idle,))
    return max(commands - alone, 0.1)


async def _commands(urls: Sequence[str]) -> float:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Redis.from_url(each)) for each in urls]
        before = [await _count(each) for each in clients]
        await asyncio.sleep(IDLE_SECONDS)
        after = [await _count(each) for each in clients]
    return (sum(after) - sum(before)) / IDLE_SECONDS


async def _count(redis: Redis) -> int:
    """Return how many commands the server has carried out, those of scripts included."""
    return cast("int", (await redis.info("stats"))["total_commands_processed"])


async def _idle(endpoint: str) -> None:
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packing)
    async def handle(ctx: Context, email: str, product_id: int, time: object) -> None:
        """Do nothing: there are no events."""

    async with (
        Backbone(endpoint, environment=ENVIRONMENT) as backbone,
        backbone.subscribe(consumer, uri="nothing", group=GROUP) as subscription,
    ):
        await subscription.wait()


async def _idle_with_faststream(endpoint: str) -> None:
    peer = WithFastStream(endpoint)
    await peer.start()
    await peer.publish(0)
    await peer.consume_one_by_one(2, GROUP)


async def _send(parcels: Parcels, number: int) -> None:
    await parcels.packing(TEXT, number, TIME)


async def _consume(backbone: Backbone, numbers: itertools.count[int], total: int) -> None:
    await handle_all(backbone, URI, f"group-{next(numbers)}", total)


async def _flush(redis: Redis) -> None:
    await redis.flushall()


if __name__ == "__main__":
    logging.getLogger("event_backbone").setLevel(logging.ERROR)
    asyncio.run(_produce_when_told(sys.argv[1], sys.argv[2], int(sys.argv[3])))
