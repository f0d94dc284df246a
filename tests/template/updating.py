"""Updates as owners do them: from each release to the work tree, and from there to a made-up next version."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml

from tests.support.releases import Release, extract, releases
from tests.template.rendering import PARTS, ROOT, Answers, commit, git, owned, template_files, write_manifest

EVENTS = "OrderPlaced(email: str, time: datetime), Packing(id: int), Delivered(at: datetime)"
SHOP: dict[str, Any] = {"project_name": "Shop", "events": EVENTS}
WORK_TREE = "v1000.0.0"
NEXT = "v1000.1.0"
RUNTIME = Path("template/src/event_backbone")
THIN_RUNTIME = {
    *("LICENSE", "LATER.md", "MANIFEST.sha256", "README.md", "__init__.py", "errors.py", "later.py", "py.typed")
}

# A test parametrized by one of these begins at the work tree and at each release. With the second, all but the newest
# release need `--all`; as long as there is no release, the work tree takes its place.
_STARTS = [WORK_TREE, *(each.tag for each in releases())]
EVERY_START = pytest.mark.parametrize("start", _STARTS)
NEWEST_START = pytest.mark.parametrize(
    "start", [*(pytest.param(each, marks=pytest.mark.long) for each in _STARTS[:-1]), _STARTS[-1]]
)


def after(start: str) -> str:
    """The version that a project is updated to: the work tree, or the next one when it begins there."""
    return NEXT if start == WORK_TREE else WORK_TREE


class History:
    """The template's past, present and future as one repository, with a tag per version, and projects of any of them.

    ``thin`` leaves most of the runtime out. It is merged file by file like everything else, and takes most of the time.
    """

    def __init__(self, folder: Path, released: list[Release], *, thin: bool = False) -> None:
        """Commit and tag each release, the work tree, and the made-up next version below ``folder``."""
        self.repository = folder / "event-backbone"
        self._thin = thin
        self._projects = folder / "projects"
        for release in released:
            self._clear()
            extract(release, PARTS, self.repository)
            self._tag(release.tag)
        self._clear()
        for each in template_files():
            target = self.repository / each
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / each, target)
        write_manifest(self.repository / RUNTIME)
        self._tag(WORK_TREE)
        make_the_next_version(self.repository)
        self._tag(NEXT)

    def fresh(self, version: str, answers: Answers) -> Path:
        """A project of a version, committed, the same folder each time: look, do not touch."""
        project = self._projects / version / str(abs(hash(json.dumps(answers, sort_keys=True))))
        if not project.exists():
            copier.run_copy(
                str(self.repository),
                project,
                data=dict(answers),
                defaults=True,
                unsafe=False,
                quiet=True,
                vcs_ref=version,
            )
            assert {name: answers_of(project).get(name) for name in answers} == dict(answers)
            commit(project, "Start")
        return project

    def project(self, folder: Path, version: str, answers: Answers) -> Path:
        """A project of a version for a test to work on, committed."""
        shutil.copytree(self.fresh(version, answers), folder, symlinks=True)
        return folder

    def questions(self, version: str) -> dict[str, Any]:
        """What copier.yml of a version says."""
        found: dict[str, Any] = yaml.safe_load(git(self.repository, "show", f"{version}:copier.yml"))
        return found

    def _clear(self) -> None:
        for each in PARTS:
            path = self.repository / each
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _tag(self, tag: str) -> None:
        runtime = self.repository / RUNTIME
        if self._thin:
            for each in runtime.rglob("*"):
                if each.is_file() and str(each.relative_to(runtime)) not in THIN_RUNTIME:
                    each.unlink()
        commit(self.repository, f"Release {tag}")
        git(self.repository, "tag", tag)


def make_the_next_version(repository: Path) -> None:
    """Change one line of everything that is rendered; in pyproject.toml every dependency.

    There is a new question with a file that shows its answer, and the runtime has one file more and one fewer.
    """
    runtime = repository / RUNTIME
    for each in sorted((repository / "template").rglob("*")):
        if each.is_file() and not each.is_relative_to(runtime) and each.name != "py.typed":
            name = re.sub(r"{%.*?%}", "", each.name).removesuffix(".jinja")
            each.write_text(_changed(name, each.read_text(encoding="utf-8")), encoding="utf-8")
    for each in (runtime / "__init__.py", runtime / "errors.py"):
        each.write_text(_changed(each.name, each.read_text(encoding="utf-8")), encoding="utf-8")
    append(repository / "copier.yml", "\nlater:\n  type: str\n  default: Later\n")
    (repository / "template" / "later.txt.jinja").write_text("{{ later }}\n", encoding="utf-8")
    (runtime / "README.md").rename(runtime / "LATER.md")
    (runtime / "later.py").write_text('"""A module that a later version brings."""\n', encoding="utf-8")
    write_manifest(runtime)


def _changed(name: str, text: str) -> str:
    if name == "pyproject.toml":
        text = re.sub(r'(?m)^(    "[\w\[\]-]+>=[\d.]+,<)', r"\g<1>1", text)  # every bound of a dependency
    if name.endswith(".py"):
        return _once(r'"""', '"""Later: ', text)
    if name.endswith(".md"):
        return _once(r"(?m)^(## .+)$", r"\1, later", text)
    if name.endswith(".json"):
        if re.search(r'(?m)^ *"', text):
            return _once(r'(?m)^( *"[^"]+": )', r"\1 ", text)
        return _once(r"(?m)^(  '\w+': )(\d+,)$", r"\g<1>1\2", text)  # an expression that makes it
    if re.search(r"(?m)^# ", text):
        return _once(r"(?m)^# ", "# Later: ", text)
    return re.sub(r"\A((?:\{%-.*-%\}\n)*)", r"\1# Later\n", text, count=1)


def _once(pattern: str, new: str, text: str) -> str:
    changed, count = re.subn(pattern, new, text, count=1)
    assert count, pattern
    return changed


def update(project: Path, to: str, **answers: object) -> None:
    """Run ``copier update`` as the README says; it never asks, and never needs trust."""
    copier.run_update(project, data=answers, defaults=True, overwrite=True, unsafe=False, quiet=True, vcs_ref=to)


def conflicts(project: Path) -> set[str]:
    """The files that git lists as unmerged, or that have markers or rejected parts."""
    unmerged = set(git(project, "diff", "--name-only", "--relative", "--diff-filter=U").splitlines())
    rejected = {str(each.relative_to(project)) for each in project.rglob("*.rej")}
    marked = {
        str(each)
        for each in owned(project)
        if re.search(rb"^(?:<<<<<<<|>>>>>>>) ", (project / each).read_bytes(), re.MULTILINE)
    }
    assert unmerged >= marked, "git does not report a marker, which would be overlooked"
    return unmerged | rejected


def edit(file: Path, *changes: tuple[str, str]) -> None:
    """Replace texts that are in a file once each."""
    text = file.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, (file, old, text.count(old))
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def append(file: Path, text: str) -> None:
    """Write below the last line of a file."""
    with file.open("a", encoding="utf-8") as opened:
        opened.write(text)


def files_of(project: Path) -> dict[str, bytes]:
    """Everything in a project that git would know, the runtime as well."""
    names = git(project, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return {name: (project / name).read_bytes() for name in names if name and (project / name).exists()}


def answers_of(project: Path) -> Mapping[str, Any]:
    """What the project recorded."""
    recorded: dict[str, Any] = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    return recorded
