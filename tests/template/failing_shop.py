"""Runs within a rendered project: a handler that logs, and fails twice in the same place. ``test_logs.py`` starts it.

Arguments: ``configured`` configures logging before the project does, ``sentry`` prints what Sentry would be sent,
``private`` leaves out the interceptor that logs tracebacks, and ``supervised`` makes it one of several workers.
"""

import asyncio
import json
import logging
import sys
from datetime import timedelta

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from shipment_tracking.logs import (  # type: ignore[import-not-found] # pyright: ignore[reportMissingImports]
    LogTracebacks,  # pyright: ignore[reportUnknownVariableType]
    configure_logging,  # pyright: ignore[reportUnknownVariableType]
)

from event_backbone import Consumer, Context, Contract, HandleInterceptor, RetryPolicy, event
from event_backbone.logs import name_worker
from event_backbone.testing import memory_backbone

consumer_log = logging.getLogger("shop.handlers")


class Shop(Contract):
    """What happens in a shop."""

    @event
    def paid(self, card: str) -> None:
        """A customer paid."""


consumer = Consumer(Shop)


@consumer.on(Shop.paid)
async def paid(ctx: Context, card: str) -> None:
    """Charge the card."""
    consumer_log.info("Charging.", extra={"amount": 3})
    charge(card)


def charge(card: str) -> None:
    """Fail with a text that quotes the payload."""
    raise ValueError(f"card {card} is blocked")


def print_what_sentry_gets() -> None:
    """Set up Sentry as its documentation says, but print each event instead of sending it."""
    import sentry_sdk
    from sentry_sdk.envelope import Envelope
    from sentry_sdk.transport import Transport

    class Printing(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            sent = envelope.get_event()
            if sent is not None:
                sys.stdout.write(json.dumps(sent, default=str) + "\n")

    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Printing)


async def main() -> None:
    """Produce one event, and handle it twice."""
    interceptors: list[HandleInterceptor] = [] if "private" in sys.argv else [LogTracebacks()]
    async with memory_backbone(handle_interceptors=interceptors) as backbone:
        await backbone.producer(Shop, uri="shop").paid("No.47-11")
        retry = RetryPolicy(max_attempts=2, backoff=timedelta())
        async with backbone.subscribe(consumer, uri="shop", group="g", retry=retry, max_events=1) as subscription:
            await subscription.wait()


if __name__ == "__main__":
    trace.set_tracer_provider(TracerProvider())
    if "sentry" in sys.argv:
        print_what_sentry_gets()
    if "configured" in sys.argv:
        logging.basicConfig(format="mine: %(message)s", level=logging.INFO)
    if "supervised" in sys.argv:
        name_worker(2)
    configure_logging(logging.INFO)
    asyncio.run(main())
