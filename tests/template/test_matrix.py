"""Every combination of answers: no file, dependency or word too many, and each file as tools want it."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.template import expected
from tests.template.matrix import CORE, EVENTS, MORE, Pair, Row, answers_of, every_row, is_asked, pairs_of
from tests.template.rendering import ROOT, RUNTIME, Template, assert_clean, owned, package_of, parse

# Events whose names contain words of what may not have been chosen.
SPEAKING_EVENTS = re.compile(r"(?i)s3.?object.?stored|left.?alone")

pytestmark = pytest.mark.timeout(300)


class Rendered(NamedTuple):
    """A combination and its project."""

    row: Row
    answers: dict[str, object]
    project: Path

    @property
    def texts(self) -> Iterator[tuple[str, str]]:
        """Each file's name, with P for the package, and its text."""
        package = f"src/{package_of(self.project)}/"
        for each in owned(self.project):
            yield each.as_posix().replace(package, "src/P/"), (self.project / each).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def matrix(owners_template: Template) -> list[Rendered]:
    """All of them, rendered once."""
    answers = [(row, answers_of(row, number)) for number, row in enumerate(every_row())]
    return [Rendered(row, each, owners_template.rendered(each)) for row, each in answers]


def test_the_matrix_holds_every_combination_and_every_pair(matrix: list[Rendered]) -> None:
    """All that can be answered of the core; and each two values of any two questions meet, if they can."""
    met = set[Pair]().union(*(pairs_of(each.row) for each in matrix))
    values = {**CORE, **MORE}
    wanted = {
        frozenset({(a, x), (b, y)}) for a, b in combinations(values, 2) for x in values[a] for y in values[b]
    }  # fmt: skip
    unmet = [dict(pair) for pair in wanted - met]
    assert all(
        not is_asked({"role": "both", "storage": "s3"} | pair, question) for pair in unmet for question in pair
        if question in {"s3_credentials", "archive", "web_api"}
    )  # fmt: skip
    assert all({"s3_credentials", "archive", "web_api"} & set(pair) for pair in unmet)
    assert len({tuple(each.row[name] for name in CORE if name in each.row) for each in matrix}) == len(matrix) == 70


def test_each_project_has_the_files_it_needs_and_no_others(matrix: list[Rendered]) -> None:
    """No file for a role, storage, API, CI or telemetry that was not chosen."""
    for each in matrix:
        assert {name for name, _ in each.texts} == expected.files_of(each.answers), each.row


def test_every_file_can_be_read_by_what_reads_it(matrix: list[Rendered]) -> None:
    """TOML, YAML, JSON and Python parse; no Jinja is left; lines and files end as they should."""
    for each in matrix:
        for name, text in each.texts:
            parse(name, text)
            assert not re.search(r"\{%|%\}|\{#|#\}|(?<!\$)\{\{(?!\w+ ?\}\}| \$)", text), (each.row, name)
            assert not re.search(r"[ \t]+$", text, re.MULTILINE), (each.row, name)
            assert not re.search(r"\n{4}|\A\n|\n\n\Z", text), (each.row, name)
            assert name.endswith("py.typed") or text.endswith("\n"), (each.row, name)
            assert name.endswith(".py") or "\n\n\n" not in text or name in {"README.md", "LICENSE"}, (each.row, name)


def test_rendered_code_is_formatted_and_lint_clean(matrix: list[Rendered]) -> None:
    """By each project's own settings, so that the owner's first run of the tools changes nothing."""
    assert_clean(*(each.project for each in matrix))


def test_nothing_is_said_of_what_was_not_chosen(matrix: list[Rendered]) -> None:
    """No sentence, setting or import that belongs to another answer."""
    skipped = {".copier-answers.yml", ".gitignore", "LICENSE"}
    found = {
        (fact, name, line.strip())
        for each in matrix
        for fact, words in expected.unwanted_words(each.answers).items()
        for name, text in each.texts
        if name not in skipped
        for line in text.splitlines()
        if words.search(line) and not SPEAKING_EVENTS.search(line)
    }
    assert not found


def test_every_dependency_is_used_and_every_import_declared(matrix: list[Rendered]) -> None:
    """By the owner's files, by the runtime for the answers that were given, or as a tool; by nothing else."""
    for each in matrix:
        project = tomllib.loads((each.project / "pyproject.toml").read_text(encoding="utf-8"))
        sources = {name: imported for name, text in each.texts if name.endswith(".py") for imported in [_imports(text)]}
        for declared, folders, table in (
            (project["project"]["dependencies"], ("src/",), expected.RUNTIME_IMPORTS),
            (project["dependency-groups"]["dev"], ("tests/",), expected.TOOLS),
        ):
            names = {re.split(r"[\[<>=;~! ]", requirement)[0] for requirement in declared}
            imported = set[str]().union(*(found for name, found in sources.items() if name.startswith(folders)))
            used = {
                name for name in names if name in expected.IMPORTS and _is_imported(expected.IMPORTS[name], imported)
            }
            assert names == used | expected.used_without_import(each.answers, table), (each.row, folders)
        everything = {re.split(r"[\[<>=;~! ]", name)[0] for name in project["project"]["dependencies"]}
        everything |= {re.split(r"[\[<>=;~! ]", name)[0] for name in project["dependency-groups"]["dev"]}
        known = {expected.IMPORTS[name].partition(".")[0] for name in everything if name in expected.IMPORTS}
        foreign = {name.partition(".")[0] for found in sources.values() for name in found} - sys.stdlib_module_names
        assert foreign - known == {"event_backbone", package_of(each.project)}, each.row


