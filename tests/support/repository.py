"""The files of this repository."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MADE_HERE = {".venv", "build", "__pycache__"}
_BINARY = {".png", ".svg", ".ico", ".zst"}


def files() -> list[Path]:
    """Every file of the repository, committed or about to be; every file on disk when it is not a clone."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    else:
        names = [path for path in ROOT.rglob("*") if not _MADE_HERE.intersection(path.parts)]
    return [path for path in names if path.is_file()]


def text_files() -> list[Path]:
    """Return those that people read."""
    return [path for path in files() if path.suffix not in _BINARY]
