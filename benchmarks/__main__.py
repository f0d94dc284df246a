"""Runs every race, or those that are named, and prints which targets are reached; ``scripts/benchmark`` calls it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import platform
import sys
from collections.abc import Iterator, Sequence

from benchmarks import (
    archive_races,
    dead_collector,
    forward_race,
    migrate_race,
    processes_race,
    redis_races,
    replay_race,
    requests,
    retention_race,
    s3_races,
    topology_races,
)
from benchmarks.by_hand_s3 import S3Server
from benchmarks.delay_proxy import DelayProxy
from benchmarks.results import Requests, Results, Table
from event_backbone.testing.servers import RedisServer
from tests.support.seaweed import ACCESS_KEY, SECRET, SeaweedServer

ON_REDIS = {
    "produce": redis_races.produce,
    "consume": redis_races.consume,
    "batches": redis_races.batches,
    "inline": redis_races.inline,
    "retention": retention_race.retention,
    "forward": forward_race.forward,
    "processes": processes_race.processes,
    "cluster": topology_races.cluster,
    "replicas": topology_races.replicas,
    "uris": topology_races.uris,
    "idle": topology_races.idle,
}
ON_S3 = {
    "produce-s3": s3_races.produce,
    "consume-s3": s3_races.consume,
    "archive": archive_races.archive,
    "replay": replay_race.replay,
    "migrate": migrate_race.migrate,
}
RACES = (*ON_REDIS, *ON_S3, "requests")
ROUNDS_ON_REDIS = 3
"""As many rounds there for each one on S3, as they take a tenth of the time."""
APART = "collector"
"""Measures a command of a project, not the events of a second: only run when it is named."""


def main() -> int:
    """Read the arguments, run the races, print their tables."""
    parser = argparse.ArgumentParser(prog="scripts/benchmark", description=__doc__)
    parser.add_argument("races", nargs="*", help=f"which of {', '.join([*RACES, APART])}; without, all but {APART}")
    parser.add_argument("--events", type=int, default=10_000, help="events in one run of a fast contender, on Redis")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, three times as many on Redis")
    parser.add_argument("--save", action="store_true", help="keep what was measured for the page in the docs")
    options = parser.parse_args()
    chosen: Sequence[str] = options.races or RACES
    if unknown := sorted(set(chosen) - {*RACES, APART}):
        parser.error(f"{unknown[0]} is not one of {', '.join([*RACES, APART])}")
    logging.getLogger("event_backbone").setLevel(logging.ERROR)  # a Redis without an append-only file is on purpose
    _say(f"Python {platform.python_version()}")
    found = [each for name in chosen for each in _run(name, options.events, options.rounds)]
    if options.save:
        tables = tuple(each for each in found if isinstance(each, Table))
        counted = tuple(each for each in found if isinstance(each, Requests))
        Results(platform.python_version(), options.rounds, tables, counted).save()
    return 0


def _run(name: str, events: int, rounds: int) -> Iterator[Table | Requests]:
    """Run one race on separate servers, print what it shows, and return it."""
    with RedisServer() as redis:
        if name == APART:
            _say(asyncio.run(dead_collector.cost(redis.environment(), rounds)))
        elif name in ON_REDIS:
            found = asyncio.run(ON_REDIS[name](redis.url, events, rounds * ROUNDS_ON_REDIS))
            _say(str(found))
            yield found
        else:
            yield from _run_on_s3(name, redis.url, rounds)


def _run_on_s3(name: str, redis: str, rounds: int) -> Iterator[Table | Requests]:
    with SeaweedServer() as seaweed, DelayProxy(seaweed.port) as proxy:
        seaweed.create_bucket("benchmark")
        server = S3Server(proxy.endpoint, ACCESS_KEY, SECRET, "benchmark")
        if name == "requests":
            counted = asyncio.run(requests.count(redis, server, proxy))
            _say(requests.report(counted))
            yield from counted
        else:
            tables = asyncio.run(ON_S3[name](redis, server, proxy, rounds))
            _say("\n\n".join(map(str, tables)))
            yield from tables


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
