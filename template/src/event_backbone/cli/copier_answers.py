"""What the project's answers file says: today's events, and where the template is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ANSWERS_FILE = ".copier-answers.yml"


@dataclass(frozen=True, slots=True)
class CopierAnswers:
    """What an answers file says; None where it says nothing.

    Attributes:
        root: the folder of the file, which is the project's.
        events: the answer to the template's question ``events``.
        template: the template's address or path, as it was given to ``copier copy``.
        version: the version of the template that the project has.
    """

    root: Path
    events: str | None
    template: str | None
    version: str | None


def find_answers(start: Path | None = None) -> CopierAnswers | None:
    """Read the nearest answers file, in ``start`` (else the working directory) or above; None if there is none."""
    folder = (start or Path.cwd()).absolute()
    for each in (folder, *folder.parents):
        if (file := each / ANSWERS_FILE).is_file():
            text = file.read_text(encoding="utf-8")
            names = ("events", "_src_path", "_commit")
            return CopierAnswers(each, *(_read_answer(text, name) for name in names))
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
