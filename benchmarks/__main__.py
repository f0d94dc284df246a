"""Runs every race, or one: ``python -m benchmarks [produce|consume|s3|collector] [--events N] [--rounds N]``."""

from __future__ import annotations

import argparse
import asyncio
import sys

from benchmarks import dead_collector, redis_races, s3_races
from event_backbone.testing.servers import RedisServer
from tests.support.seaweed import ACCESS_KEY, SECRET, SeaweedServer

RACES = ("produce", "consume", "s3", "collector")


def main() -> int:
    """Read the arguments, run the races, print their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("races", nargs="*", choices=[*RACES, []], help="which races; all of them when none is named")
    parser.add_argument("--events", type=int, default=10_000, help="events in one run of a fast contender")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    options = parser.parse_args()
    for name in options.races or RACES:
        sys.stdout.write(asyncio.run(_race(name, options.events, options.rounds)) + "\n\n")
        sys.stdout.flush()
    return 0


async def _race(name: str, events: int, rounds: int) -> str:
    with RedisServer() as redis:
        if name == "produce":
            return await redis_races.produce(redis.url, events, rounds)
        if name == "consume":
            return await redis_races.consume(redis.url, events, rounds)
        if name == "collector":
            return await dead_collector.cost(redis.environment(), rounds)
        with SeaweedServer() as seaweed:
            seaweed.create_bucket("benchmark")
            server = s3_races.S3Server(seaweed.endpoint, ACCESS_KEY, SECRET, "benchmark")
            return await s3_races.produce_and_consume(redis.url, server, max(events // 10, 100), rounds)


if __name__ == "__main__":
    raise SystemExit(main())
