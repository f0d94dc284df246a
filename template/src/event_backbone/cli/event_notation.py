"""The notation in which events are written for the template, such as ``OrderPlaced(email: str), Shipped``.

The template's question ``events`` has the same grammar and the same sentences in Jinja, which a project does not have
when it runs; a test of the template holds the two to the same answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from keyword import kwlist

_MOST_EVENTS = 50
_LONGEST_NAME = 40
_SHOWN = 60  # characters of the text that a sentence repeats
_RESERVED_EVENTS = frozenset(
    (*kwlist, "str", "int", "float", "bool", "bytes", "list", "dict", "date", "datetime", "event", "mro")
)
_RESERVED_ARGUMENTS = frozenset((*kwlist, "self", "ctx", "context"))
_DEVICES = frozenset(("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))))

_SCALAR = r"(?:str|int|float|bool|bytes|datetime|date|Decimal|UUID)"
_TYPE = re.compile(
    rf"(?:{_SCALAR}|list\[\s*{_SCALAR}\s*\]|dict\[\s*str\s*,\s*{_SCALAR}\s*\])(?:\s*\|\s*None)?", re.ASCII
)
_TYPES = (
    "str, int, float, bool, bytes, datetime, date, Decimal, UUID, list[...] or dict[str, ...] of these, or ... | None"
)


class NotationError(ValueError):
    """A text does not list events; the message is one sentence that says what to change."""


@dataclass(frozen=True, slots=True)
class WrittenEvent:
    """An event as it is written: its name, what its method is called, and the whole of it in its plainest form."""

    name: str
    method: str
    text: str


def parse_events(text: str) -> list[WrittenEvent]:
    """Return the events of a text; commas or line breaks separate them.

    Raises:
        NotationError: the text has a mistake, or no event.
    """
    _check_characters(text)
    events: list[WrittenEvent] = []
    for item in _items(text):
        event = _event(item)
        _check_event(event, events)
        events.append(event)
    if not events:
        raise NotationError("Name at least one event, such as OrderPlaced.")
    if len(events) > _MOST_EVENTS:
        raise NotationError(f"Use at most {_MOST_EVENTS} events: you have {len(events)}.")
    return events


def write_events(events: Sequence[WrittenEvent]) -> str:
    """Return the events as one line."""
    return ", ".join(each.text for each in events)


def _check_characters(text: str) -> None:
    if foreign := re.search(r"[^\t\r\n -~]", text):
        shown = json.dumps(foreign[0], ensure_ascii=False)
        raise NotationError(f"Use plain ASCII letters: {shown} is not allowed.")
    outside = re.sub(r"\([^()]*\)", "", text)
    if "(" in outside or ")" in outside:
        raise NotationError("Give each event one pair of ( ): a bracket is not closed, not opened or nested.")
    outside = re.sub(r"\[[^\[\]]*\]", "", text)
    if "[" in outside or "]" in outside:
        raise NotationError("Close each [ ] and do not nest them, as in dict[str, int].")


def _items(text: str) -> Iterator[str]:
    # A line break inside brackets counts as a space; any other separates events, like a comma.
    lines = re.sub(r"\s*[\r\n]\s*(?=[^()]*\))", " ", text)
    for item in re.findall(r"(?:[^,\r\n()]|\([^()]*\))+", lines):
        if found := item.strip():
            yield found


def _event(item: str) -> WrittenEvent:
    parts = re.fullmatch(r"([A-Za-z0-9_]+)\s*(?:(\()([^()]*)\))?", item)
    if parts is None:
        shown = json.dumps(item[:_SHOWN])
        raise NotationError(f"Put a comma between events: {shown} does not look like OrderPlaced(id: str).")
    name, bracket, inside = parts[1], parts[2], parts[3] or ""
    arguments: dict[str, str] = {}
    for piece in re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+", inside):
        if piece.strip():
            argument, annotation = _argument(name, piece.strip())
            if argument in arguments:
                raise NotationError(f"Rename one argument: {name} has {argument} twice.")
            arguments[argument] = annotation
    written = ", ".join(f"{argument}: {annotation}" for argument, annotation in arguments.items())
    return WrittenEvent(name, _method(name), f"{name}({written})" if bracket else name)


def _argument(event: str, piece: str) -> tuple[str, str]:
    if "=" in piece:
        raise NotationError('Leave out "=": arguments have no default here; give one in contract.py.')
    parts = re.fullmatch(r"([A-Za-z0-9_]+)\s*:\s*(.+)", piece)
    if parts is None:
        shown = json.dumps(piece[:_SHOWN])
        raise NotationError(f"Give each argument a type, as in id: str ({shown} of {event} has none).")
    name, annotation = parts[1], parts[2]
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise NotationError(f"Write arguments like product_id: {json.dumps(name)} of {event} is not in that form.")
    if name in _RESERVED_ARGUMENTS:
        raise NotationError(f"Rename argument {name}: Python or the runtime uses this name.")
    if len(name) > _LONGEST_NAME:
        raise NotationError(f"Keep argument names to {_LONGEST_NAME} characters: {name} is longer.")
    if not _TYPE.fullmatch(annotation):
        raise NotationError(f"Change type {json.dumps(annotation[:_SHOWN])}: use {_TYPES}.")
    return name, re.sub(r"\s+", "", annotation).replace(",", ", ").replace("|", " | ")


def _check_event(event: WrittenEvent, others: Sequence[WrittenEvent]) -> None:
    name = event.name
    same = next((each for each in others if each.method == event.method), None)
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name):
        raise NotationError(f"Write events like OrderPlaced: {json.dumps(name)} is not in that form.")
    if len(name) > _LONGEST_NAME:
        raise NotationError(f"Keep event names to {_LONGEST_NAME} characters: {name} is longer.")
    if name.lower() in _DEVICES:
        raise NotationError(f"Rename event {name}: Windows reserves this name.")
    if event.method in _RESERVED_EVENTS:
        raise NotationError(f"Rename event {name}: Python or the runtime uses {event.method}.")
    if same is not None and same.name == name:
        raise NotationError(f"Remove one of the two events named {name}.")
    if same is not None:
        raise NotationError(f"Rename {name} or {same.name}: both become {event.method}.")


def _method(name: str) -> str:
    """Return what the event's method is called: http_request_sent of HTTPRequestSent."""
    joined = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", joined).lower()
