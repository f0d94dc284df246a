"""Whatever text is answered: a project that has it and works, or one sentence and nothing."""

import ast
import string
import tomllib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.template.hostile import PROPERTY, rendered
from tests.template.rendering import Template, assert_clean, owned, parse

pytestmark = pytest.mark.timeout(300)
VISIBLE = st.characters(categories=("L", "M", "N", "P", "S", "Zs"))


@PROPERTY
@given(
    text=st.text(VISIBLE, max_size=50).map(str.strip).filter(bool),
    long=st.text(st.one_of(VISIBLE, st.sampled_from(string.punctuation)), max_size=300).map(str.strip),
)
def test_text_that_one_can_see_is_kept(owners_template: Template, text: str, long: str) -> None:
    """Any script, sign or emoji, in every file that contains it."""
    names = {"package_name": "shop", "contract_name": "ShipmentTracking"}
    with rendered(
        owners_template.repository,
        project_name=text,
        description=long,
        author_name=text,
        copyright_holder=long[:100].strip(),
        **names,
    ) as project:
        for each in owned(project):
            parse(each.name, (project / each).read_text(encoding="utf-8"))
        metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert metadata.get("description", "") == long
        assert metadata["authors"] == [{"name": text}]
        answers = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
        assert (answers["project_name"], answers["description"]) == (text, long)
        tree = ast.parse((project / "src/shop/api.py").read_text(encoding="utf-8"))
        assigned = {ast.unparse(each.targets[0]): each.value for each in tree.body if isinstance(each, ast.Assign)}
        assert ast.literal_eval(assigned["TITLE"]) == text
        assert_clean(project)


@PROPERTY
@given(
    question=st.sampled_from(["project_name", "description", "author_name", "copyright_holder"]),
    answer=st.text(
        st.sampled_from("a \t\n\r\x00\x1b\x7f\x85\xad\u061c\u200b\u200e\u2028\u202e\u2066\ufeff"),
        min_size=1,
        max_size=4,
    ),
)
def test_text_that_one_cannot_see_is_refused(code_only: Path, question: str, answer: str) -> None:
    """Control characters, marks that turn the direction of writing, and spaces at either end."""
    if answer.replace(" ", "a") == "a" * len(answer) and answer == answer.strip():
        return
    with (
        pytest.raises(ValueError, match=rf"'{question}': Remove the [^\n]+\.\Z"),
        rendered(code_only, **{question: answer}),
    ):
        pass


@PROPERTY
@given(
    name=st.text(VISIBLE, min_size=1, max_size=50).map(str.strip).filter(bool),
    storage=st.sampled_from(["redis-hash", "s3"]),
)
def test_every_project_name_makes_valid_names(code_only: Path, name: str, storage: str) -> None:
    """Package, contract, URI and bucket are proposed such that they can be taken as they are."""
    with rendered(code_only, project_name=name, storage=storage) as project:
        assert len(list(project.glob("src/*/contract.py"))) == 1


def test_answers_of_another_kind_are_refused(code_only: Path) -> None:
    """A list where text belongs, as YAML would make it, and an invalid choice."""
    for answers in ({"events": ["A", "B"]}, {"role": "spectator"}, {"storage": "tape"}):
        with pytest.raises(ValueError, match=r"convert|choice"), rendered(code_only, **answers):
            pass
