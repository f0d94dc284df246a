"""Sending by OTLP: what arrives at a collector, what the variables choose, and that nobody waits for a dead one."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from event_backbone.otlp import configure_otlp
from event_backbone.spans import tracing
from event_backbone.testing.servers import RedisServer
from tests.cli.running import REPOSITORY, shop, start_shop
from tests.support.collector import Collector

TRACES, METRICS = "/v1/traces", "/v1/metrics"

# Records a span and a metric and ends, in a forked process as well when asked to.
RECORDING = """
import os, sys
from event_backbone import telemetry
from event_backbone.otlp import configure_otlp
from event_backbone.spans import ProduceSpans

configure_otlp("given")
if "fork" in sys.argv and os.fork():
    os.wait()
with ProduceSpans("stream").producing("note"):
    telemetry.produced.add(1, {})
print("recorded")
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that works."""
    with Collector() as collector:
        yield collector


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def _start(environment: Mapping[str, str], *arguments: str) -> "subprocess.Popen[str]":
    path = os.pathsep.join((str(REPOSITORY / "template" / "src"), str(REPOSITORY)))
    return subprocess.Popen(
        [sys.executable, "-c", RECORDING, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path} | dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finished(process: "subprocess.Popen[str]") -> tuple[str, str]:
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output, errors


def test_a_command_sends_its_spans_and_metrics_before_it_ends(
    collector: Collector, redis_server: RedisServer, tmp_path: Path
) -> None:
    """One command is shorter than any interval of sending."""
    to_collector = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}"}
    done = shop("produce", "closed", temporary=tmp_path, environment=redis_server.environment() | to_collector)
    assert done.returncode == 0
    assert "export" not in done.stderr
    assert "produce closed" in collector.names(TRACES, "shop")
    assert "event_backbone.produced" in collector.names(METRICS, "shop")


def test_the_standard_variables_choose_what_is_sent_and_where(collector: Collector) -> None:
    """One endpoint alone, an exporter that is none; the service's name by its precedence."""
    base = f"http://{collector.address}"
    everything = {"OTEL_EXPORTER_OTLP_ENDPOINT": base}
    attributes = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=by-attribute,team=ships"}
    cases: dict[str, tuple[dict[str, str], set[str]]] = {
        "by-name": (everything | attributes, {TRACES, METRICS}),
        "by-attribute": ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{base}/t"} | attributes, {"/t"}),
        "metrics-alone": ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{base}/m"}, {"/m"}),
        "exporters": (everything | {"OTEL_TRACES_EXPORTER": "None", "OTEL_METRICS_EXPORTER": "otlp,zipkin"}, {METRICS}),
    }
    running = {
        name: _start(variables if name == "by-attribute" else variables | {"OTEL_SERVICE_NAME": name})
        for name, (variables, _) in cases.items()
    }
    said = {name: _finished(process) for name, process in running.items()}
    assert {name: errors for name, (_, errors) in said.items() if errors} == {
        "exporters": "OTEL_METRICS_EXPORTER has zipkin, which is ignored here: use otlp or none.\n"
    }
    paths = {TRACES, METRICS, "/t", "/m"}
    sent = {name: {path for path in paths if collector.names(path, name)} for name in cases}
    assert sent == {name: wanted for name, (_, wanted) in cases.items()}
    teams = {each["service.name"] for each in collector.resources() if each.get("team") == "ships"}
    assert teams == {"by-name", "by-attribute"}


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "True"},
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
        },
    ],
)
def test_without_a_collector_nothing_is_set_up(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """No provider that records, and no thread that sends."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    before = set(threading.enumerate())
    configure_otlp("given")
    assert not tracing()
    assert set(threading.enumerate()) == before


def test_a_forked_process_sends_its_own(collector: Collector) -> None:
    """As another instance of the service: two with one id would overwrite each other's metrics."""
    output, _ = _finished(_start({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}"}, "fork"))
    assert output.count("recorded") == 2
    assert collector.sent(TRACES) == {"produce note"}
    instances = [each["service.instance.id"] for each in collector.resources() if each["service.name"] == "given"]
    assert (len(instances), len(set(instances))) == (4, 2)


@pytest.mark.parametrize("dead", ["refuses", "is silent"])
def test_a_dead_collector_does_not_hold_up_a_command(
    dead: str, silent: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Half a second after its answer at most, and a margin for a busy machine; by itself the SDK takes up to twenty."""
    address = "127.0.0.1:1" if dead == "refuses" else silent
    variables = redis_server.environment() | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}"}
    process = start_shop("produce", "closed", temporary=tmp_path, environment=variables)
    assert process.stdout is not None
    key = process.stdout.readline()
    began = time.monotonic()
    process.communicate(timeout=60)
    assert time.monotonic() - began < 2.5
    assert (process.returncode, "-" in key) == (0, True)


def test_a_dead_collector_does_not_hold_up_a_stop(silent: str, redis_server: RedisServer, tmp_path: Path) -> None:
    """Nor does it cost the exit code; what was lost is said."""
    variables = redis_server.environment() | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{silent}",
        "OTEL_METRIC_EXPORT_INTERVAL": "100",  # so that one is under way when the worker stops
    }
    process = start_shop("worker", temporary=tmp_path, environment=variables)
    assert process.stderr is not None
    assert any("Handling events" in line for line in process.stderr)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 3.5
    assert process.returncode == 0
    # The second is what the SDK says when the exporter is shut down before it has given up.
    assert "collector did not answer in time" in errors or "Failed to export metrics batch" in errors
