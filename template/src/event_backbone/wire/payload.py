"""A payload as one JSON object."""

from __future__ import annotations

import json
import re

from event_backbone.errors import DecodeError
from event_backbone.model.payload import Payload

_decoder = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


def payload_to_json(payload: Payload) -> bytes:
    """Join the arguments to one JSON object; every argument's bytes stay as they are."""
    return b"{" + b",".join(json.dumps(name).encode() + b":" + value for name, value in payload.items()) + b"}"


def payload_from_json(document: bytes) -> dict[str, bytes]:
    """Split such an object into its arguments; raise DecodeError when it is not a JSON object."""
    try:
        return _split_object(document.decode())
    except (ValueError, IndexError) as error:
        raise DecodeError("A stored payload is not a JSON object.") from error


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
