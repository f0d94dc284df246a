"""Whatever people write in free text is in their project as they wrote it, and breaks nothing."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from markdown_it import MarkdownIt

from tests.template.rendering import Template, assert_clean, owned, package_of, parse

TEXTS = [
    'Bob\'s "Best" {{ shop }} #1',
    "'single' \"double\" `back` \\ slash \\\\ \\n",
    '"""',
    "'''",
    "{{ a }} {% b %} {# c #} ${d} $e %s",
    "{{ _copier_conf }}{% raw %}",
    "# : & * ! | > @ % - ? [x] {y}",
    *(
        "- x",
        "*a",
        "&a",
        "!!python/name:os.system",
        "? key",
        ": value",
        "key: value",
        "a # b",
        "%YAML 1.1",
        "---",
        "...",
    ),
    *("yes", "No", "null", "~", "on", "1e3", "0x1f", "12:30:45", "2024-01-01", "=", "<<"),
    "1. number",
    "+ plus",
    "> quote",
    "<script>alert(1)</script> &amp; *b* _i_",
    "[link](https://x.io) ![image](x.png) https://x.io",
    "a | b",
    "日本語 émoji 🐦 ñ",
    "مرحبا بالعالم",
    "~/.x = [y]",
    "a \\",
    "ends in #",
    "x" * 50,
    "🐦" * 50,
    '"' * 50,
]
# Names of a few characters that mean something else to YAML, TOML or a shell.
NAMES = [
    {"package_name": "null", "uri": "yes", "consumer_group": "No", "s3_bucket": "0x1f", "aws_profile": "="},
    {"package_name": "on", "uri": "1e5", "consumer_group": "12:30:45", "s3_bucket": "123", "aws_profile": "-"},
    {"package_name": "true", "uri": "a.b/c:d-e_f", "consumer_group": "1_000", "s3_bucket": "1e5", "aws_profile": "@,+"},
    {"package_name": "e1", "uri": "2024-01-01", "consumer_group": "0b1", "s3_bucket": "null", "aws_profile": "a:b"},
]
LENGTHS = [("W", 30), ("W", 35), ("W", 40), ("W", 45), ("W", 50), ("日", 50), ('"', 50), ("\\", 50)]


@pytest.fixture(scope="module")
def with_texts(owners_template: Template) -> dict[str, Path]:
    """A project for each text, as every free answer."""
    answers = {"package_name": "any_project", "contract_name": "AnyProject"}
    free = ("project_name", "description", "author_name", "copyright_holder")
    return {text: owners_template.rendered(answers | dict.fromkeys(free, text)) for text in TEXTS}


@pytest.fixture(scope="module")
def with_lengths(owners_template: Template) -> dict[tuple[str, int], Path]:
    """A project for each length of names, up to the longest project, package, contract, URI, group and event."""
    return {
        (character, length): owners_template.rendered(
            {
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
        )
        for character, length in LENGTHS
    }


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_rendered_as_it_was_written(with_texts: dict[str, Path], text: str) -> None:
    """In TOML, Python, Markdown, the license and the answers."""
    project = with_texts[text]
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["description"] == text
    assert metadata["authors"] == [{"name": text}]
    assert f"Copyright (c) {text}\n" in (project / "LICENSE").read_text(encoding="utf-8")
    assert yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))["project_name"] == text
    assert _constant(project / "src/any_project/api.py", "TITLE") == text
    heading, description = _read((project / "README.md").read_text(encoding="utf-8"))[:2]
    assert (heading, description) == (text, text)


def test_text_breaks_no_file(with_texts: dict[str, Path], with_lengths: dict[tuple[str, int], Path]) -> None:
    """All can be read by what reads them, and the code is formatted and lint-clean."""
    projects = [*with_texts.values(), *with_lengths.values()]
    for project in projects:
        for each in owned(project):
            text = (project / each).read_text(encoding="utf-8")
            parse(each.name, text)
            assert not re.search(r"[\x00-\x08\x0b-\x1f]", text), each
    assert_clean(*projects)


@pytest.mark.parametrize(("character", "length"), LENGTHS)
def test_names_of_every_length_are_kept(with_lengths: dict[tuple[str, int], Path], character: str, length: int) -> None:
    """None is truncated."""
    project = with_lengths[character, length]
    assert _constant(project / "src" / package_of(project) / "api.py", "TITLE") == character * length
    assert len(str(_constant(project / "src" / package_of(project) / "settings.py", "URI"))) == 2 * length


@pytest.mark.parametrize("names", NAMES, ids=lambda names: names["package_name"])
def test_names_stay_text_in_every_file(owners_template: Template, names: dict[str, str]) -> None:
    """Also where YAML would take them for a number, a time, a boolean or null."""
    project = owners_template.rendered({"storage": "s3", **names})
    settings = project / "src" / names["package_name"] / "settings.py"
    constants = {"URI": "uri", "GROUP": "consumer_group", "BUCKET": "s3_bucket", "PROFILE": "aws_profile"}
    assert {each: _constant(settings, each) for each in constants} == {
        each: names[key] for each, key in constants.items()
    }
    for each in owned(project):
        parsed = parse(each.name, (project / each).read_text(encoding="utf-8"))
        if each.name == "compose.yaml":
            assert cast("dict[str, Any]", parsed)["name"] == names["package_name"]
        if each.name == "pyproject.toml":
            metadata = cast("dict[str, Any]", parsed)["project"]
            assert metadata["name"] == names["package_name"]
            assert list(metadata["scripts"]) == [names["package_name"]]
    assert f"# S3_EVENT_SOURCE_BUCKET={names['s3_bucket']}\n" in (project / ".env.example").read_text(encoding="utf-8")
    assert_clean(project)


def _constant(module: Path, name: str) -> object:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    (assigned,) = (
        each.value for each in tree.body if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == name
    )
    return ast.literal_eval(assigned)


def _read(markdown: str) -> list[str]:
    """The text of each paragraph and heading, as a reader sees it."""
    tokens = MarkdownIt().parse(markdown)
    return ["".join(child.content for child in each.children or []) for each in tokens if each.type == "inline"]
