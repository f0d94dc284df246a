"""Today's events are read from the answers file in every form that Copier writes."""

import re
from pathlib import Path

import pytest
import yaml

from event_backbone.cli.copier_answers import find_answers

ANSWERS = [
    "OrderPlaced, Packing",
    "OrderPlaced(email: str, product_id: int), Packing()",
    "OrderPlaced(email: str, product_id: int, time: datetime), Packing(email: str, product_id: int, time: datetime)",
    "OrderPlaced(email: str)\nPacking\n\nShipped(names: dict[str, int])\n",
    'Quoted(it: "s"), It\'s: #1',
]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("style", [None, "'", '"', "|"])
def test_the_answer_comes_back_as_it_was_given(answer: str, style: str | None, tmp_path: Path) -> None:
    """Plain, quoted, folded over several lines, or as a block; found from a folder below, too."""
    answers = {"_commit": "v1", "contract_name": "Shop", "events": answer, "uri": "shop"}
    text = yaml.dump(answers, default_flow_style=False, allow_unicode=True, default_style=style)
    file = tmp_path / ".copier-answers.yml"
    file.write_text("# Changes here will be overwritten by Copier\n" + re.sub(r"""(['"])(\w+)\1:""", r"\2:", text))
    below = tmp_path / "src"
    below.mkdir()
    found = find_answers(below)
    assert found is not None
    assert found.events is not None
    assert found.events.rstrip("\n") == answer.rstrip("\n")
    assert (found.root, found.version, found.template) == (tmp_path, "v1", None)


def test_without_an_answers_file_there_is_none(tmp_path: Path) -> None:
    """A project that Copier did not make has no line to print."""
    assert find_answers(tmp_path) is None
