"""Servers for development, until Ctrl-C: ``python -m event_backbone.testing [--port PORT] [--s3]``.

They are the ones that demo and tests start. Their data is gone when they end.
"""

import argparse
import contextlib
import signal
import sys

from event_backbone.errors import ConfigurationError
from event_backbone.testing.servers import RedisServer, S3Server

_REDIS_PORT = 6379
_S3_PORT = 9000
_BUCKET_VARIABLE = "S3_EVENT_SOURCE_BUCKET"


def main() -> None:
    """Start the servers, print the variables that point to them, and wait for Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m event_backbone.testing", description="Servers for development.")
    parser.add_argument("--port", type=int, default=_REDIS_PORT, help="port of the Redis-compatible server [6379]")
    parser.add_argument("--s3", action="store_true", help="also run an S3 server")
    parser.add_argument("--s3-port", type=int, default=_S3_PORT, help="port of the S3 server [9000]")
    options = parser.parse_args()
    # From here on the signal stays blocked, so that none is lost between the start and the wait.
    signals = {signal.SIGINT, signal.SIGTERM}
    try:
        with contextlib.ExitStack() as stack:
            variables = stack.enter_context(RedisServer(port=options.port)).environment()
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


if __name__ == "__main__":
    main()
