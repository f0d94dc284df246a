"""Loads every script into a server beforehand, so that an answer that a test spoils is that of the script itself."""

from importlib import import_module
from pkgutil import iter_modules

from event_backbone.connection import RedisConnection, Script
from event_backbone.settings import RedisSettings
from event_backbone.storage import hash_scripts
from event_backbone.stream import redis as stream_on_redis

_PREFIX = f"{stream_on_redis.__name__}."
_MODULES = (hash_scripts, *(import_module(each.name) for each in iter_modules(stream_on_redis.__path__, _PREFIX)))


async def load_scripts(url: str) -> None:
    """Load the scripts of streams, restores and payloads into the server at ``url``."""
    connection = RedisConnection(RedisSettings.parse(url))
    for module in _MODULES:
        for script in vars(module).values():
            if isinstance(script, Script):
                await connection.command("SCRIPT", "LOAD", script.source)
    await connection.close()


def called(script: Script) -> bytes:
    """Return what identifies a call of this script for a proxy."""
    return script.digest.encode()
