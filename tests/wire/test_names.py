"""Names on the wire are spelled in one place, and the reference page knows all of them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from event_backbone.wire import keys
from event_backbone.wire.lua import NAMES, with_names
from tests.support.repository import ROOT

RUNTIME = ROOT / "template" / "src" / "event_backbone"
OUTSIDE = [file for file in sorted(RUNTIME.rglob("*.py")) if file.parent != RUNTIME / "wire"]
WORDS = {value for name, value in NAMES.items() if name != "WIRE_FORMAT"}
ANSWERS = {"erased", "redriven"}  # what a script also says of an entry that has left the stream, or a dead letter
LUA = re.compile(r"\b(?:redis\.|local )")
LUA_TEXT = re.compile(r"'([^'\n]*)'")
LUA_COMMENT = re.compile(r"--.*")


def _constants(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _spelled_in_lua(source: str) -> set[str]:
    """The names of the wire that a script spells itself."""
    return {text.rstrip(":") for text in LUA_TEXT.findall(LUA_COMMENT.sub("", source))} & (WORDS - ANSWERS)


def _spelled_in_calls(file: Path) -> list[str]:
    """The calls of ``key_of`` whose purpose begins with a literal."""
    calls = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))
    found: list[str] = []
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "key_of":
            purpose = call.args[0].values[0] if isinstance(call.args[0], ast.JoinedStr) else call.args[0]
            if isinstance(purpose, ast.Constant):
                found.append(ast.unparse(call))
    return found


def test_scripts_are_found() -> None:
    """The rule below would pass if it recognised no script, or no name."""
    assert any(LUA.search(text) for file in OUTSIDE for text in _constants(file))
    assert _spelled_in_lua("redis.call('DEL', base .. 'due:' .. group, 'dead:source') -- 'looked'") == {
        "due",
        "dead:source",
    }


@pytest.mark.parametrize("file", OUTSIDE, ids=lambda file: str(file.relative_to(RUNTIME)))
def test_names_are_spelled_in_wire_alone(file: Path) -> None:
    """Lua scripts and Python take them from there, so a name is changed, or looked up, in one place."""
    assert [name for text in _constants(file) if LUA.search(text) for name in _spelled_in_lua(text)] == []
    assert _spelled_in_calls(file) == []


def test_a_name_that_does_not_exist_is_an_error_when_the_script_is_made() -> None:
    """Not a key of that name in Redis."""
    assert with_names("'$DUE_KEY:', '^%d$$'") == "'due:', '^%d$'"
    with pytest.raises(KeyError, match="DEU_KEY"):
        with_names("'$DEU_KEY:'")


@pytest.mark.parametrize("name", sorted(WORDS))
def test_the_reference_page_knows_every_name(name: str) -> None:
    """Other languages read what the page says."""
    page = (ROOT / "docs" / "reference" / "wire.md").read_text()
    kinds = {value for key, value in vars(keys).items() if key.endswith("_KEY")}
    known = (f"{{<stream>}}:{name}:<", f"{{<stream>}}:{name}`") if name in kinds else (f"`{name}`",)
    assert any(text in page for text in known)
