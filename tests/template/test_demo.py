"""``scripts/demo``: the main job in one command, which leaves nothing behind."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import copier
import pytest

from tests.template.rendering import ROOT, commit, git

pytestmark = pytest.mark.timeout(400)


@contextmanager
def _demo(temporary: Path, *arguments: str, root: Path = ROOT) -> Generator[subprocess.Popen[str]]:
    """The demo in its own process group, as a shell would start it, with its own temporary folder."""
    temporary.mkdir()
    process = subprocess.Popen(
        [root / "scripts/demo", *arguments],
        cwd=temporary.parent,
        env=os.environ | {"TMPDIR": str(temporary), "NO_COLOR": "1", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _processes_of(temporary: Path) -> list[str]:
    """The command lines and folders of processes that still have to do with a temporary folder."""
    found: list[str] = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            text = (each / "cmdline").read_text() + " " + str((each / "cwd").readlink())
        except OSError:
            continue
        if str(temporary) in text:
            found.append(text)
    return found


def test_the_demo_shows_every_event_and_leaves_nothing(tmp_path: Path) -> None:
    """Rendered, installed, produced, stored in S3, handled; with models; with personal data apart; then gone."""
    with _demo(tmp_path / "tmp") as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    for event in ("order_placed", "packing", "on_delivery", "on_received"):
        assert re.search(rf"{event} +\d+-\d+ +s3://\S+/shipment-tracking/\S+ .* 1 +process \d+: handled", output), (
            output
        )
    assert "/events/order-placed answered 201" in output
    assert "is in s3://orders/demo/" in output
    assert "handled it with both models" in output
    assert "and produced packing" in output
    assert "s3://customers/demo/" in output
    assert "statistics: somebody ordered Bird feeder for 19.90 (missing: user)" in output
    assert "is partial: {'personal': 'erased'}" in output
    assert "mailer-again: Bob <bob@example.com> ordered" in output
    assert list((tmp_path / "tmp").iterdir()) == []
    assert _processes_of(tmp_path) == []


def test_ctrl_c_leaves_nothing_either(tmp_path: Path) -> None:
    """Interrupted while servers and processes run, with its whole group, as a terminal does it."""
    with _demo(tmp_path / "tmp") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Redis-compatible server"):
                break
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 130
        deadline = time.monotonic() + 10
        while (left := _processes_of(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []
        assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--storage", "tape"], "Choose a storage: s3, redis-hash or s3-cached."),
        (["--keep", "."], "Choose a folder that is empty or not there yet: "),
        (["--fast"], "--fast is not an option of the demo."),
    ],
)
def test_a_wrong_option_is_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    """And nothing was started."""
    with _demo(tmp_path / "tmp", *arguments) as process:
        output, _ = process.communicate()
    assert process.returncode == 2
    assert output.startswith(sentence)


@pytest.mark.long
def test_a_kept_project_can_be_updated(tmp_path: Path) -> None:
    """With ``--keep``, from a clone without changes, the project is a repository that knows where it comes from."""
    clone = tmp_path / "clone"
    environments = (".venv", "build")
    shutil.copytree(
        ROOT, clone, ignore=shutil.ignore_patterns(".git", *environments, "__pycache__", ".*_cache", ".hypothesis")
    )
    commit(clone, "Everything")
    for each in environments:
        if (ROOT / each).exists():
            (clone / each).symlink_to(ROOT / each)
    (clone / ".git/info/exclude").write_text("\n".join(environments), encoding="utf-8")
    project = tmp_path / "kept"
    with _demo(tmp_path / "tmp", "--storage", "redis-hash", "--keep", str(project), root=clone) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    copier.run_update(project, data={"events": "Ping()"}, defaults=True, overwrite=True, unsafe=False, quiet=True)
    assert not git(project, "ls-files", "--unmerged")
    assert "def ping(self)" in (project / "src/shipment_tracking/contract.py").read_text(encoding="utf-8")
