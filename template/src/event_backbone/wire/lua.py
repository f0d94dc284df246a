"""The names of wire format 1 for Lua scripts, which write ``$DUE_KEY`` and the like instead of the name itself."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from event_backbone.wire import fields, keys

NAMES: Mapping[str, str] = {
    name: value.decode() if isinstance(value, bytes) else value
    for module in (keys, fields)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str | bytes)
}
"""Every name by its constant in ``wire.keys`` and ``wire.fields``."""


def with_names(source: str) -> str:
    """Return a script with its names filled in. A dollar sign is written as two; an unknown name is a KeyError."""
    return Template(source).substitute(NAMES)
