"""Sends an order with pydantic models through a project's web API, and follows it through storage and handler.

Run it with the Python of a rendered project (`answers/models.yml`, or other answers with the default events and a web
API) to which `order_models.patch` was applied. It starts its own servers and processes and leaves none behind.
"""
# ruff: noqa: INP001, S310, T201

import asyncio
import contextlib
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib import import_module

from event_backbone import StoredEvent
from event_backbone.cli.demo.read_back import S3ReadBack
from event_backbone.testing.free_port import LOOPBACK, free_port
from event_backbone.testing.process import OwnedProcess
from event_backbone.testing.servers import RedisServer, S3Server

PACKAGE = "shipment_tracking"
BUCKET = "orders"
WITHIN = timedelta(seconds=30)
ORDER = {
    "user": {"email": "ada@example.com", "name": "Ada"},
    "product": {"id": 7, "name": "Bird feeder", "price": "19.90"},
    "time": "2026-01-31T12:00:00Z",
}
PACKING = {"email": "ada@example.com", "product_id": 7, "time": "2026-01-31T12:00:00Z"}


def main() -> None:
    """Start everything, order, and show what became of it; fail if anything is not as it should be."""
    settings = import_module(f"{PACKAGE}.settings")
    with contextlib.ExitStack() as stack:
        s3 = _starting(stack) if hasattr(settings, "BUCKET") else None
        redis = stack.enter_context(RedisServer())
        os.environ.update(redis.environment() | {"EVENT_SOURCE_ENVIRONMENT": "demo"})
        port = free_port()
        address = f"http://{LOOPBACK}:{port}"
        api = stack.enter_context(_process("serve", "--port", str(port)))
        worker = stack.enter_context(_process("worker"))
        if s3 is not None:
            s3.wait_ready()
            s3.create_bucket(BUCKET)
        if not api.wait_until(lambda: _is_ready(address), WITHIN):
            sys.exit(f"The web API ended: {api.last_words()}")

        location = _post(f"{address}/events/order-placed", ORDER)
        order = _get(address + location)
        _expect(order["arguments"], ORDER)
        print(f"POST /events/order-placed answered 201 and {location}")
        if s3 is not None:
            print(f"The payload, User and Product, is in {_place_of(s3, str(order['event_id']))}")
        packing = asyncio.run(_caused_by(str(order["event_id"])))
        _expect(packing.arguments, PACKING)
        print(f"Process {worker.pid} handled it with both models, and produced {packing.metadata.event} {packing.key}")


def _starting(stack: contextlib.ExitStack) -> S3Server:
    """Start the S3 server, which loads while the rest starts."""
    server = S3Server()
    stack.callback(server.stop)
    server.start()
    os.environ.update(server.environment(BUCKET))
    return server


@contextlib.contextmanager
def _process(*arguments: str) -> Iterator[OwnedProcess]:
    process = OwnedProcess(f"The process {arguments[0]!r}")
    try:
        process.start([sys.executable, "-m", PACKAGE, *arguments], environment=os.environ)
        yield process
    finally:
        process.close()


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health/ready", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _post(url: str, body: Mapping[str, object]) -> str:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.headers["Location"])


def _get(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def _place_of(s3: S3Server, event_id: str) -> str:
    variables = s3.environment(BUCKET)
    names = ("S3_EVENT_SOURCE_ACCESS_KEY", "S3_EVENT_SOURCE_SECRET", "S3_EVENT_SOURCE_REGION")
    places = S3ReadBack(BUCKET, s3.endpoint, *(variables[name] for name in names)).find(event_id)
    if len(places) != 1:
        sys.exit(f"There must be one record of the event in S3, not {len(places)}.")
    return str(places[0])


async def _caused_by(event_id: str) -> StoredEvent:
    """Wait for the event that a handler produced because of this one."""
    bootstrap, settings = import_module(f"{PACKAGE}.bootstrap"), import_module(f"{PACKAGE}.settings")
    async with (
        asyncio.timeout(WITHIN.total_seconds()),
        bootstrap.open_backbone(settings.load_settings()) as backbone,
    ):
        async for each in backbone.reader(settings.URI).scan(follow=True):
            if each.metadata.causation_id == event_id:
                return each
    raise AssertionError


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        sys.exit(f"Found {found}, but expected {wanted}.")


if __name__ == "__main__":
    main()
