"""``copier update`` as its users expect it: a plain three-way merge that keeps what they wrote."""

from pathlib import Path

import copier
import pytest

from tests.template.rendering import Template, commit, git, owned, run_in

EVENTS = "OrderPlaced(email: str, time: datetime), Packing(email: str)"


def _start(template: Template, project: Path, **answers: object) -> Path:
    template.render(project, answers)
    commit(project, "Start")
    return project


def _update(project: Path, **answers: object) -> None:
    copier.run_update(project, data=answers, defaults=True, overwrite=True, unsafe=False, quiet=True)


def _conflicts(project: Path) -> str:
    return git(project, "ls-files", "--unmerged") + "".join(map(str, project.rglob("*.rej")))


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, (file, old, text.count(old))
    file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def newer(template: Template, tmp_path: Path) -> Path:
    """A clone with a later version: a line of the runtime, the README, the API and pyproject.toml has changed."""
    git(tmp_path, "clone", "--quiet", str(template.repository), "event-backbone")
    source = tmp_path / "event-backbone/template"
    _edit(source / "src/event_backbone/__init__.py", "Event Backbone: typed", "Event Backbone: later, typed")
    _edit(source / "README.md.jinja", "## What is where", "## What lies where")
    _edit(source / "src/{{ package_name }}/{% if has.api %}api.py{% endif %}.jinja", "Make the app", "Build the app")
    _edit(source / "pyproject.toml.jinja", 'version = "0.1.0"', 'version = "0.1.1"')
    commit(source.parent, "Release 0.0.2")
    git(source.parent, "tag", "v0.0.2")
    return source.parent


def _point_to(project: Path, repository: Path) -> None:
    """Let a project update from another clone."""
    answers = project / ".copier-answers.yml"
    line = next(each for each in answers.read_text(encoding="utf-8").splitlines() if each.startswith("_src_path:"))
    _edit(answers, line, f"_src_path: {repository}")
    commit(project, "Another clone")


def test_an_untouched_project_becomes_a_fresh_one(template: Template, newer: Path, tmp_path: Path) -> None:
    """Byte for byte, and a second update changes nothing."""
    project = _start(template, tmp_path / "project")
    _point_to(project, newer)
    _update(project)
    assert not _conflicts(project)
    fresh = tmp_path / "fresh"
    copier.run_copy(str(newer), fresh, defaults=True, unsafe=False, quiet=True, vcs_ref="v0.0.2")
    assert owned(project) == owned(fresh)
    assert all((project / each).read_bytes() == (fresh / each).read_bytes() for each in owned(fresh))
    assert "later, typed" in (project / "src/event_backbone/__init__.py").read_text(encoding="utf-8")

    commit(project, "Updated")
    _update(project)
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.timeout(180)
def test_owners_edits_and_new_events_live_together(template: Template, newer: Path, tmp_path: Path) -> None:
    """A new version and new events at both ends, while the owner has edited what one edits: no conflict, all kept."""
    project = _start(template, tmp_path / "project", events=EVENTS)
    _point_to(project, newer)
    source = project / "src/shipment_tracking"
    _edit(
        source / "contract.py", "def packing(self, email: str)", "def packing(self, email: str, fragile: bool = False)"
    )
    _edit(
        source / "handlers.py",
        "_packing(ctx: Context, email: str)",
        "_packing(ctx: Context, email: str, fragile: bool)",
    )
    _edit(source / "handlers.py", '        """Order placed."""', '        """Thank the customer."""')
    with (source / "handlers.py").open("a", encoding="utf-8") as file:
        file.write("\n    @consumer.fallback\n    async def rest(ctx: Context, event: StoredEvent) -> None:\n")
        file.write('        """Whatever else there is."""\n')
    _edit(source / "handlers.py", "import Consumer, Context", "import Consumer, Context, StoredEvent")
    _edit(source / "settings.py", "    environment: str", '    greeting: str = "Hello"\n    environment: str')
    _edit(project / "pyproject.toml", "dependencies = [\n", 'dependencies = [\n    "attrs>=23",\n')
    _edit(project / "README.md", "## Settings", "## Ours\n\nCall Ada.\n\n## Settings")
    commit(project, "Ours")

    _update(project, events=f"Prepared(), {EVENTS}, Delivered(at: datetime)")

    assert not _conflicts(project)
    kept = {
        "src/shipment_tracking/contract.py": ["fragile: bool = False", "def prepared(", "def delivered("],
        "src/shipment_tracking/handlers.py": [
            *("fragile: bool)", "Thank the customer", "@consumer.fallback", "handle_prepared", "handle_delivered"),
        ],
        "src/shipment_tracking/settings.py": ['greeting: str = "Hello"'],
        "pyproject.toml": ['"attrs>=23"', 'version = "0.1.1"'],
        "README.md": ["Call Ada.", "Prepared(), OrderPlaced(", "## What lies where"],
    }
    for name, parts in kept.items():
        text = (project / name).read_text(encoding="utf-8")
        assert not [part for part in parts if part not in text], name
    for command in (["-m", "pytest", "-q"], ["-m", "ruff", "check"], ["-m", "ruff", "format", "--check"]):
        done = run_in(project, *command)
        assert done.returncode == 0, done.stdout + done.stderr


def test_an_event_is_removed_from_every_file(template: Template, tmp_path: Path) -> None:
    """An untouched block disappears; one that its owner edited ends as a conflict, never silently."""
    project = _start(template, tmp_path / "project", events=EVENTS)
    handlers = project / "src/shipment_tracking/handlers.py"
    _update(project, events="OrderPlaced(email: str, time: datetime)")
    assert not _conflicts(project)
    assert "packing" not in handlers.read_text(encoding="utf-8")

    git(project, "checkout", "--quiet", ".")
    _edit(handlers, '        """Packing."""', '        """Packing, as we do it."""')
    commit(project, "Ours")
    _update(project, events="OrderPlaced(email: str, time: datetime)")
    assert "handlers.py" in _conflicts(project)
    assert "as we do it" in handlers.read_text(encoding="utf-8")


def test_text_with_braces_survives_an_update(template: Template, tmp_path: Path) -> None:
    """Answers are text, not templates, the second time as well."""
    answers = {
        "project_name": "{{ shop }} {% x",
        "package_name": "shop",
        "contract_name": "Shop",
        "description": "{{ d }}",
    }
    project = _start(template, tmp_path / "project", **answers)
    _update(project, events="Ping()")
    assert not _conflicts(project)
    assert 'TITLE = "{{ shop }} {% x"' in (project / "src/shop/api.py").read_text(encoding="utf-8")
