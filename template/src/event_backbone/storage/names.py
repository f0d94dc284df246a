"""The names of storages in payload references."""

from __future__ import annotations

import re

from event_backbone.errors import ConfigurationError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def storage_name(name: str) -> str:
    """Return the name unchanged; raise ConfigurationError when it is not valid in a reference."""
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(f"A storage's name must be 1 to 32 of a-z, 0-9 and hyphen, not {name[:40]!r}.")
    return name
