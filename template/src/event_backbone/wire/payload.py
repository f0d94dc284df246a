"""A payload as one JSON object."""

from __future__ import annotations

import json
import re
from collections.abc import ItemsView, Iterator, Mapping
from functools import lru_cache
from typing import cast

from event_backbone.errors import DecodeError
from event_backbone.model.payload import Payload

_decoder = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_word = re.compile(rb"[A-Za-z0-9.+-]+").match
"""Matches a number, true, false or null, where the document is known to be JSON."""
_QUOTE, _COMMA, _BACKSLASH = b'",\\'


class WrittenPayload(Mapping[str, bytes]):
    """A payload as the JSON object that it was read from, which is split when an argument is first asked for."""

    __slots__ = ("_arguments", "document")

    def __init__(self, document: bytes) -> None:
        """Keep the object, which must be JSON."""
        self.document = document
        self._arguments: dict[str, bytes] | None = None

    def __getitem__(self, name: str) -> bytes:
        return self._split()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._split())

    def __len__(self) -> int:
        return len(self._split())

    def items(self) -> ItemsView[str, bytes]:
        """Return names and values: fast path, see decision 0010."""
        return self._split().items()

    def _split(self) -> dict[str, bytes]:
        if self._arguments is None:
            found = slice_compact(self.document + b"}", 0)
            self._arguments = payload_from_json(self.document) if found is None else found
        return self._arguments


def payload_to_json(payload: Payload) -> bytes:
    """Join the arguments to one JSON object; every argument's bytes stay as they are."""
    if isinstance(payload, WrittenPayload):
        return payload.document
    return b"{" + b",".join([_label(name) + value for name, value in payload.items()]) + b"}"


def payload_from_json(document: bytes) -> dict[str, bytes]:
    """Split such an object into its arguments; raise DecodeError when it is not a JSON object."""
    try:
        return _split_object(document.decode())
    except (ValueError, IndexError) as error:
        raise DecodeError("A stored payload is not a JSON object.") from error


def slice_compact(document: bytes, first: int) -> dict[str, bytes] | None:
    """Slice the members out of an object that ends the document: fast path, see decision 0010.

    ``document`` must be valid JSON; the object is a member and begins at ``first``. None says that it is not the last
    one, or not written as by ``payload_to_json``; ``payload_from_json`` reads those too.
    """
    payload: dict[str, bytes] = {}
    if document[first:] == b"{}}":
        return payload
    no_escapes, text = _BACKSLASH not in document, ""
    end = first
    while True:
        start = document.find(b'":', end + 1) + 2
        try:
            name = _name(document[end + 1 : start])
        except ValueError:
            return None
        if no_escapes and document[start] == _QUOTE:
            end = document.find(b'"', start + 1) + 1
        elif word := _word(document, start):
            end = word.end()
        elif document[start] in b'"[{':
            text = text or document.decode("latin-1")  # a character for each byte
            _, end = _decoder.raw_decode(text, start)
        else:
            return None
        payload[name] = document[start:end]
        if document[end] != _COMMA:
            return payload if document[end:] == b"}}" else None


@lru_cache(maxsize=1024)
def _label(name: str) -> bytes:
    """Return a member's name and its colon as JSON."""
    return json.dumps(name).encode() + b":"


@lru_cache(maxsize=1024)
def _name(label: bytes) -> str:
    """Return the name of which this is the label; raise ValueError when it is something else."""
    return cast("str", json.loads(label[:-1]))


def _split_object(text: str) -> dict[str, bytes]:
    position = _skip(text, 0)
    if text[position] != "{":
        raise ValueError("not an object")
    payload: dict[str, bytes] = {}
    position = _skip(text, position + 1)
    while text[position] != "}":
        name, position = _decoder.raw_decode(text, position)
        position = _skip(text, position)
        if not isinstance(name, str) or text[position] != ":":
            raise ValueError("not a member")
        start = _skip(text, position + 1)
        _, end = _decoder.raw_decode(text, start)
        payload[name] = text[start:end].encode()
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    if _skip(text, position + 1) != len(text):
        raise ValueError("more than one object")
    return payload


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return position if match is None else match.end()
