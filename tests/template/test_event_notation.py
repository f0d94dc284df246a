"""The command line reads events as the template's question does: the same ones, with the same sentences."""

import builtins
import json
from collections.abc import Callable
from keyword import softkwlist

import jinja2
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from event_backbone.cli.event_notation import NotationError, parse_events
from tests.template.rendering import ROOT
from tests.template.test_hostile_events import BREAKS, NASTY_ARGUMENTS, NASTY_EVENTS, TYPES, WORDS
from tests.template.test_questions import REFUSED

Parsed = list[tuple[str, str, str]] | str
"""Name, method and text of each event, or the sentence that refuses them."""

DEFAULT = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))["events"]["default"]
ACCEPTED = [
    DEFAULT,
    "\n A ( b : dict[ str , int ] | None , ) ,\r\n B ,",
    "A(\n  b: list[int]|None,\n)\n\nB\n",
    "Shipped, Sailed(), HTTPRequestSent, S3ObjectStored, SentHTTP",
    ", ".join(f"E{number}" for number in range(50)),
]
REFUSED_TEXTS = [text for question, text, _ in REFUSED if question == "events"]
VALUES_OF_ARGUMENTS = ['Lost(reason: str = "x")', "Lost(reason=str)", "Lost(a: int, b: int = f)"]
RESERVED_NAMES = st.sampled_from([*NASTY_EVENTS, "Class", "Mro", "Datetime", "Import", "Lpt9", "Com0", "A" * 41])
ARGUMENTS = st.sampled_from([*NASTY_ARGUMENTS, "self", "ctx", "context", "lambda", "None", "_a", "a" * 41])
EVENTS = st.builds(
    "{}({})".format,
    RESERVED_NAMES,
    st.lists(st.builds("{}: {}".format, ARGUMENTS, st.sampled_from([*TYPES, "Money"])), max_size=3).map(", ".join),
)
TEXTS = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=12).map("".join),
    st.lists(st.one_of(RESERVED_NAMES, EVENTS, st.sampled_from(BREAKS)), max_size=5).map(", ".join),
)


@pytest.fixture(scope="session")
def question() -> Callable[[str], Parsed]:
    """Parse a text as the validator of the question does."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT),
        extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"],
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - as Copier does; it is JSON, not HTML
    )
    macros = environment.get_template("includes/events.jinja").module

    def parse(text: str) -> Parsed:
        answer = json.loads(str(getattr(macros, "parse")(text)))  # noqa: B009 - a macro, of which type checkers know nothing
        return answer["error"] or [(each["name"], each["snake"], each["text"]) for each in answer["events"]]

    return parse


def command(text: str) -> Parsed:
    """Parse a text as `events add` does."""
    try:
        return [(each.name, each.method, each.text) for each in parse_events(text)]
    except NotationError as error:
        return str(error)


@pytest.mark.parametrize("text", [*ACCEPTED, *REFUSED_TEXTS, *VALUES_OF_ARGUMENTS])
def test_the_command_and_the_question_read_a_known_text_alike(question: Callable[[str], Parsed], text: str) -> None:
    """What the question's own tests accept or refuse, with all of each sentence."""
    assert command(text) == question(text)
    assert isinstance(question(text), str) == (text not in ACCEPTED)


def test_a_value_for_an_argument_has_its_own_sentence(question: Callable[[str], Parsed]) -> None:
    """It says where defaults belong."""
    sentence = 'Leave out "=": arguments have no default here; give one in contract.py.'
    assert [question(text) for text in VALUES_OF_ARGUMENTS] == [sentence] * len(VALUES_OF_ARGUMENTS)


def test_the_command_and_the_question_reserve_the_same_names(
    question: Callable[[str], Parsed], reserved: dict[str, set[str]]
) -> None:
    """As events and as arguments; Python's other words and builtins are free in both."""
    words = {*reserved["events"], *reserved["arguments"], *reserved["devices"], *softkwlist, *dir(builtins)}
    for text in [form.format(word) for word in sorted(words) for form in ("{0}", "A({0}: int)")]:
        name = text[:1].upper() + text[1:]
        assert command(name) == question(name)


@settings(max_examples=300, derandomize=True)
@given(text=TEXTS)
@example(text="")
def test_the_command_and_the_question_read_any_text_alike(question: Callable[[str], Parsed], text: str) -> None:
    """Whatever the text."""
    assert command(text) == question(text)
