"""Whatever people write in free text stands in their project as they wrote it, and breaks nothing."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from tests.template.rendering import Template, owned, package_of

TEXTS = [
    'Bob\'s "Best" {{ shop }} #1',
    "'single' \"double\" `back` \\ slash \\\\ \\n",
    '"""',
    "'''",
    "{{ a }} {% b %} {# c #} ${d} $e %s",
    "# : & * ! | > @ % - ? [x] {y}",
    "- list",
    "1. number",
    "<script>alert(1)</script> &amp; *b* _i_",
    "日本語 émoji 🐦 ñ",
    "مرحبا بالعالم",
    "null",
    "~/.x = [y]",
    "a \\",
    "ends in #",
    "x" * 50,
    "🐦" * 50,
    '"' * 50,
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_rendered_as_it_was_written(template: Template, tmp_path: Path, text: str) -> None:
    """In TOML, Python, Markdown, the license and the answers; and the code stays formatted and lint-clean."""
    answers = {
        "project_name": text,
        "package_name": "any_project",
        "contract_name": "AnyProject",
        "description": text,
        "author_name": text,
        "copyright_holder": text,
    }
    project = template.render(tmp_path / "project", answers)

    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["description"] == text
    assert metadata["authors"] == [{"name": text}]
    assert f"Copyright (c) {text}\n" in (project / "LICENSE").read_text(encoding="utf-8")
    assert yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))["project_name"] == text
    assert _title(project) == text
    heading, description = _read((project / "README.md").read_text(encoding="utf-8"))[:2]
    assert (heading, description) == (text, text)
    _assert_clean(project)


@pytest.mark.parametrize(
    ("character", "length"), [("W", 30), ("W", 35), ("W", 40), ("W", 45), ("W", 50), ("日", 50), ('"', 50), ("\\", 50)]
)
def test_names_of_every_length_leave_the_code_formatted(
    template: Template, tmp_path: Path, character: str, length: int
) -> None:
    """The longest project name, package, contract, URI and group still make lines that a formatter would leave."""
    answers = {
        "project_name": character * length,
        "package_name": "p" * min(length, 40),
        "contract_name": "C" * min(length, 40),
        "uri": "u" * (2 * length),
        "consumer_group": "g" * length,
        "storage": "s3",
        "s3_bucket": "b" * (length + 13),
        "aws_profile": "a" * (2 * length),
        "events": "E" * min(length, 40),
    }
    project = template.render(tmp_path / "project", answers)
    assert _title(project) == character * length
    _assert_clean(project)


def _title(project: Path) -> str:
    tree = ast.parse((project / "src" / package_of(project) / "api.py").read_text(encoding="utf-8"))
    (assigned,) = (
        each.value for each in tree.body if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "TITLE"
    )
    return str(ast.literal_eval(assigned))


def _read(markdown: str) -> list[str]:
    """The text of each paragraph and heading, as a reader sees it."""
    tokens = MarkdownIt().parse(markdown)
    return ["".join(child.content for child in each.children or []) for each in tokens if each.type == "inline"]


def _assert_clean(project: Path) -> None:
    for command in (["ruff", "format", "--check", "--diff", "--no-cache"], ["ruff", "check", "--no-cache"]):
        done = subprocess.run(command, cwd=project, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    for each in owned(project):
        assert not re.search(r"[\x00-\x08\x0b-\x1f]", (project / each).read_text(encoding="utf-8"))
