"""``python -m event_backbone.testing``: servers for development, until Ctrl-C."""

import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from event_backbone.settings import RedisSettings, Topology
from event_backbone.testing.free_port import LOOPBACK

BELOW_THOSE_OF_CLIENTS = range(15_000, 30_000)
SOURCE = Path(__file__).parents[2] / "template" / "src"


def first_of_free_ports(count: int) -> int:
    """Return a port that is free, as are those after it."""
    for first in random.sample(BELOW_THOSE_OF_CLIENTS, 100):
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind((LOOPBACK, port))
            return first
    raise AssertionError


@pytest.mark.parametrize(
    ("options", "topology"), [((), "single"), (("--cluster",), "cluster"), (("--sentinel",), "sentinel")]
)
def test_the_variables_point_to_servers_that_run_until_ctrl_c(
    options: tuple[str, ...], topology: Topology, tmp_path: Path
) -> None:
    """With a chosen port they are the same at each start; nothing is left at the end."""
    port = first_of_free_ports(6)
    process = subprocess.Popen(
        [sys.executable, "-m", "event_backbone.testing", *options, "--port", str(port)],
        env=os.environ | {"PYTHONPATH": str(SOURCE), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    name, _, value = process.stdout.readline().strip().partition("=")
    try:
        assert name == "REDIS_EVENT_SOURCE_ENDPOINT", process.communicate(timeout=30)
        settings = RedisSettings.parse(value)
        assert (settings.topology, settings.servers[0]) == (topology, f"127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert not list(tmp_path.iterdir())
