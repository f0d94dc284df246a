"""Projects rendered from the work tree, once per session for each set of answers."""

import compileall
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any
from unittest.mock import patch

import jinja2
import pytest

from tests.support.releases import ReleaseMissing, releases
from tests.template.rendering import GIT_ENVIRONMENT, ROOT, RUNTIME, Answers, Template, Whole
from tests.template.updating import History


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The work tree's template as a tagged repository."""
    return Template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def owners_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The same without the runtime, for tests that only look at the files of a project's owner."""
    return Template(tmp_path_factory.mktemp("owners_template"), runtime=False)


@pytest.fixture(scope="session")
def whole(template: Template, owners_template: Template, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Renders whole projects to run, not to write into: the runtime, the same in all, is compiled once and linked."""
    folder = tmp_path_factory.mktemp("whole")
    runtime = folder / "runtime"
    shutil.copytree(template.repository / RUNTIME, runtime)
    compileall.compile_dir(runtime, quiet=1)

    def render(answers: Answers) -> Path:
        rendered = owners_template.rendered(answers)
        project = folder / rendered.name
        if not project.exists():
            shutil.copytree(rendered, project)
            shutil.copytree(runtime, project / "src/event_backbone", copy_function=os.link)
        return project

    return render


@pytest.fixture(scope="session")
def reserved() -> dict[str, set[str]]:
    """The names that answers may not take, as the validators know them."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT),
        extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"],
        autoescape=False,  # noqa: S701 - they are JSON, no HTML
    )
    lists = environment.get_template("includes/reserved.jinja").module
    kinds = ("keywords", "events", "arguments", "devices", "classes", "modules")
    return {kind: set(json.loads(str(getattr(lists, kind)()))) for kind in kinds}


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Every release, the work tree and the next version."""
    return _history(tmp_path_factory, thin=False)


@pytest.fixture(scope="session")
def thin_history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """The same with hardly any runtime, for tests of how the other files merge."""
    return _history(tmp_path_factory, thin=True)


def _history(tmp_path_factory: pytest.TempPathFactory, *, thin: bool) -> History:
    try:
        return History(tmp_path_factory.mktemp("history"), releases(), thin=thin)
    except ReleaseMissing as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def _jinja_compiled_once() -> Iterator[None]:
    """Cache what Jinja compiles. Copier makes a new environment per render, and spends most of its time on this."""
    compiled: dict[tuple[object, ...], CodeType] = {}
    compile_uncached = jinja2.Environment.compile

    def compile_once(
        self: jinja2.Environment, source: Any, name: str | None = None, filename: str | None = None, **options: Any
    ) -> CodeType:
        # The path is not part of the key: Copier clones the template to another folder for each render.
        key = (type(self), source, name, *sorted(options.items()))
        if key not in compiled:
            compiled[key] = compile_uncached(self, source, name, filename, **options)
        return compiled[key]

    with patch.object(jinja2.Environment, "compile", compile_once):
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_git_call_per_file() -> Iterator[None]:
    """Keep Copier from asking git about the mode of each file, which changes something only where git ignores modes."""
    with patch("copier._main.Worker._sync_git_index_executable_bit", create=True):
        yield


@pytest.fixture(autouse=True)
def _git_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's git configuration away from Copier, which calls git as well."""
    for name, value in GIT_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def code_only(owners_template: Template, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with only those files that depend on events."""
    source = tmp_path_factory.mktemp("code") / "template"
    shutil.copytree(owners_template.repository, source)
    kept = {
        "contract.py.jinja",
        "{% if has.consumer %}handlers.py{% endif %}.jinja",
        "pyproject.toml.jinja",
        "README.md.jinja",
    }
    for each in [path for path in (source / "template").rglob("*") if path.is_file() and path.name not in kept]:
        each.unlink()
    return source
