"""A payload as one JSON object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache

from event_backbone.errors import DecodeError
from event_backbone.model.payload import Payload

_decoder = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_word = re.compile(rb"[A-Za-z0-9.+-]+").match
"""Matches a number, true, false or null, where the document is known to be JSON."""
_QUOTE = ord('"')


def payload_to_json(payload: Payload) -> bytes:
    """Join the arguments to one JSON object; every argument's bytes stay as they are."""
    return b"{" + b",".join([_label(name) + value for name, value in payload.items()]) + b"}"


def payload_from_json(document: bytes) -> dict[str, bytes]:
    """Split such an object into its arguments; raise DecodeError when it is not a JSON object."""
    try:
        return _split_object(document.decode())
    except (ValueError, IndexError) as error:
        raise DecodeError("A stored payload is not a JSON object.") from error


def slice_compact(document: bytes, first: int, names: Iterable[str]) -> dict[str, bytes] | None:
    """Slice the values of these members out of an object that ends the document: fast path, see decision 0010.

    ``document`` must be valid JSON; the object is its last member and begins at ``first``. None says that it has other
    members or another order, or is not written as by ``payload_to_json``; ``payload_from_json`` reads those too.
    """
    payload: dict[str, bytes] = {}
    no_escapes, text = b"\\" not in document, ""
    end = first
    for name in names:
        label = _label(name)
        if not document.startswith(label, end + 1):
            return None
        start = end + 1 + len(label)
        if no_escapes and document[start] == _QUOTE:
            end = document.find(b'"', start + 1) + 1
        elif word := _word(document, start):
            end = word.end()
        else:
            text = text or document.decode("latin-1")  # a character for each byte
            _, end = _decoder.raw_decode(text, start)
        payload[name] = document[start:end]
    return payload if document[end:] == b"}}" else None


@lru_cache(maxsize=1024)
def _label(name: str) -> bytes:
    """Return a member's name and its colon as JSON."""
    return json.dumps(name).encode() + b":"


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
