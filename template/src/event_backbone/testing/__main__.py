"""Servers for development, until Ctrl-C: ``python -m event_backbone.testing [--cluster | --sentinel] [--s3]``.

They are the ones that demo and tests start. Their data is gone when they end.
"""

import argparse
import contextlib
import signal
import sys

from event_backbone.errors import ConfigurationError
from event_backbone.testing.servers import EmbeddedRedis, RedisCluster, RedisSentinel, RedisServer, S3Server

_REDIS_PORT = 6379
_SENTINEL_PORT = 26379
_S3_PORT = 9000
_BUCKET_VARIABLE = "S3_EVENT_SOURCE_BUCKET"


def main() -> None:
    """Start the servers, print the variables that point to them, and wait for Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m event_backbone.testing", description="Servers for development.")
    several = parser.add_mutually_exclusive_group()
    several.add_argument("--cluster", action="store_true", help="a Redis Cluster: three primaries, each with a replica")
    several.add_argument("--sentinel", action="store_true", help="a primary and a replica, watched by three Sentinels")
    parser.add_argument("--port", type=int, help="port of Redis, or of the first node [6379] or Sentinel [26379]")
    parser.add_argument("--s3", action="store_true", help="also run an S3 server")
    parser.add_argument("--s3-port", type=int, default=_S3_PORT, help="port of the S3 server [9000]")
    options = parser.parse_args()
    # From here on the signal stays blocked, so that none is lost between the start and the wait.
    signals = {signal.SIGINT, signal.SIGTERM}
    try:
        with contextlib.ExitStack() as stack:
            redis = _start_redis(options)
            stack.callback(redis.stop)
            variables = redis.environment()
            if options.s3:
                variables |= stack.enter_context(S3Server(port=options.s3_port)).environment("")
            variables.pop(_BUCKET_VARIABLE, None)
            signal.pthread_sigmask(signal.SIG_BLOCK, signals)
            sys.stdout.write("".join(f"{name}={value}\n" for name, value in variables.items()))
            sys.stdout.write("These servers run until Ctrl-C; their data is not kept.\n")
            sys.stdout.flush()
            signal.sigwait(signals)
    except ConfigurationError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _start_redis(options: argparse.Namespace) -> EmbeddedRedis:
    if options.cluster:
        return RedisCluster(port=_REDIS_PORT if options.port is None else options.port)
    if options.sentinel:
        return RedisSentinel(port=_SENTINEL_PORT if options.port is None else options.port)
    return RedisServer(port=_REDIS_PORT if options.port is None else options.port)


if __name__ == "__main__":
    main()
