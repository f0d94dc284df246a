"""The runtime's manifest is current: projects use it to find manual edits of the runtime."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import event_backbone
from event_backbone.manifest import MANIFEST, edited_files, manifest_text
from tests.support.repository import ROOT

RUNTIME = ROOT / "template" / "src" / "event_backbone"


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A copy of the runtime with its manifest."""
    folder = tmp_path / "event_backbone"
    shutil.copytree(RUNTIME, folder, ignore=shutil.ignore_patterns("__pycache__", MANIFEST))
    (folder / MANIFEST).write_text(manifest_text(folder), encoding="utf-8")
    return folder


def test_the_manifest_is_current() -> None:
    """What is rendered next is what the manifest lists."""
    stale = edited_files(RUNTIME)
    if stale is None or stale:
        sentence = f"The runtime has changed, so run scripts/manifest: {', '.join(stale or [MANIFEST])}"
        pytest.fail(sentence, pytrace=False)


def test_every_file_that_git_knows_is_listed() -> None:
    """A kind of file that the manifest overlooks could be edited unseen."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "."],
        cwd=RUNTIME,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    known = {name for name in listed.stdout.split("\0") if name and (RUNTIME / name).exists()} - {MANIFEST}
    assert known == {line.partition("  ")[2] for line in manifest_text(RUNTIME).splitlines()}
    assert event_backbone.__file__ == str(RUNTIME / "__init__.py")


def test_every_kind_of_manual_edit_is_reported(runtime: Path) -> None:
    """A changed, an added, a removed file, in any folder and of any kind."""
    assert edited_files(runtime) == []
    (runtime / "policy.py").write_text("")
    (runtime / "stream" / "mine.lua").write_text("")
    (runtime / "README.md").write_text("Ours.")
    (runtime / "py.typed").unlink()
    assert edited_files(runtime) == ["README.md", "policy.py", "py.typed", "stream/mine.lua"]


def test_what_tools_and_git_do_is_not_a_manual_edit(runtime: Path) -> None:
    """Other line endings, as git may write them, bytecode, and hidden files of systems and editors."""
    for each in [path for path in runtime.rglob("*") if path.is_file()]:
        each.write_bytes(each.read_bytes().replace(b"\n", b"\r\n"))
    (runtime / "__pycache__").mkdir()
    (runtime / "__pycache__" / "policy.cpython-311.pyc").write_bytes(b"")
    (runtime / "old.pyc").write_bytes(b"")
    (runtime / ".DS_Store").write_bytes(b"")
    assert edited_files(runtime) == []


def test_the_script_writes_it_again(tmp_path: Path) -> None:
    """One command, from wherever it is called; the same files give the same manifest."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "manifest", tmp_path / "scripts")
    (tmp_path / "scripts" / "_environment").write_text('cd "$(dirname "${BASH_SOURCE[0]}")/.."\n')
    copy = tmp_path / "template" / "src" / "event_backbone"
    shutil.copytree(RUNTIME, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "policy.py").write_text((copy / "policy.py").read_text(encoding="utf-8") + "\n", encoding="utf-8")
    (copy / MANIFEST).write_text("")

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([tmp_path / "scripts/manifest"], cwd="/", env=os.environ | {"PATH": path}, check=True)

    assert edited_files(copy) == []
    assert (copy / MANIFEST).read_text(encoding="utf-8") == manifest_text(copy)
