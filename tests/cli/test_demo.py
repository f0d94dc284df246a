"""The demo: every event goes its whole way, and nothing is left behind, however it ends."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.cli.running import left_behind, shop, start_shop

EVENTS = ("order_placed", "packing", "closed")


@pytest.mark.parametrize("role", ["both", "producer", "consumer"])
def test_every_event_is_stored_and_handled_once(role: str, tmp_path: Path) -> None:
    """Each role's demo shows every event and where its payload is stored; a worker process handled it."""
    done = shop("demo", temporary=tmp_path, environment={"SHOP_ROLE": role})
    assert (done.returncode, done.stderr) == (0, "")
    for name in EVENTS:
        (row,) = [line for line in done.stdout.splitlines() if line.startswith(f"  {name} ")]
        assert "{demo:shop}:payload:" in row
        assert (": handled" in row) == (role != "producer")
    assert left_behind(tmp_path) == []


def test_with_s3_the_payloads_are_in_the_bucket(tmp_path: Path) -> None:
    """What the demo's own S3 client found is shown, and each event was handled; the archive is one object.

    Then Redis is lost, everything is restored, and a new group handles every event.
    """
    done = shop("demo", temporary=tmp_path, environment={"SHOP_STORAGE": "s3", "SHOP_ARCHIVE": "yes"})
    assert (done.returncode, done.stderr) == (0, "")
    before, after = done.stdout.split("Redis was killed")
    assert before.count("s3://demo-events/demo/packs/") == before.count(": handled") == len(EVENTS)
    assert f"Restored {len(EVENTS)} events from the archive" in after
    assert after.count(": handled") == len(EVENTS)
    segment = (
        "Archived in s3://demo-events/demo/archive/shop/0/1970/01/01/00000000000000000000-00000000000000000000.jsonl"
    )
    assert done.stdout.count(segment) == 1
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    "option", ["--cluster", pytest.param("--sentinel", marks=pytest.mark.long)], ids=lambda option: option
)
def test_several_servers_serve_the_demo_as_one_does(option: str, tmp_path: Path) -> None:
    """A cluster, or Sentinels: everything goes its whole way, Redis is lost and restored, and nothing is left."""
    environment = {"SHOP_STORAGE": "s3", "SHOP_ARCHIVE": "yes"}
    done = shop("demo", option, temporary=tmp_path, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"redis+{option.removeprefix('--')}://" in done.stdout
    assert done.stdout.count(": handled") == 2 * len(EVENTS)
    assert left_behind(tmp_path) == []


def test_only_one_kind_of_redis_is_chosen(tmp_path: Path) -> None:
    """One sentence, before anything starts."""
    done = shop("demo", "--cluster", "--sentinel", temporary=tmp_path, environment={})
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "Choose --cluster or --sentinel, not both.\n")


def test_a_retried_event_is_shown_with_both_attempts(tmp_path: Path) -> None:
    """A failure followed by a successful retry does not fail the demo; nor do payloads in the stream entries."""
    done = shop("demo", temporary=tmp_path, environment={"SHOP_FAILS": "once", "SHOP_STORAGE": "inline"})
    assert done.returncode == 0
    assert ": failed" in done.stdout
    assert done.stdout.count("Redis stream demo:shop, entry ") == len(EVENTS)


def test_an_event_that_was_not_handled_fails_the_demo(tmp_path: Path) -> None:
    """Exit code 1, and a sentence that names the event."""
    done = shop("demo", temporary=tmp_path, environment={"SHOP_FAILS": "always"})
    assert done.returncode == 1
    assert done.stderr.endswith("order_placed was handled 0 times, not once; the worker's log is above.\n")
    assert "Traceback" not in done.stderr
    assert left_behind(tmp_path) == []


def test_without_a_server_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    """No traceback, exit code 1."""
    done = shop("demo", temporary=tmp_path, environment={"EVENT_BACKBONE_REDIS_BINARY": "/nowhere"})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "EVENT_BACKBONE_REDIS_BINARY must be an executable file, and '/nowhere' is not.\n"


@pytest.mark.parametrize(
    ("number", "seconds"),
    [
        (signal.SIGINT, 0.0),
        (signal.SIGTERM, 0.4),
        (signal.SIGINT, 1.0),
        pytest.param(signal.SIGTERM, 0.0, marks=pytest.mark.long),
        pytest.param(signal.SIGINT, 0.4, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, 1.0, marks=pytest.mark.long),
    ],
)
def test_nothing_is_left_after_an_interruption_at_any_moment(
    number: signal.Signals, seconds: float, tmp_path: Path
) -> None:
    """Ctrl-C reaches the whole process group of a terminal; servers, processes and folders are gone soon after."""
    process = start_shop("demo", temporary=tmp_path, environment={"SHOP_STORAGE": "s3"})
    assert process.stdout is not None
    process.stdout.readline()  # the servers have been started
    time.sleep(seconds)  # which moment it hits differs from run to run; each must be right
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in {130, 0}, errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + 10
    while left := left_behind(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
