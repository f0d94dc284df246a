"""Every command and every piece of code in README, tutorial and how-to pages does what the page says."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.imports import imports_for
from tests.docs.pages import ROOT, SHELL, SHOWN_ONLY, Page, pages, read_page
from tests.docs.reader import Reader
from tests.template.rendering import Template, saved_answers

pytestmark = pytest.mark.timeout(400)
MOST_LEFT_OUT = 5

# Each of these renders and updates several projects, or runs many commands: `--all` follows them, before a release or
# when they change.
SELDOM = {"add-an-event.md", "credentials.md", "restore-drill.md", "run-apart.md", "switch-to-s3.md", "update.md"}
FOLLOWED = [
    pytest.param(each, id=str(each), marks=[pytest.mark.long] if each.name in SELDOM else []) for each in pages()
]

RENDERED_README = "README.md of a rendered project"
LEFT_OUT_OF_RENDERED_README = {
    "python3 -m venv": "it installs from a package index, which tests do not reach",
}
PASTED = """<!-- project: default -->
<!-- with: no redis -->
<!-- file: tests/test_readme.py -->
```python
# ruff: noqa: ARG001 - an event's arguments, as in handlers.py
{imports}{code}```
<!-- sh
ruff check --quiet --fix
ruff format --quiet
git add .
git commit --quiet -m "The code of the README"
-->
"""
TESTS = "uv run pytest\n"
PYTHON = re.compile(r"```python\n(.*?)```\n", re.DOTALL)
OWN_CODE = """
app = create_app()


async def my_own_code() -> None: ...
"""
USE_OF_THE_CODE = """
async def test_an_event_is_sent(services: Services) -> None:
    await main()
    assert "key" in await my_route(services)
"""


def _page(path: Path) -> Page:
    return read_page(str(path), (ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FOLLOWED)
def test_a_reader_of_a_page_gets_what_it_says(path: Path, reader_of: Callable[[Page], Reader]) -> None:
    """From top to bottom, in the reader's folder; a page without code has nothing to run."""
    page = _page(path)
    if any(block.language not in SHOWN_ONLY for block in page.blocks):
        reader_of(page).follow(page)


def test_the_readme_of_a_rendered_project_can_be_followed(
    template: Template, reader_of: Callable[[Page], Reader]
) -> None:
    """It has no marks: what runs forever is started in the background, and a few lines are left out here by name.

    Its code is in the project's tests when its commands run formatter, linter, type checkers and tests.
    """
    project = template.rendered(saved_answers("default"))
    text = (project / "README.md").read_text(encoding="utf-8")
    text = text.partition("<!-- Your own sections")[0]  # for its owner, not a mark
    assert text.count(TESTS) == 2
    text = text.replace(TESTS, "", 1)  # nothing changes until they are run again under "Check it"
    for start, reason in LEFT_OUT_OF_RENDERED_README.items():
        text = text.replace(f"```sh\n{start}", f"<!-- no-run: {reason} -->\n```sh\n{start}")
    code = "\n\n".join([OWN_CODE, *PYTHON.findall(text), USE_OF_THE_CODE])
    pasted = PASTED.format(imports=imports_for(code, project / "src" / "shipment_tracking"), code=code)
    page = read_page(RENDERED_README, f"{pasted}{PYTHON.sub('', text)}")
    assert sum(block.mark("no-run") is not None for block in page.blocks) == len(LEFT_OUT_OF_RENDERED_README)
    reader_of(page).follow(page)


def test_every_block_says_what_it_is() -> None:
    """A block is run, or written into a file, or shows an output or a picture; nothing else is in the pages."""
    known = SHELL | SHOWN_ONLY | {"python"}
    unknown = [
        f"{path}:{block.line}"
        for path in pages()
        for block in _page(path).blocks
        if block.language not in known and block.mark("file") is None and block.mark("no-run") is None
    ]
    assert not unknown


def test_few_blocks_are_left_out_and_each_has_its_reason() -> None:
    """At most five, including those of the rendered README."""
    reasons = [
        reason for path in pages() for block in _page(path).blocks if (reason := block.mark("no-run")) is not None
    ]
    reasons += LEFT_OUT_OF_RENDERED_README.values()
    assert all(len(reason) > len("no reason") for reason in reasons)
    assert len(reasons) <= MOST_LEFT_OUT
