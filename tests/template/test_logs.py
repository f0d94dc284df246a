"""What a project logs of a handler that fails, on a terminal and elsewhere, and what Sentry gets of it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from event_backbone.testing.servers import RedisServer
from tests.template.rendering import Whole, run_in, saved_answers

SHOP = str(Path(__file__).with_name("failing_shop.py"))
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SECRET = "No.47-11"  # no random id contains it


@pytest.fixture
def project(whole: Whole) -> Path:
    """A project with everything."""
    return whole(saved_answers("default"))


def json_lines(text: str) -> list[dict[str, Any]]:
    """Return what was logged; every line is one JSON object."""
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_of_a_handler_has_its_event_and_a_traceback_is_logged_once(project: Path) -> None:
    """In JSON, the handler's own lines included; each attempt says where it failed and what happens next."""
    done = run_in(project, SHOP, "supervised")
    assert done.returncode == 0, done.stderr
    lines = json_lines(done.stderr)
    assert [(each["level"], each["logger"], each["attempt"]) for each in lines] == [
        ("INFO", "shop.handlers", 1),
        ("ERROR", "shipment_tracking.logs", 1),
        ("WARNING", "event_backbone.subscription.outcome", 1),
        ("INFO", "shop.handlers", 2),
        ("ERROR", "event_backbone.subscription.outcome", 2),
    ]
    assert all(TIME.fullmatch(each["time"]) and each["event"] == "paid" and each["worker"] == 2 for each in lines)
    assert len({(each["key"], each["correlation_id"]) for each in lines}) == 1
    assert [lines[0]["trace_id"], lines[3]["trace_id"]] == [lines[2]["trace_id"], lines[4]["trace_id"]]
    assert re.fullmatch(r"[0-9a-f]{32}", lines[0]["trace_id"])
    assert (lines[0]["message"], lines[0]["amount"]) == ("Charging.", 3)
    assert lines[1]["exc_info"].endswith("ValueError: card No.47-11 is blocked")
    place = r"failing_shop.py:\d+ in paid > failing_shop.py:\d+ in charge"
    assert re.search(f"attempt 1 with ValueError at {place}. It will be retried", lines[2]["message"])
    assert re.search(f"attempt 2 with ValueError at {place}. It goes to the dead letters", lines[4]["message"])
    assert SECRET in done.stderr
    assert SECRET not in run_in(project, SHOP, "private").stderr


def test_on_a_terminal_logs_are_text(project: Path) -> None:
    """One line an entry, which ends with the event that is being handled unless it names it, and the worker process."""
    terminal, of_process = os.openpty()
    process = subprocess.Popen(
        [sys.executable, SHOP, "private", "supervised"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project / "src")},
        stderr=of_process,
    )
    os.close(of_process)
    text = ""
    try:
        while read := os.read(terminal, 65536):
            text += read.decode()
    except OSError:  # how Linux ends a terminal
        pass
    os.close(terminal)
    assert process.wait(30) == 0
    first, second, *_ = text.splitlines()
    assert re.fullmatch(TIME.pattern + r" INFO shop\.handlers: Charging\. \[worker 2, paid \d+-0\]", first)
    assert re.fullmatch(TIME.pattern + r" WARNING event_backbone\.\S+: Event .* retried in 0 s\. \[worker 2\]", second)


def test_what_an_owner_has_configured_before_is_left_alone(project: Path) -> None:
    """Neither format nor level changes."""
    lines = run_in(project, SHOP, "configured", "private").stderr.splitlines()
    assert lines[0] == "mine: Charging."
    assert all(line.startswith("mine: ") for line in lines)


def test_sentry_gets_the_error_with_its_stack_and_each_dead_letter(project: Path) -> None:
    """With no more than ``sentry_sdk.init``. Without the interceptor: type and place, and nothing of the payload."""
    failure, dead = json_lines(run_in(project, SHOP, "sentry").stdout)
    (exception,) = failure["exception"]["values"]
    frames = exception["stacktrace"]["frames"]
    assert (exception["type"], [frame["function"] for frame in frames][-2:]) == ("ValueError", ["paid", "charge"])
    assert (failure["level"], failure["logger"]) == ("error", "shipment_tracking.logs")
    assert (dead["level"], dead["logger"]) == ("error", "event_backbone.subscription.outcome")
    (private,) = json_lines(run_in(project, SHOP, "sentry", "private").stdout)
    assert "ValueError at failing_shop.py:" in private["logentry"]["formatted"]
    assert "exception" not in private
    assert SECRET not in json.dumps(private)


def test_the_servers_own_lines_are_logged_like_all_others(project: Path, redis_server: RedisServer) -> None:
    """What uvicorn says of its start and of each request is JSON too."""
    lines: list[dict[str, Any]] = []
    with subprocess.Popen(
        [sys.executable, "-m", "shipment_tracking", "serve", "--port", "0"],
        cwd=project,
        env=os.environ | redis_server.environment() | {"PYTHONPATH": str(project / "src")},
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(json.loads(line))
            if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", lines[-1]["message"]):
                with closing(http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)) as connection:
                    connection.request("GET", "/events/1-0")
                    assert connection.getresponse().status == 404
                process.send_signal(signal.SIGTERM)
    assert all(TIME.fullmatch(each["time"]) and "color_message" not in each for each in lines)
    assert ("uvicorn.access", "INFO") in [(each["logger"], each["level"]) for each in lines]
