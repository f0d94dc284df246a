"""The reference pages say what the code says."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click
import pytest
import typer
import yaml
from fastapi import FastAPI

from event_backbone import errors, telemetry
from event_backbone.cli import Project, build_cli
from event_backbone.consumer import Consumer
from event_backbone.contract import events_of
from event_backbone.model import StreamName
from event_backbone.storage import S3Options
from event_backbone.storage.s3.keys import pack_key
from event_backbone.web import event_routes, health_routes, lag_routes
from tests.docs.pages import ROOT
from tests.support.shipment import ShipmentTracking
from tests.template.rendering import Template, saved_answers

REFERENCE = ROOT / "docs" / "reference"
RUNTIME = ROOT / "template" / "src" / "event_backbone"
PUBLIC_MODULES = (
    "event_backbone",
    "event_backbone.archive",
    "event_backbone.otlp",
    "event_backbone.projection",
    "event_backbone.storage",
    "event_backbone.testing",
    "event_backbone.web",
)
VARIABLE = re.compile(
    r'"((?:REDIS_EVENT_SOURCE|S3_EVENT_SOURCE|EVENT_SOURCE|EVENT_BACKBONE|FORWARD|SERVE|WORKER)_[A-Z0-9_]*[A-Z0-9])"'
)
CONDITION = re.compile(r"`(\w+)` is (not )?`([\w-]+)`")


def page(name: str) -> str:
    """The text of a reference page."""
    return (REFERENCE / name).read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """The rows of all tables in a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row, following in zip(cells, [*cells[1:], [""]], strict=True) if not _is_rule(row, following)]


def _is_rule(row: list[str], following: list[str]) -> bool:
    return set("".join(row)) <= {"-"} or (bool(following[0]) and set("".join(following)) <= {"-"})


