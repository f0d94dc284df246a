"""The current answer to the template's question `events`, read from the project's answers file."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

_FILE = ".copier-answers.yml"


def events_answer(start: Path | None = None) -> str | None:
    """Return the answer from the nearest answers file, in ``start`` (else the working directory) or above; or None."""
    folder = (start or Path.cwd()).absolute()
    for each in (folder, *folder.parents):
        if (file := each / _FILE).is_file():
            return _read_answer(file.read_text(encoding="utf-8"), "events")
    return None


def _read_answer(text: str, name: str) -> str | None:
    """Read one text of the file. Only Copier writes it, so a few forms of YAML are enough."""
    found = re.search(rf"^{name}:[ \t]*(.*(?:\n(?:[ \t]+.*|(?=\n)))*)", text, re.MULTILINE)
    if found is None:
        return None
    lines = [line.strip() for line in found[1].rstrip().split("\n")]
    if lines[0][:1] in {"|", ">"}:
        return "\n".join(lines[1:])
    folded = _fold(lines)
    if folded.startswith("'"):
        return folded[1:-1].replace("''", "'")
    if folded.startswith('"'):
        return str(json.loads(folded.replace("\\ ", " "), strict=False))
    return folded


def _fold(lines: list[str]) -> str:
    """Join the lines of a scalar as YAML does: a line break is a space, an empty line is a line break."""
    text = lines[0]
    for before, line in pairwise(lines):
        if before.endswith("\\"):
            text = text[:-1] + line
        elif not line:
            text += "\n"
        else:
            text += line if not before else f" {line}"
    return text
