"""Recovery after failovers: how long nothing is handled, and until everything is, in leases of a second.

Run it alone: ``python -m benchmarks.failover_recovery``. Most of it is the servers' own time: a dead primary is noticed
after 0.7 s, and replaced within as long again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from functools import partial
from statistics import median
from time import monotonic

from event_backbone import Backbone
from event_backbone.testing.redis_server import RedisServer
from event_backbone.testing.servers import RedisCluster, RedisSentinel
from tests.support.load import ENVIRONMENT, LEASE, PRODUCE_TIMEOUT, STREAM, under_load

_ROUNDS = 5


def _kill(primary: RedisServer) -> None:
    primary.kill()


def _suspend(primary: RedisServer) -> None:
    os.kill(primary.pid, signal.SIGSTOP)


async def _recovery(servers: RedisSentinel | RedisCluster, fault: Callable[[RedisServer], None]) -> tuple[float, float]:
    """Return after how many leases an event produced after the fault was handled, and after how many all were."""
    make = partial(Backbone, servers.url, environment=ENVIRONMENT, produce_timeout=PRODUCE_TIMEOUT)
    primary = servers.primary if isinstance(servers, RedisSentinel) else servers.primary_of(STREAM)
    async with under_load(make(), make(), make()) as load:
        began = monotonic()
        fault(primary)
        await load.more()
        first = load.recovered(began)
        assert first is not None
        await load.settle()
        lease = LEASE.total_seconds()
        return (first - began) / lease, (monotonic() - began) / lease


def main() -> None:
    """Measure each failover several times on new servers, and print the medians."""
    logging.disable()
    print("servers   primary    first handled  all handled  (leases, medians)")
    for name, start in (("Sentinel", RedisSentinel), ("cluster", RedisCluster)):
        for what, fault in (("killed", _kill), ("suspended", _suspend)):
            found: list[tuple[float, float]] = []
            for _ in range(_ROUNDS):
                with start() as servers:
                    found.append(asyncio.run(_recovery(servers, fault)))
            first, everything = (median(each) for each in zip(*found, strict=True))
            print(f"{name:9} {what:10} {first:13.1f} {everything:12.1f}")


if __name__ == "__main__":
    main()
