"""The worker's own process: it handles events, serves its health, and stops gracefully."""

import http.client
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from event_backbone.testing.servers import RedisServer
from tests.cli.conftest import Shop
from tests.cli.running import start_shop


class Worker:
    """A running worker whose log is read line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Watch this process."""
        assert process.stderr is not None
        self.process = process
        self._log: IO[str] = process.stderr

    def wait_for(self, words: str) -> str:
        """Return the next log line that contains these words."""
        for line in self._log:
            if words in line:
                return line
        raise AssertionError(f"the worker ended without logging {words!r}")

    def stop(self) -> int:
        """Stop it gracefully, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        return self.process.returncode


def get(port: int, path: str) -> tuple[int, dict[str, str]]:
    """Ask a health port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def environment(redis_url: str) -> dict[str, str]:
    """The variables of the session's Redis."""
    return {"REDIS_EVENT_SOURCE_ENDPOINT": redis_url, "EVENT_SOURCE_ENVIRONMENT": "test"}


def start_worker(tmp_path: Path, environment: dict[str, str]) -> tuple[Worker, int]:
    """Start a worker with a health port, and return both."""
    worker = Worker(start_shop("worker", "--health-port", "0", temporary=tmp_path, environment=environment))
    found = re.search(r":(\d+)/health/ready", worker.wait_for("Health is served"))
    assert found is not None
    worker.wait_for("Handling events of shop as group main-consumer.")
    return worker, int(found[1])


def test_a_worker_handles_events_and_serves_its_health(
    redis_shop: Shop, environment: dict[str, str], tmp_path: Path
) -> None:
    """Ready while it reads; dead letters are listed, and handled again once redriven; SIGTERM ends it with 0."""
    worker, port = start_worker(tmp_path, {**environment, "SHOP_FAILS": "always"})
    assert get(port, "/health/live") == (200, {"status": "ok"})
    until(lambda: get(port, "/health/ready") == (200, {"status": "ok"}))
    assert get(port, "/")[0] == 404
    key = redis_shop("produce", "order_placed", "--sample").output.strip()
    until(lambda: bool(redis_shop("dead-letters", "list", "--json").lines))
    (letter,) = redis_shop("dead-letters", "list", "--json").lines
    assert (letter["key"], letter["reason"], letter["event"]) == (key, "rejected", "order_placed")
    assert re.fullmatch(r"\['tests/cli/shop.py:\d+ in order_placed'\]", str(letter["place"]))
    table = redis_shop("dead-letters", "list").output
    assert re.search(r"rejected .* event_backbone.errors.Reject .*\n.* tests/cli/shop.py:\d+ in order_placed", table)
    assert worker.stop() == 0
    assert "1 event redriven: " in redis_shop("dead-letters", "redrive", key).output
    healed, _ = start_worker(tmp_path, environment)
    until(lambda: not redis_shop("pending", "--json").lines)
    assert redis_shop("dead-letters", "list").output == "Group main-consumer has no dead letters.\n"
    assert healed.stop() == 0


def test_a_worker_waits_for_redis_and_is_not_ready_meanwhile(own_redis: RedisServer, tmp_path: Path) -> None:
    """It survives an outage: 503 with a sentence while Redis is down, 200 when it is back."""
    worker, port = start_worker(tmp_path, own_redis.environment())
    until(lambda: get(port, "/health/ready")[0] == 200)
    own_redis.kill()
    until(lambda: get(port, "/health/ready")[0] == 503)
    assert get(port, "/health/ready")[1]["detail"].endswith(".")
    assert get(port, "/health/live")[0] == 200
    own_redis.start()
    until(lambda: get(port, "/health/ready")[0] == 200)
    assert worker.stop() == 0


@pytest.mark.parametrize("how", ["task", "thread"])
def test_a_worker_ends_although_a_handler_never_does(
    how: str, redis_shop: Shop, environment: dict[str, str], tmp_path: Path
) -> None:
    """One that swallows its cancellation, or waits in a thread: exit code 1, a sentence, and the event goes back."""
    worker, _ = start_worker(tmp_path, {**environment, "SHOP_HANGS": how})
    redis_shop("produce", "closed", "--sample")
    worker.wait_for("Hanging.")
    began = time.monotonic()
    assert worker.stop() == 1
    assert time.monotonic() - began < 15
    (event,) = redis_shop("pending", "--json").lines
    assert (event["state"], event["attempts"]) == ("waiting", 0)


def test_a_taken_health_port_is_one_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    """Exit code 1, and nothing is left running."""
    first, port = start_worker(tmp_path, environment)
    second = start_shop("worker", "--health-port", str(port), temporary=tmp_path, environment=environment)
    _, errors = second.communicate(timeout=30)
    assert second.returncode == 1
    assert errors.splitlines()[-1] == f"Choose another health port: the worker cannot listen on 127.0.0.1:{port}."
    assert "Traceback" not in errors
    assert first.stop() == 0
