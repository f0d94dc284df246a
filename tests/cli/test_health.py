"""`health`: what probes of the image, compose and Kubernetes run."""

import socket
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from event_backbone.testing.free_port import free_port
from event_backbone.testing.servers import RedisServer
from event_backbone.web.probe import API, WORKER, answer_probe, check_health
from tests.cli.conftest import Shop
from tests.cli.running import start_shop
from tests.support.processes import printed_by

PROCESSES = (API, WORKER)
EVERYWHERE = "0.0.0.0"  # noqa: S104 - the probe has to ask on the loopback address


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Where both processes listen, as the image says it, but at free ports of this machine."""
    found = {
        "SERVE_HOST": EVERYWHERE,
        "SERVE_PORT": str(free_port()),
        "WORKER_HEALTH_HOST": EVERYWHERE,
        "WORKER_HEALTH_PORT": str(free_port()),
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


def answered(environ: dict[str, str], *arguments: str) -> bool:
    """Whether the probe answers; it then leaves the process."""
    try:
        answer_probe(["health", *arguments], PROCESSES, environ)
    except SystemExit:
        return True
    return False


def test_whichever_process_runs_is_asked_for_its_health(
    shop: Shop, variables: dict[str, str], own_redis: RedisServer, tmp_path: Path
) -> None:
    """Before it runs, while it works, and while Redis is down: alive, but not ready. By the variables alone."""
    api, worker = (f"127.0.0.1:{variables[name]}" for name in ("SERVE_PORT", "WORKER_HEALTH_PORT"))
    absent = f"The web API at {api} is not running, or listens elsewhere."
    before = shop("health")
    assert (before.code, before.output) == (1, "")
    assert before.errors == f"{absent} The worker at {worker} is not running, or listens elsewhere.\n"

    loopback = {name: value.replace(EVERYWHERE, "127.0.0.1") for name, value in variables.items()}
    process = start_shop("worker", temporary=tmp_path, environment=loopback | own_redis.environment())
    assert process.stderr is not None
    assert any("Handling events of shop" in line for line in process.stderr)
    assert shop("health") == shop("health", "worker")
    assert shop("health").output == f"The worker at {worker} is alive.\n"
    while shop("health", "--ready").code:
        assert process.poll() is None
    assert shop("health", "worker", "--ready").output == f"The worker at {worker} is ready.\n"
    assert (shop("health", "api").code, shop("health", "api").errors) == (1, f"{absent}\n")

    own_redis.kill()
    while not (unready := shop("health", "--ready")).code:
        assert process.poll() is None
    assert unready.errors.startswith(f"The worker at {worker} is not ready: ")
    assert shop("health").code == 0
    process.terminate()
    process.communicate(timeout=30)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (None, "does not answer within 0.5 seconds."),
        (b"SSH-2.0-sample\r\n", "does not answer over HTTP."),
        (b"HTTP/1.0 200 OK\r\n\r\n<h1>", "is not alive: the answer is not that of this project."),
        (b'HTTP/1.0 200 OK\r\n\r\n{"up": true}', "is not alive: the answer is not that of this project."),
    ],
    ids=["silent", "ssh", "html", "json"],
)
def test_what_does_not_answer_or_is_another_program_is_not_healthy(answer: bytes | None, sentence: str) -> None:
    """A blocked event loop still accepts connections; another program's answer is not taken for ours."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answering = threading.Thread(target=_answer_once, args=(server, answer or b""))
        if answer is not None:
            answering.start()
        health = check_health({WORKER: ("127.0.0.1", port)}, ready=False, within=timedelta(milliseconds=500))
        if answer is not None:
            answering.join()
    assert health == (False, f"The worker at 127.0.0.1:{port} {sentence}")


def _answer_once(server: socket.socket, answer: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(answer)


@pytest.mark.parametrize("arguments", [("worker",), ()], ids=["worker", "any"])
def test_a_worker_that_serves_no_health_is_one_sentence(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """It says which variable is missing; nothing to ask is not healthy."""
    monkeypatch.setenv("SHOP_ROLE", "consumer")
    answer = shop("health", *arguments)
    assert (answer.code, answer.output) == (1, "")
    assert answer.errors.startswith("Set WORKER_HEALTH_PORT, for the worker or archiver and for this command")


@pytest.mark.parametrize(
    ("arguments", "set_to", "expected"),
    [
        ((), {}, True),
        (("worker", "--ready"), {}, True),
        (("api",), {"WORKER_HEALTH_PORT": ""}, True),
        ((), {"WORKER_HEALTH_PORT": ""}, False),
        ((), {"SERVE_PORT": "tcp://10.0.0.1:80"}, False),
        (("--help",), {}, False),
        (("api", "worker"), {}, False),
        (("database",), {}, False),
    ],
)
def test_a_probe_is_answered_without_the_command_line_only_where_the_variables_suffice(
    variables: dict[str, str], arguments: tuple[str, ...], set_to: dict[str, str], *, expected: bool
) -> None:
    """Otherwise the settings are read, or the usage error is shown, by the command line."""
    assert answered(variables | set_to, *arguments) == expected


def test_a_probe_loads_neither_the_runtime_nor_a_library() -> None:
    """It runs every few seconds, beside the process that it asks: 0.15 s of CPU instead of 1.2."""
    code = "import sys; import event_backbone.web.probe; print(*sys.modules)"
    loaded = set(printed_by(code).split())
    assert not {"pydantic", "typer", "redis", "fastapi", "asyncio", "dataclasses", "opentelemetry"} & loaded
    ours = {each for each in loaded if each.startswith("event_backbone")}
    assert ours == {"event_backbone", "event_backbone.errors", "event_backbone.web", "event_backbone.web.probe"}
