"""CONTRIBUTING's "Where things are" is true: each path exists, and has what the row says."""

import re

from tests.support.repository import ROOT

RUNTIME = ROOT / "template" / "src" / "event_backbone"
_ROW = re.compile(r"^\| (?P<question>[^|]+) \| `(?P<path>[^`]+)` \| `(?P<name>[^`]+)` \|$", re.MULTILINE)


def test_each_question_leads_to_a_file_that_answers_it() -> None:
    """At least 24 questions, one path each; each file contains what to look for."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = list(_ROW.finditer(text))
    assert len(rows) >= 24
    wrong: list[str] = []
    for row in rows:
        path = next((folder / row["path"] for folder in (RUNTIME, ROOT) if (folder / row["path"]).is_file()), None)
        if path is None or row["name"] not in path.read_text(encoding="utf-8"):
            wrong.append(f"{row['question']}: {row['path']} {row['name']}")
    assert wrong == []


def test_each_folder_exists() -> None:
    """The first table names folders and files of the repository."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## Where things are\n")[2].partition("Below, runtime paths")[0]
    names = [
        name
        for line in table.splitlines()
        for name in re.findall(r"`([^`]+)`", line.split("|")[1:2][0] if "|" in line else "")
    ]
    assert len(names) > 10
    assert [name for name in names if not (ROOT / name).exists()] == []