def section(text: str, heading: str) -> str:
    """What is below a heading, up to the next one."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"there is no section {heading!r}"
    return found[1]


def block_of_code(text: str, language: str) -> list[str]:
    """The lines of the first block of code in this language."""
    return text.partition(f"```{language}\n")[2].partition("\n```")[0].splitlines()


def codes(cell: str) -> list[str]:
    """The words of a cell that are set as code."""
    return re.findall(r"`([^`]+)`", cell)


class TestQuestions:
    """copier.yml."""

    @pytest.fixture(scope="class")
    @classmethod
    def questions(cls) -> dict[str, dict[str, Any]]:
        """What is asked, without what is computed."""
        text = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
        return {key: value for key, value in text.items() if key[0] != "_" and value.get("when") is not False}

    def test_every_question_is_listed_in_order(self, questions: dict[str, dict[str, Any]]) -> None:
        """And no other."""
        assert [row[0].strip("`") for row in rows(page("questions.md")) if len(row) == 4] == list(questions)

    def test_values_and_conditions_are_those_of_the_question(self, questions: dict[str, dict[str, Any]]) -> None:
        """Its choices or its type, and when it is asked."""
        for key, values, _, when in (row for row in rows(page("questions.md")) if len(row) == 4):
            question = questions[key.strip("`")]
            choices = question.get("choices")
            if choices is None:
                assert values == {"bool": "yes or no", "int": "0 to 3650", "str": "text"}[question["type"]]
            else:
                assert codes(values) == _values(choices)
            assert _condition(when) == question.get("when", "always"), key

    def test_defaults_are_those_of_a_project_rendered_without_answers(self, template: Template) -> None:
        """Derived ones as they are for the default name."""
        (answers,) = (
            yaml.safe_load(
                (template.rendered(saved_answers("s3")) / ".copier-answers.yml").read_text(encoding="utf-8")
            ),
        )
        answers["storage"] = "redis-hash"
        for key, _, default, _ in (row for row in rows(page("questions.md")) if len(row) == 4):
            if key == "`events`":
                listed = section(page("questions.md"), "events").partition("```text\n")[2].partition("```")[0]
                assert " ".join(listed.split()) == answers["events"]
            else:
                found = answers[key.strip("`")]
                assert default == {True: "yes", False: "no", "": ""}.get(found, f"`{found}`"), key


def _values(choices: list[str] | dict[str, str]) -> list[str]:
    return list(choices.values()) if isinstance(choices, dict) else choices


def _condition(text: str) -> str:
    if text == "always":
        return text
    return "{{ " + CONDITION.sub(lambda match: f"{match[1]} {'!=' if match[2] else '=='} '{match[3]}'", text) + " }}"


def test_every_variable_that_is_read_is_a_setting() -> None:
    """Read by the runtime, or by the settings of a rendered project; no other is documented."""
    sources = [*RUNTIME.rglob("*.py"), ROOT / "template" / "src" / "{{ package_name }}" / "settings.py.jinja"]
    read = {name for source in sources for name in VARIABLE.findall(source.read_text(encoding="utf-8"))}
    documented = {name for row in rows(page("settings.md")) for name in codes(row[0])}
    assert {name for name in documented if not name.startswith("OTEL_")} == read
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in documented


class TestCommands:
    """The command line of a project that has everything."""

    @pytest.fixture(scope="class")
    @classmethod
    def commands(cls) -> dict[str, click.Command]:
        """Every command that is not hidden, by its full name."""
        project = Project(
            name="shipment-tracking",
            module="shipment_tracking",
            contract=ShipmentTracking,
            uri="shipment-tracking",
            load_settings=_never,
            open_backbone=_never,
            group="main-consumer",
            open_worker=_never,
            consumer=Consumer(ShipmentTracking),
            archives=True,
            api="shipment_tracking.api:app",
            s3_options=_never,
        )
        return dict(_commands(cast("click.Command", typer.main.get_command(build_cli(project))), ""))

    def test_every_command_is_listed_with_its_description(self, commands: dict[str, click.Command]) -> None:
        """In the words of its help."""
        listed = {codes(row[0])[0]: row[2] for row in rows(page("cli.md").partition("\n## ")[0])}
        assert listed == {name: " ".join((command.help or "").split()) for name, command in commands.items()}

    def test_every_option_is_listed(self, commands: dict[str, click.Command]) -> None:
        """Of each command, and no other."""
        for name, command in commands.items():
            names = {option for each in _parameters(command) for option in [_name_of(each)]}
            if names:
                listed = {codes(row[0])[0] for row in rows(section(page("cli.md"), name)) if row[0]}
                assert listed == names, name


def _never(*_: object, **__: object) -> Any:
    raise AssertionError


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    inner = getattr(command, "commands", None)
    if inner is None or getattr(command, "invoke_without_command", False):
        yield name, command
    if inner is None:
        return
    for each, found in cast("dict[str, click.Command]", inner).items():
        if not found.hidden:
            yield from _commands(found, f"{name} {each}".strip())


def _parameters(command: click.Command) -> list[Any]:
    return [each for each in command.params if not getattr(each, "hidden", False) and each.name != "help"]


def _name_of(parameter: Any) -> str:
    return str(parameter.opts[0] if parameter.opts[0].startswith("--") else parameter.name.upper())


def test_every_route_is_listed_with_its_responses() -> None:
    """As the OpenAPI document of an application has them."""
    app = FastAPI()
    app.include_router(event_routes(ShipmentTracking, uri="shipment-tracking", erasing=True))
    app.include_router(lag_routes("shipment-tracking"))
    app.include_router(health_routes())
    first = events_of(ShipmentTracking)[0].attribute.replace("_", "-")
    served = {
        f"{method.upper()} {path}": sorted(map(int, operation["responses"]))
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
    }
    listed = {codes(row[0])[0]: [int(code) for code in row[1].split(", ")] for row in rows(page("http-api.md"))}
    listed[f"POST /events/{first}"] = listed.pop("POST /events/<event-name>")
    assert listed == {name: answers for name, answers in served.items() if name in listed}
    assert {name for name in served if name not in listed} == {
        f"POST /events/{each.attribute.replace('_', '-')}" for each in events_of(ShipmentTracking)[1:]
    }


class TestErrors:
    """errors.py."""

    def test_every_error_is_listed_with_its_kind(self) -> None:
        """In the order of the code, with its base class and whether waiting may help."""
        tree = ast.parse(inspect.getsource(errors))
        expected = [
            (name, getattr(errors, name).__base__.__name__, "yes" if getattr(errors, name).retryable else "no")
            for name in (node.name for node in tree.body if isinstance(node, ast.ClassDef))
        ]
        listed = [(codes(row[0])[0], codes(row[1])[0], row[2]) for row in rows(page("errors.md"))]
        assert listed == expected

    def test_the_root_draws_the_tree(self) -> None:
        """Each error below its base class, and ``retryable`` where waiting may help."""
        drawn: list[tuple[str, str, bool]] = []
        bases = ["Exception"]
        for line in block_of_code(inspect.getdoc(errors.BackboneError) or "", "text"):
            name, _, rest = line.lstrip("|-` ").partition(" ")
            depth = line.index(name) // 4
            drawn.append((name, bases[depth], rest.lstrip().startswith("retryable:")))
            bases[depth + 1 :] = [name]
        declared = [each for each in vars(errors).values() if inspect.isclass(each)]
        found = [each for each in declared if issubclass(each, errors.BackboneError)]
        assert drawn == [(each.__name__, each.__mro__[1].__name__, each.retryable) for each in found]


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_every_public_name_is_listed(module: str) -> None:
    """What a module lists in ``__all__``, in its order; errors have a separate page."""
    public: list[str] = importlib.import_module(module).__all__
    listed = [codes(row[0])[0] for row in rows(section(page("python-api.md"), module))]
    assert listed == [name for name in public if not hasattr(errors, name)]


def test_every_metric_to_watch_exists() -> None:
    """The how-to pages name only what the runtime measures, or says in a span."""
    pages = (ROOT / "docs" / "how-to" / name for name in ("deploy.md", "observe.md"))
    text = "".join(each.read_text(encoding="utf-8") for each in pages)
    named = set(re.findall(r"`(event_backbone\.\w+)`", text))
    assert named
    in_spans = {name for row in rows(section(page("metrics.md"), "Spans")) for name in codes(row[0])}
    assert named <= {metric.name for metric in telemetry.METRICS} | in_spans


def test_the_object_key_is_made_as_the_page_says() -> None:
    """The example is a real one."""
    (example,) = re.findall(r"^prod/.*$", page("storages.md"), re.MULTILINE)
    pack_id = example.rpartition("/")[2].removesuffix(".jsonl")
    assert pack_key(S3Options(bucket="any"), StreamName.of("shipment-tracking", "prod"), pack_id) == example


def test_every_step_of_an_event_is_in_the_file_that_is_named() -> None:
    """The files of the table exist."""
    text = (ROOT / "docs" / "explanations" / "way-of-an-event.md").read_text(encoding="utf-8")
    named = [name for row in rows(text) for name in codes(row[1])]
    assert len(named) > 10
    folders = [RUNTIME, RUNTIME / "subscription"]
    assert [name for name in named if not any((folder / name).exists() for folder in folders)] == []


def test_words_of_the_glossary_are_sorted() -> None:
    """So that a word is easy to find."""
    words = [row[0].strip("*").lower() for row in rows(Path(ROOT, "docs", "glossary.md").read_text(encoding="utf-8"))]
    assert words == sorted(words)
