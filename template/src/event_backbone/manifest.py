"""The list of the runtime's files with their digests, which shows whether one was edited by hand.

The file has the format of `sha256sum`: a digest, two spaces and a path per line. Line endings do not count, as git may
change them. Only the template writes it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

MANIFEST = "MANIFEST.sha256"
_MADE_BY_TOOLS = frozenset({".pyc", ".pyo"})


def edited_files(folder: Path) -> list[str] | None:
    """Return the files that were changed, added or removed since the manifest was written; None without a manifest."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return None
    lines = manifest.read_text(encoding="utf-8").splitlines()
    wanted = {path: digest for digest, _, path in (line.partition("  ") for line in lines if line)}
    found = _digests(folder)
    return sorted(path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))


def manifest_text(folder: Path) -> str:
    """Return the manifest of the runtime in ``folder`` as it is now."""
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(_digests(folder).items()))


def _digests(folder: Path) -> dict[str, str]:
    files = (each.relative_to(folder) for each in folder.rglob("*") if each.is_file())
    return {each.as_posix(): _digest(folder / each) for each in files if _is_runtime(each)}


def _is_runtime(path: Path) -> bool:
    """Leave out the manifest, caches, and hidden files of editors and systems."""
    hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    return not hidden and path.suffix not in _MADE_BY_TOOLS and path != Path(MANIFEST)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
