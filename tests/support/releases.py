"""The template as it was released: ``releases.txt`` lists the commits, and git has them."""

import io
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[2]


class ReleaseMissing(Exception):
    """A release is not available; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Release:
    """A version and its commit."""

    version: str
    commit: str

    @property
    def tag(self) -> str:
        """The name of its tag."""
        return f"v{self.version}"


def releases(root: Path = ROOT) -> list[Release]:
    """Read the list, oldest first. A line that is neither a release nor a comment raises ValueError."""
    found: list[Release] = []
    for number, line in enumerate((root / "releases.txt").read_text(encoding="utf-8").splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        parts = re.fullmatch(r"(\S+) ([0-9a-f]{40})", line)
        if parts is None or not _is_version(parts[1]):
            raise ValueError(f"releases.txt, line {number}: write a version and the 40 digits of its commit.")
        found.append(Release(parts[1], parts[2]))
    return found


def _is_version(text: str) -> bool:
    try:
        return str(Version(text)) == text
    except InvalidVersion:
        return False


def file_of(release: Release, path: str, root: Path = ROOT) -> str:
    """Return a file as it was released."""
    have(release, root)
    return _git(root, "show", f"{release.commit}:{path}").stdout.decode()


def extract(release: Release, paths: tuple[str, ...], folder: Path, root: Path = ROOT) -> None:
    """Extract these paths of a release into a folder."""
    have(release, root)
    archive = _git(root, "archive", "--format=tar", release.commit, "--", *paths).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        # Python 3.11 before 3.11.4 has no filters; from 3.14 on this one is the default.
        files.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        files.extractall(folder)  # noqa: S202 - git made the archive, of this repository


def have(release: Release, root: Path = ROOT) -> None:
    """Make sure that a release is available: what a shallow clone lacks is fetched from its origin."""
    if _has(release, root):
        return
    fetched = _git(root, "fetch", "--quiet", "--no-tags", "origin", release.commit, check=False)
    if fetched.returncode or not _has(release, root):
        raise ReleaseMissing(
            f"The commit of release {release.version} is not here, and origin did not give it: git fetch --unshallow"
        )


def _has(release: Release, root: Path) -> bool:
    return _git(root, "cat-file", "-e", f"{release.commit}^{{commit}}", check=False).returncode == 0


def _git(root: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=root, check=check, capture_output=True)
