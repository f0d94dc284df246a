"""The web API's own process: it starts, says what keeps it from starting, and stops gracefully."""

import http.client
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import REPOSITORY, start_shop


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_api_serves_until_a_signal_and_a_taken_port_is_one_sentence(
    redis_url: str, tmp_path: Path, how: signal.Signals
) -> None:
    """Health answers on the chosen port, and is not logged; a second server there fails; both signals end with 0."""
    environment = {"REDIS_EVENT_SOURCE_ENDPOINT": redis_url}
    server = start_shop("serve", "--port", "0", temporary=tmp_path, environment=environment)
    assert server.stderr is not None
    found = next(match for line in server.stderr if (match := re.search(r"running on http://127.0.0.1:(\d+)", line)))
    port = found[1]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    connection.request("GET", "/health/ready")
    assert connection.getresponse().status == 200
    connection.close()
    second = start_shop("serve", "--port", port, temporary=tmp_path, environment=environment)
    _, errors = second.communicate(timeout=30)
    assert second.returncode == 1
    sentence = f"The web API cannot listen on 127.0.0.1:{port}; choose another --port or --host."
    assert errors.splitlines()[-1] == sentence
    server.send_signal(how)
    _, errors = server.communicate(timeout=30)
    assert server.returncode == 0
    assert "Traceback" not in errors
    assert "/health/ready" not in errors


def test_settings_that_are_wrong_keep_the_api_from_starting_with_one_sentence(tmp_path: Path) -> None:
    """Whether they show when the application is made, or when its lifespan starts; no traceback."""
    for late in ("", "1"):
        server = start_shop("serve", "--port", "0", temporary=tmp_path, environment={"SHOP_LATE": late})
        _, errors = server.communicate(timeout=30)
        assert server.returncode == 1
        assert errors.splitlines()[-1].startswith("REDIS_EVENT_SOURCE_ENDPOINT is not set; use host:port")
        assert "Traceback" not in errors


def test_a_defect_at_the_start_keeps_its_traceback(redis_url: str, tmp_path: Path) -> None:
    """And the last line does not blame the port."""
    environment = {"REDIS_EVENT_SOURCE_ENDPOINT": redis_url, "SHOP_BROKEN": "1"}
    server = start_shop("serve", "--port", "0", temporary=tmp_path, environment=environment)
    _, errors = server.communicate(timeout=30)
    assert server.returncode == 1
    assert "LookupError: a defect" in errors
    assert errors.splitlines()[-1] == "The application failed to start; its error is in the log."


def test_uvicorn_itself_says_in_one_sentence_which_setting_is_missing(tmp_path: Path) -> None:
    """``uvicorn tests.cli.shop_api:app`` starts without ``serve``, and without its texts."""
    command = [sys.executable, "-m", "uvicorn", "tests.cli.shop_api:app", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if "EVENT_SOURCE" not in name}
    environment |= {"PYTHONPATH": os.pathsep.join((str(REPOSITORY / "template/src"), str(REPOSITORY)))}
    done = subprocess.run(
        command,
        env=environment | {"SHOP_LATE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 3
    assert "REDIS_EVENT_SOURCE_ENDPOINT is not set; use host:port" in done.stderr
    assert "Traceback" not in done.stderr
