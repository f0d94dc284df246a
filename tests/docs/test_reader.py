"""The reader of pages notices what is wrong with a page."""

from pathlib import Path

import pytest

from tests.docs.pages import read_page
from tests.docs.reader import Reader


def follow(folder: Path, text: str) -> None:
    """Follow a page of this text."""
    Reader(folder, {}, {"a word of the page": "a word of the reader"}).follow(read_page("page", text))


@pytest.mark.parametrize(
    "text",
    [
        "```sh\necho one\nfalse\necho two\n```",
        "```sh\necho $not_set\n```",
        "<!-- fails -->\n```sh\ntrue\n```",
        "```python\nassert 1 == 2\n```",
        "```python\nawait something()\n```",
        "```sh\necho one\n```\n<!-- output -->\n```text\ntwo\n```",
        "```sh\necho one; echo two\n```\n<!-- output -->\n```text\ntwo\none\n```",
        "```\necho what am I\n```",
        "```yaml\nwho: reads this\n```",
        "<!-- edit: code.py -->\n```python\ndef nowhere(): ...\n```",
        "<!-- edit: code.py -->\n```python\nanother = 1\n```",
        "<!-- below: code.py nowhere -->\n```python\npass\n```",
        "<!-- interrupt: worker -->",
        "<!-- sh\nfalse\n-->",
        "<!-- python\nassert False\n-->",
    ],
)
def test_a_page_that_is_wrong_is_reported_with_its_line(tmp_path: Path, text: str) -> None:
    """A command that fails or succeeds against its mark, an output that was not printed, a block that is never run."""
    (tmp_path / "code.py").write_text("import os\n")
    with pytest.raises(AssertionError, match=r"^page:\d+: "):
        follow(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "<!-- outptu -->\n```sh\ntrue\n```",
        "<!-- fails -->\nNo block.",
        "<!-- output -->",
        "```sh\ntrue",
        "<!-- sh\ntrue",
    ],
)
def test_a_mark_without_a_meaning_is_refused(text: str) -> None:
    """Misspelt, not before a block, or without an end: it would hide a block from the tests."""
    with pytest.raises(AssertionError):
        read_page("page", text)


def test_a_page_is_followed_from_top_to_bottom(tmp_path: Path) -> None:
    """Folder and variables stay from block to block, as in a terminal; names stay as in a module."""
    (tmp_path / "code.py").write_text("import os\nfrom time import time\n\n\n@cached\ndef two(): ...\n\n\n# More:\n")
    follow(
        tmp_path,
        "```sh\nmkdir inner\ncd inner\nexport COLOUR=green\n```\n"
        "```sh\nbasename $PWD\necho $COLOUR\necho 'a word of the page'\n```\n"
        "<!-- output -->\n```text\ninner\ngr...en\na word of the page\n```\n"
        "<!-- file: deep/note.txt -->\n```text\nwritten\n```\n"
        "```sh\ncat deep/note.txt\ncd ..\n```\n<!-- output -->\n```text\nwritten\n```\n"
        "<!-- edit: code.py -->\n```python\nfrom functools import cache\nfrom time import sleep, time\n\n\n@cache\n"
        "def two():\n    return 2\n```\n"
        "<!-- below: code.py More -->\n```python\nprint(two(), sleep.__name__)\n```\n"
        "```sh\ngrep -c import code.py\npython code.py\n```\n<!-- output -->\n```text\n3\n2 sleep\n```\n"
        "```python\nasync def answer() -> int:\n    return 42\n```\n"
        "<!-- python\nprint(await answer())\n-->\n<!-- output -->\n```text\n42\n```\n"
        "<!-- no-run: it would take forever -->\n```sh\nsleep infinity\n```\n",
    )
