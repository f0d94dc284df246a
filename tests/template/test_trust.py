"""Rendering needs no trust: nothing of the template runs on the machine of whoever uses it."""

import yaml

from tests.template.rendering import ROOT, Template


def test_the_template_asks_for_nothing_that_needs_trust() -> None:
    """No tasks, migrations, extensions, external data or secrets, now or ever: an update would need trust, too."""
    config = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    forbidden = {"_tasks", "_migrations", "_jinja_extensions", "_external_data", "_secret_questions"}
    assert not forbidden & set(config)
    assert not [name for name, question in config.items() if isinstance(question, dict) and "secret" in question]


def test_an_unknown_name_in_a_template_is_an_error() -> None:
    """A typo must not become an empty text in somebody's project."""
    config = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    assert config["_envops"] == {"undefined": "jinja2.StrictUndefined"}


def test_every_path_is_legal_everywhere(template: Template) -> None:
    """Windows takes no ``" < > : | ? *``, and no long paths."""
    for each in (path for path in template.repository.rglob("*") if ".git" not in path.parts):
        name = each.relative_to(template.repository).as_posix()
        assert not set('"<>:|?*\\') & set(name), name
        assert len(name) < 140, name


def test_the_same_answers_give_the_same_project(template: Template) -> None:
    """Nothing depends on the clock, the machine or chance."""
    first = template.rendered({})
    second = template.render(template.repository.parent / "again", {})
    for each in (path for path in first.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        if ".ruff_cache" not in each.parts and ".mypy_cache" not in each.parts and ".pytest_cache" not in each.parts:
            assert each.read_bytes() == (second / each.relative_to(first)).read_bytes(), each
