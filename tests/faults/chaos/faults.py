"""What happens to servers, connections and workers in a chaos round. Each fault ends and undoes what it did."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from event_backbone.testing.servers import RedisServer
from tests.faults.chaos.settings import ENVIRONMENT, LEASE
from tests.faults.chaos.supervisor import Supervised
from tests.faults.proxy import Proxy
from tests.support.faulty_s3 import FaultyS3, Refusal
from tests.support.parcels import GROUP, URI

_COMMANDS = (b"XREADGROUP", b"EVALSHA", b"XACK", b"XCLAIM", b"XPENDING", b"")
_S3_FAULTS = (Refusal(503, "SlowDown"), Refusal(500, "InternalError"), Refusal(403, "NotOfS3"))
_LEASE_SECONDS = LEASE.total_seconds()


@dataclass
class Scene:
    """Everything that a fault may hit. What goes on while other faults happen is ``under_way``."""

    server: RedisServer
    proxy: Proxy
    places: Sequence[Supervised]
    s3: FaultyS3 | None = None
    under_way: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    def place(self, random: Random) -> Supervised:
        """Choose a worker; prefer one that no other fault has hit."""
        return random.choice([place for place in self.places if not place.busy.locked()] or self.places)

    async def order(self, deed: Callable[[Redis], Awaitable[object]]) -> None:
        """Send the server a command, bypassing the proxy."""
        async with Redis.from_url(self.server.url) as admin:
            await deed(admin)


Fault = Callable[[Scene, Random], Awaitable[object]]


async def cut_connections(scene: Scene, random: Random) -> None:
    """Reset about half of them, three times."""
    for _ in range(3):
        scene.proxy.cut(lambda: random.random() < 0.5)
        await asyncio.sleep(random.uniform(0, 0.1))


async def lose_answers(scene: Scene, random: Random) -> None:
    """Let the server carry out commands whose answers are lost."""
    for _ in range(4):
        scene.proxy.lose(random.choice(_COMMANDS), random.randint(1, 4))
        await asyncio.sleep(0.08)
    scene.proxy.heal()


async def swallow(scene: Scene, random: Random) -> None:
    """Let nothing of the server reach anybody."""
    scene.proxy.swallow(b"")
    await asyncio.sleep(random.uniform(0.2, 0.8))
    scene.proxy.heal()


async def delay(scene: Scene, random: Random) -> None:
    """Let every answer come late."""
    scene.proxy.delay(random.uniform(0.05, 0.4))
    await asyncio.sleep(0.5)
    scene.proxy.heal()


async def kill_a_worker(scene: Scene, random: Random) -> None:
    """SIGKILL: another process takes its place."""
    scene.under_way.append(asyncio.create_task(scene.place(random).kill()))


async def freeze_a_worker(scene: Scene, random: Random) -> None:
    """SIGSTOP for longer than its lease, while other things happen."""
    seconds = _LEASE_SECONDS * random.uniform(1.2, 1.8)
    scene.under_way.append(asyncio.create_task(scene.place(random).freeze(seconds)))


async def restart_a_worker(scene: Scene, random: Random) -> None:
    """SIGTERM, while other things happen."""
    scene.under_way.append(asyncio.create_task(scene.place(random).restart()))


async def freeze_the_server(scene: Scene, random: Random) -> None:
    """SIGSTOP for longer than a lease."""
    os.kill(scene.server.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(_LEASE_SECONDS * random.uniform(1.1, 1.4))
    finally:
        os.kill(scene.server.pid, signal.SIGCONT)


async def crash_the_server(scene: Scene, random: Random) -> None:
    """SIGKILL; it comes back with what it had written."""
    await asyncio.to_thread(scene.server.kill)
    await asyncio.sleep(random.uniform(0, 0.4))
    await asyncio.to_thread(scene.server.start)


async def fill_the_server(scene: Scene, random: Random) -> None:
    """Leave the server no memory for writes."""
    await scene.order(lambda admin: admin.config_set("maxmemory", "1"))
    await asyncio.sleep(random.uniform(0.15, 0.4))
    await scene.order(lambda admin: admin.config_set("maxmemory", "0"))


async def demote_the_server(scene: Scene, random: Random) -> None:
    """Make the server a replica, which refuses writes."""
    await scene.order(lambda admin: admin.replicaof("127.0.0.1", "1"))
    await asyncio.sleep(random.uniform(0.15, 0.4))
    await scene.order(lambda admin: admin.replicaof("NO", "ONE"))


async def destroy_the_group(scene: Scene, random: Random) -> None:
    """Delete the group: it begins again with the oldest event."""
    with suppress(ResponseError):  # there may be no stream yet
        await scene.order(lambda admin: admin.xgroup_destroy(f"{ENVIRONMENT}:{URI}", GROUP))


async def kill_clients(scene: Scene, random: Random) -> None:
    """Let the server close all connections."""
    await scene.order(lambda admin: admin.client_kill_filter(_type="normal", skipme=True))


async def flush_scripts(scene: Scene, random: Random) -> None:
    """Let the server forget all scripts."""
    await scene.order(lambda admin: admin.script_flush())


async def spoil_s3(scene: Scene, random: Random) -> None:
    """Let some requests fail, be cut off, or stay without an answer."""
    assert scene.s3 is not None
    for _ in range(6):
        scene.s3.fail(random.choice(_S3_FAULTS), random.randint(1, 5))
        scene.s3.fail("lose the answer")
        scene.s3.fail("cut the body")
        await asyncio.sleep(0.05)
    scene.s3.fail("say nothing", 3)


FAULTS: Mapping[str, Fault] = {
    "connections cut": cut_connections,
    "answers lost": lose_answers,
    "everything swallowed": swallow,
    "answers delayed": delay,
    "worker killed": kill_a_worker,
    "worker frozen": freeze_a_worker,
    "worker restarted": restart_a_worker,
    "server frozen": freeze_the_server,
    "server crashed": crash_the_server,
    "server full": fill_the_server,
    "server read-only": demote_the_server,
    "group destroyed": destroy_the_group,
    "clients killed": kill_clients,
    "scripts flushed": flush_scripts,
    "S3 spoiled": spoil_s3,
}


def plan(random: Random, *, s3: bool) -> list[str]:
    """Return the names of the faults of a round, each once and one of them twice, in random order."""
    names = [name for name in FAULTS if s3 or name != "S3 spoiled"]
    names.append(random.choice([name for name in names if name != "group destroyed"]))
    random.shuffle(names)
    return names
