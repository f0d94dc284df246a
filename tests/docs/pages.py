"""Reads pages: their code blocks, and the hidden marks that say how a block is run.

Marks are HTML comments, so readers do not see them. Before a block, where needed:

- ``<!-- file: PATH -->``: the block is the whole of a file that the reader is asked to write.
- ``<!-- edit: PATH -->``: the block's functions and classes replace those of the file. What is new goes before the
  next of them, and imports are added.
- ``<!-- below: PATH WORDS -->``: the block goes below the one line of the file that has these words.
- ``<!-- fails -->``: the commands have to fail.
- ``<!-- output -->``: the block shows what the block before it has printed; ``...`` matches anything.
- ``<!-- no-run: REASON -->``: the block cannot be run here.

Anywhere:

- ``<!-- project: ANSWERS -->``: the page begins in a project rendered from ``answers/ANSWERS.yml``; else in an empty
  folder.
- ``<!-- with: s3 -->``: variables point at an S3 server; ``with: no redis``: the page starts its Redis itself.
- ``<!-- sh ... -->`` and ``<!-- python ... -->``: code that is run, but not shown.
- ``<!-- interrupt: worker -->``: the reader has pressed Ctrl-C there.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

SHELL = frozenset({"sh", "bash"})
# test_another_language.py does in Python what the pages show in Go; test_query_the_archive.py runs what is in SQL.
SHOWN_ONLY = frozenset({"go", "json", "sql", "text"})
_BEFORE_A_BLOCK = frozenset({"file", "edit", "below", "fails", "output", "no-run"})
_ANYWHERE = frozenset({"project", "with", "sh", "python", "interrupt"})
_COMMENT = re.compile(r"<!--\s*([a-z-]+?):?(?=\s)\s*(.*?)\s*-->", re.DOTALL)
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+-]*)[^\n]*$")


@dataclass(frozen=True, slots=True)
class Mark:
    """A hidden mark."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Block:
    """A code block with the marks right before it."""

    language: str
    text: str
    line: int
    marks: tuple[Mark, ...] = ()

    def mark(self, name: str) -> str | None:
        """What a mark of this block says; None when it has no such mark."""
        return next((each.value for each in self.marks if each.name == name), None)


@dataclass(frozen=True, slots=True)
class Page:
    """A page, as a list of what is done when somebody follows it from top to bottom."""

    name: str
    steps: tuple[Block | Mark, ...]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its code blocks."""
        return tuple(each for each in self.steps if isinstance(each, Block))

    def says(self, name: str) -> list[str]:
        """The values of its marks of this name."""
        return [each.value for each in self.steps if isinstance(each, Mark) and each.name == name]


def pages() -> list[Path]:
    """The pages of the repository: README and everything under docs, as paths relative to the root."""
    found = (ROOT / "docs").rglob("*.md")
    return [Path("README.md"), *sorted(each.relative_to(ROOT) for each in found)]


def read_page(name: str, text: str) -> Page:
    """Take a page apart; raise AssertionError for a mark that is not known or belongs to no block."""
    steps: list[Block | Mark] = []
    waiting: list[Mark] = []
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        place = f"{name}:{number + 1}"
        if fence := _FENCE.match(lines[number]):
            end = _end_of(lines, number, fence)
            body = "\n".join(each.removeprefix(fence["indent"]) for each in lines[number + 1 : end])
            steps.append(Block(fence["language"], f"{body}\n", number + 1, tuple(waiting)))
            waiting, number = [], end + 1
        elif lines[number].lstrip().startswith("<!--"):
            mark, number = _mark_at(lines, number, place)
            if mark.name in _BEFORE_A_BLOCK:
                waiting.append(mark)
            else:
                steps.append(mark)
        else:
            assert not waiting or not lines[number].strip(), f"{place}: a mark must be right before its block."
            number += 1
    assert not waiting, f"{name}: a mark at the end belongs to no block."
    return Page(name, tuple(steps))


def _end_of(lines: list[str], start: int, fence: re.Match[str]) -> int:
    for number in range(start + 1, len(lines)):
        if lines[number].strip() == fence["fence"]:
            return number
    raise AssertionError(f"The block at line {start + 1} has no end.")


def _mark_at(lines: list[str], number: int, place: str) -> tuple[Mark, int]:
    end = next((each for each in range(number, len(lines)) if "-->" in lines[each]), None)
    assert end is not None, f"{place}: the comment has no end."
    found = _COMMENT.fullmatch("\n".join(lines[number : end + 1]).strip())
    assert found, f"{place}: this comment is not a mark."
    assert found[1] in _BEFORE_A_BLOCK | _ANYWHERE, f"{place}: the mark {found[1]} is not known."
    return Mark(found[1], found[2], number + 1), end + 1
