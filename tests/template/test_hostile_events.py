"""Whatever events are answered: a contract that works, or one sentence and nothing."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_backbone import Contract
from event_backbone.contract import check, events_of
from event_backbone.testing.samples import sample_json
from tests.template.hostile import PROPERTY, rendered
from tests.template.rendering import assert_clean

pytestmark = pytest.mark.timeout(300)
SCALARS = ["str", "int", "float", "bool", "bytes", "datetime", "date", "Decimal", "UUID"]
TYPES = [*SCALARS, *(f"list[{each}]" for each in SCALARS), *(f"dict[str, {each}]" for each in SCALARS)]
# Names that mean something to pydantic, to a class, to a formatter or linter, or to the code around them.
NASTY_ARGUMENTS = [
    *(
        "model_config",
        "model_fields",
        "model_dump",
        "model_post_init",
        "model_extra",
        "schema",
        "json",
        "copy",
        "dict",
        "list",
    ),
    *(
        "validate",
        "construct",
        "fields",
        "str",
        "int",
        "type",
        "match",
        "case",
        "id",
        "l",
        "print",
        "cls",
        "args",
        "kwargs",
    ),
    *(
        "event",
        "key",
        "metadata",
        "attempt",
        "payload",
        "consumer",
        "services",
        "producer",
        "handler",
        "fn",
        "obj",
        "uri",
    ),
    *("date", "datetime", "arguments", "options", "using", "a" * 40, "x1", "a__b", "a_"),
]
NASTY_EVENTS = [
    *(
        "A",
        "AAb" * 13,
        "B" * 40,
        "Ab" * 20,
        "E0",
        "Print",
        "Open",
        "Id",
        "Type",
        "Match",
        "Handle",
        "Using",
        "Bind",
        "Uuid",
    ),
    *(
        "Consumer",
        "Producer",
        "Services",
        "Object",
        "Super",
        "Property",
        "Set",
        "Tuple",
        "Len",
        "HTTP2Sent",
        "Decimal",
        "Self",
    ),
]
BREAKS = [", ", ",", " , ", "\n", ",\n", "\n\n  ", ",\r\n"]
WORDS = [
    *"(),:[]|#-.=*'\"\\{}%",
    " ",
    "\n",
    "\t",
    "A",
    "B",
    "Packed",
    "a",
    "b_c",
    "x: int",
    "str",
    "None",
    "| None",
    "list[int]",
]
Event = tuple[str, list[tuple[str, str]] | None]


def _snake(name: str) -> str:
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)).lower()


@st.composite
def argument_lists(draw: st.DrawFn, taken: set[str]) -> list[tuple[str, str]]:
    """Arguments with valid, if unwise, names, and every kind of type."""
    plain = st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True)
    names = st.one_of(st.sampled_from(NASTY_ARGUMENTS), plain).filter(lambda name: name not in taken)
    types = st.tuples(st.sampled_from(TYPES), st.sampled_from(["", " | None"])).map("".join)
    return draw(st.lists(st.tuples(names, types), max_size=6, unique_by=lambda each: each[0]))


@st.composite
def event_lists(draw: st.DrawFn, reserved: dict[str, set[str]]) -> tuple[list[Event], str]:
    """Events, and a way to write them."""
    plain = st.from_regex(r"[A-Z][A-Za-z0-9]{0,39}", fullmatch=True)
    names = st.one_of(st.sampled_from(NASTY_EVENTS), plain).filter(
        lambda name: _snake(name) not in reserved["events"] and name.lower() not in reserved["devices"]
    )
    arguments = st.one_of(st.none(), argument_lists(taken=reserved["arguments"]))
    events = draw(st.lists(st.tuples(names, arguments), min_size=1, max_size=8, unique_by=lambda each: _snake(each[0])))
    space = draw(st.sampled_from(["", " ", "\n  "]))
    written = [
        name
        if inside is None
        else f"{name}({space}{(',' + (space or ' ')).join(f'{a}: {t}' for a, t in inside)}{space})"
        for name, inside in events
    ]
    return events, draw(st.sampled_from(["", "\n"])) + draw(st.sampled_from(BREAKS)).join(written)


@pytest.fixture
def load() -> Any:
    """Runs a rendered contract."""

    def load(project: Path) -> type[Contract]:
        scope: dict[str, Any] = {"__name__": "contract"}
        (file,) = project.glob("src/*/contract.py")
        exec(compile(file.read_text(encoding="utf-8"), file, "exec", dont_inherit=True), scope)  # noqa: S102
        contract: type[Contract] = scope["ShipmentTracking"]
        return contract

    return load


def _assert_works(project: Path, contract: type[Contract]) -> None:
    """Formatted, lint-clean, and usable: each event encodes and decodes the arguments that it has."""
    assert_clean(project)
    check(contract)
    for event in events_of(contract):
        arguments = event.codec.parse(sample_json(event))
        assert event.codec.decode(event.codec.encode((), arguments)) == arguments


@PROPERTY
@given(data=st.data())
def test_valid_events_work_whatever_they_are_called(
    code_only: Path, reserved: dict[str, set[str]], load: Any, data: st.DataObject
) -> None:
    """Each becomes a method with its arguments, and a handler with the same ones, however it was written down."""
    events, text = data.draw(event_lists(reserved))
    usual = [("id", "str"), ("time", "datetime")]
    wanted = {_snake(name): usual if inside is None else inside for name, inside in events}
    with rendered(code_only, events=text) as project:
        contract = load(project)
        found = {
            each.attribute: [(name, str(kind)) for name, kind in _annotations(project, each.attribute).items()]
            for each in events_of(contract)
        }
        assert found == wanted
        assert (project / "src/shipment_tracking/handlers.py").read_text(encoding="utf-8").count(
            "@consumer.on("
        ) == len(events)
        _assert_works(project, contract)


def test_every_nasty_name_works_at_once(code_only: Path, reserved: dict[str, set[str]], load: Any) -> None:
    """All of those above in one contract, such as an argument named like a type, or just l."""
    arguments = [name for name in NASTY_ARGUMENTS if name not in reserved["arguments"]]
    events = [name for name in NASTY_EVENTS if _snake(name) not in reserved["events"]]
    written = [f"{name}({', '.join(f'{each}: str' for each in arguments)})" for name in (*events, "L")]
    with rendered(code_only, events="\n".join(written)) as project:
        contract = load(project)
        assert len(list(events_of(contract))) == len(written)
        _assert_works(project, contract)


@PROPERTY
@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=12))
def test_any_other_events_are_refused_or_work(code_only: Path, load: Any, words: list[str]) -> None:
    """There is nothing in between: what passes the validator is a contract that works."""
    try:
        with rendered(code_only, events="".join(words)) as project:
            _assert_works(project, load(project))
    except ValueError as refused:
        if not re.search(r"'events': [A-Z][^\n]*\.\Z", str(refused)):
            raise


def _annotations(project: Path, method: str) -> dict[str, str]:
    tree = ast.parse((project / "src/shipment_tracking/contract.py").read_text(encoding="utf-8"))
    (function,) = (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name == method)
    return {each.arg: ast.unparse(each.annotation) for each in function.args.args if each.annotation}
