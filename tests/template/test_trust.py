"""Rendering needs no trust: nothing of the template runs on the machine of its user."""

from typing import Any

import pytest
import yaml

from tests.template.rendering import ROOT, Template


@pytest.fixture
def config() -> dict[str, Any]:
    """The settings and questions of the template."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    return loaded


def test_the_template_asks_for_nothing_that_needs_trust(config: dict[str, Any]) -> None:
    """No tasks, migrations, extensions, external data or secrets, now or ever: an update would need trust too."""
    settings = {name for name in config if name.startswith("_")}
    messages = {"_message_after_copy", "_message_after_update"}
    assert settings - messages == {"_envops", "_exclude", "_min_copier_version", "_subdirectory", "_templates_suffix"}
    assert not [name for name, question in config.items() if isinstance(question, dict) and "secret" in question]


def test_an_unknown_name_in_a_template_is_an_error(config: dict[str, Any]) -> None:
    """A typo must not become an empty text in somebody's project."""
    assert config["_envops"] == {"undefined": "jinja2.StrictUndefined"}


def test_every_path_of_the_template_is_valid_everywhere(template: Template) -> None:
    """A clone on Windows takes no ``" < > : | ? *``, and no long paths."""
    for each in (path for path in template.repository.rglob("*") if ".git" not in path.parts):
        name = each.relative_to(template.repository).as_posix()
        assert not set('"<>:|?*\\') & set(name), name
        assert len(name) < 140, name


def test_every_path_of_a_project_is_short_enough(template: Template) -> None:
    """Also with the longest package there can be, and with the runtime, whose paths no answer changes."""
    project = template.rendered({"package_name": "p" * 40})
    assert max(len(each.relative_to(project).as_posix()) for each in project.rglob("*")) <= 140
