"""A producer and a consumer project, rendered from the same answers, exchange every event as separate processes."""

import json
import os
import re
import sys
import time
from pathlib import Path

import pytest

from event_backbone.testing.process import OwnedProcess
from event_backbone.testing.servers import RedisServer, S3Server
from tests.template.rendering import Whole, package_of, run_in

EVENTS = ["order_placed", "packing", "on_delivery", "on_received"]


@pytest.mark.parametrize(
    "storage",
    [pytest.param("redis-hash", marks=pytest.mark.long), "s3", pytest.param("s3-cached", marks=pytest.mark.long)],
)
def test_every_event_of_a_producer_reaches_a_consumer(
    whole: Whole, redis_server: RedisServer, s3_server: S3Server, s3_bucket: str, storage: str
) -> None:
    """Each is handled once, in another process and by another project; afterwards nothing is pending."""
    answers = {"contract_name": "ShipmentTracking", "uri": "shipment-tracking", "storage": storage}
    producer = whole(answers | {"role": "producer", "project_name": "Shipment Producer"})
    consumer = whole(answers | {"role": "consumer", "project_name": "Shipment Consumer"})
    redis_server.flush()
    variables = redis_server.environment() | s3_server.environment(s3_bucket) | {"EVENT_SOURCE_ENVIRONMENT": "test"}

    keys = [
        run_in(producer, "-m", package_of(producer), "produce", event, "--sample", variables=variables).stdout.strip()
        for event in EVENTS
    ]
    handled = _handled_by_a_worker(consumer, variables, len(EVENTS))

    assert handled == list(zip(EVENTS, keys, strict=True))
    pending = run_in(consumer, "-m", package_of(consumer), "pending", variables=variables)
    assert pending.returncode == 0, pending.stderr
    assert not re.search(r"\d{13}-\d+", pending.stdout)


def _handled_by_a_worker(project: Path, variables: dict[str, str], count: int) -> list[tuple[str, str]]:
    """What the worker's handlers log, once they have logged this many events."""
    worker = OwnedProcess("The worker")
    log = worker.folder / "server.log"
    try:
        environment = os.environ | {"PYTHONPATH": str(project / "src")} | variables
        worker.start([sys.executable, "-m", package_of(project), "worker"], environment=environment)
        deadline = time.monotonic() + 30
        while len(found := _lines(log)) < count:
            assert worker.running, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.02)
        worker.terminate()
        found = _lines(log)
    finally:
        worker.close()
    return sorted(found, key=lambda each: each[1])


def _lines(log: Path) -> list[tuple[str, str]]:
    written = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return [(each["event"], each["key"]) for each in written if each["logger"].endswith(".handlers")]