def test_what_the_runtime_is_said_to_import_it_imports() -> None:
    """Otherwise a dependency that nothing uses any more would stay."""
    texts = [each.read_text(encoding="utf-8") for each in (ROOT / RUNTIME).rglob("*.py")]
    imported = set[str]().union(*(_imports(text) for text in texts))
    imported |= {name for text in texts for name in re.findall(r"import_module\(\"(\w+)\"\)", text)}
    for name in set[str]().union(*expected.RUNTIME_IMPORTS.values()):
        assert _is_imported(expected.IMPORTS[name], imported), name


def test_every_name_is_used(matrix: list[Rendered]) -> None:
    """No function, class, constant or fixture that is defined and then never mentioned again."""
    for each in matrix:
        texts = dict(each.texts)
        everything = "\n".join(texts.values())
        for name, text in texts.items():
            if name.endswith(".py"):
                unused = [
                    defined
                    for defined in _definitions(text)
                    if len(re.findall(rf"\b{defined}\b", everything)) < 2 and not defined.startswith("test_")
                ]
                assert not unused, (each.row, name, unused)


def test_events_are_rendered_as_they_were_asked_for(matrix: list[Rendered]) -> None:
    """Each with its arguments, in their order, in the contract; and a handler with the same ones."""
    for each in matrix:
        texts = dict(each.texts)
        signatures = _functions(texts["src/P/contract.py"])
        assert len(signatures) == {"fifty": 50, "twelve": 12, "acronyms": 6}.get(each.row["events"], len(signatures))
        if each.row["events"] not in EVENTS:
            assert list(signatures) == ["order_placed", "packing", "on_delivery", "on_received"]
        if "src/P/handlers.py" in texts:
            handlers = _functions(texts["src/P/handlers.py"])
            assert {name: found[1:] for name, found in handlers.items()} == {
                name: found[1:] for name, found in signatures.items()
            }


def test_no_name_of_the_rendered_code_can_be_the_contracts(
    matrix: list[Rendered], reserved: dict[str, set[str]]
) -> None:
    """A contract of that name would hide it; the list is complete now, as it must not grow after a release."""
    names: set[str] = set()
    for each in matrix:
        used = {name for file, text in each.texts if file.endswith(".py") for name in _names(text)}
        (contract,) = re.findall(r"^class (\w+)\(Contract\)", dict(each.texts)["src/P/contract.py"], re.MULTILINE)
        names |= {name for name in used - {contract} if re.fullmatch(r"[A-Z][A-Za-z0-9]*", name)}
    assert names - reserved["classes"] == set()


def test_every_path_is_valid_everywhere(matrix: list[Rendered]) -> None:
    """Windows takes no ``" < > : | ? *``, no device names and no long paths; some systems see no difference in case."""
    devices = {"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in range(10))}
    for each in matrix:
        paths = [name.relative_to(each.project).as_posix() for name in each.project.rglob("*")]
        assert len({path.lower() for path in paths}) == len(paths)
        for path in paths:
            assert not set('"<>:|?*\\') & set(path), path
            assert len(path) < 140, path
            for part in path.lower().split("/"):
                assert part.partition(".")[0] not in devices, path
                assert not part.endswith((".", " ")), path


def test_the_same_answers_give_the_same_project(
    matrix: list[Rendered], owners_template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing depends on the clock, the machine, its user or random numbers: here all of them differ."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LANG", "tr_TR.UTF-8")
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setattr("time.time", lambda: 4102444800.0)
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    for each in (matrix[0], matrix[len(matrix) // 2], matrix[-1]):
        second = owners_template.render(tmp_path / each.project.name, each.answers)
        assert owned(second) == owned(each.project)
        for name in owned(second):
            assert (second / name).read_bytes() == (each.project / name).read_bytes(), name


def _imports(text: str) -> set[str]:
    """Every module that is imported, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return found


def _is_imported(module: str, imported: Iterable[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for name in imported)


def _definitions(text: str) -> list[str]:
    found: list[str] = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            names = [each.id for each in node.targets if isinstance(each, ast.Name)]
            found += [name for name in names if name != "pytest_plugins"]  # pytest reads it
    return found


def _functions(text: str) -> dict[str, list[tuple[str, str]]]:
    """The functions between region marks, with the names and types of their arguments."""
    regions = set(re.findall(r"# region (\w+)$", text, re.MULTILINE))
    found: dict[str, list[tuple[str, str]]] = {}
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (name := node.name.removesuffix("_")) in regions
        ):
            found[name] = [
                (each.arg, ast.unparse(each.annotation) if each.annotation else "") for each in node.args.args
            ]
    return found


def _names(text: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom | ast.Import):
            found |= {each.asname or each.name for each in node.names}
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.ClassDef):
            found.add(node.name)
    return found
