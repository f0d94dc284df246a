"""The web API's own process: it starts, tells what keeps it from starting, and stops in order."""

import http.client
import re
import signal
from pathlib import Path

import pytest

from tests.cli.running import start_shop


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_api_serves_until_it_is_told_to_stop_and_a_taken_port_is_one_sentence(
    redis_url: str, tmp_path: Path, how: signal.Signals
) -> None:
    """Health answers on the chosen port; a second server there fails; Ctrl-C or SIGTERM ends the first with 0."""
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


def test_settings_that_are_wrong_keep_the_api_from_starting_with_one_sentence(tmp_path: Path) -> None:
    """Whether they show when the application is made, or when its lifespan starts; no traceback."""
    for late in ("", "1"):
        server = start_shop("serve", "--port", "0", temporary=tmp_path, environment={"SHOP_LATE": late})
        _, errors = server.communicate(timeout=30)
        assert server.returncode == 1
        assert errors.splitlines()[-1].startswith("REDIS_EVENT_SOURCE_ENDPOINT is not set; use host:port")
        assert "Traceback" not in errors
