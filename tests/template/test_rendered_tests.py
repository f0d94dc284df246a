"""The tests of rendered projects pass right after rendering, for answers that together cover every choice."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.template.matrix import CORE, answers_of, every_row, pairwise
from tests.template.rendering import Answers, Whole, package_of, run_in, saved_answers

pytestmark = pytest.mark.timeout(300)
ROWS = every_row()
# A third of the pairwise rows runs each time, the others with ``--all``; a test of the docs runs the default's.
PROJECTS = [
    *(
        pytest.param(answers_of(ROWS[number], number), id=str(number), marks=[pytest.mark.long] if place % 3 else [])
        for place, number in enumerate(pairwise(ROWS, CORE))
    ),
    pytest.param(saved_answers("many-events"), id="many-events"),
]

# Python runs this wherever the folder is on its path, in children as well: connections leave the machine for no reason.
NO_NETWORK = """
import os, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[-1] if event != "socket.connect" else arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in (None, "", "localhost", "::1", "0.0.0.0", "::") and not host.startswith("127."):
        with open(os.environ["CALLED_FROM_HERE"], "a") as file:
            file.write(f"{event} {host}\\n")
        raise PermissionError(f"{host} is not on this machine.")

sys.addaudithook(refuse)
"""
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def closed_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for Python's path that keeps processes on this machine, and records attempts to leave it."""
    folder = tmp_path_factory.mktemp("closed_network")
    (folder / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    return folder


def _run(project: Path, closed_network: Path, *command: str) -> Done:
    called = closed_network / f"{project.name}-{command[-1]}"
    nowhere = "http://127.0.0.1:9"  # for what is not Python: obstore
    variables = {
        "PYTHONPATH": os.pathsep.join([str(project / "src"), str(closed_network)]),
        "CALLED_FROM_HERE": str(called),
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), nowhere),
        "NO_PROXY": "127.0.0.1,localhost",
    }
    done = run_in(project, *command, variables=variables, timeout=240)
    assert not called.exists(), called.read_text(encoding="utf-8")
    return done


@pytest.mark.parametrize("answers", PROJECTS)
def test_the_tests_of_a_project_pass(whole: Whole, closed_network: Path, answers: Answers) -> None:
    """Right after rendering, for each two values that answers can have together; without any network."""
    done = _run(whole(answers), closed_network, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE), "none may be skipped, and none may warn"


def test_leaving_the_machine_is_noticed(closed_network: Path, whole: Whole) -> None:
    """The guard of the tests above works."""
    project = whole(saved_answers("default"))
    for call in ("create_connection(('192.0.2.1', 80), 1)", "getaddrinfo('example.com', 80)"):
        with pytest.raises(AssertionError, match=r"socket\.(connect|getaddrinfo) (192\.0\.2\.1|example\.com)"):
            _run(project, closed_network, "-c", f"import socket; socket.{call}")


@pytest.mark.parametrize("name", ["s3-cached", "producer", "consumer"])
def test_the_demo_of_a_project_runs(whole: Whole, closed_network: Path, name: str) -> None:
    """One command, real servers and processes, every event exactly once; without any network, too."""
    project = whole(saved_answers(name))
    done = _run(project, closed_network, "-m", package_of(project), "demo")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize("name", ["s3", "minimal", "models", "many-events"])
def test_the_demo_of_another_project_runs(whole: Whole, closed_network: Path, name: str) -> None:
    """The same for the other saved answers."""
    project = whole(saved_answers(name))
    done = _run(project, closed_network, "-m", package_of(project), "demo")
    assert done.returncode == 0, done.stdout + done.stderr
