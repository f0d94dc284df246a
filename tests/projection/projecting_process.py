"""Projectors in separate processes, which are there to be killed: a new one begins when one has ended."""

import argparse
import asyncio
import os
from importlib import import_module
from pathlib import Path

from event_backbone import Backbone
from event_backbone.projection import SqliteStore
from tests.support.letters import URI
from tests.support.views import letters_view


async def project(url: str, views: Path, parent: int) -> None:
    """Project until the end, at the latest that of the parent."""
    async with (
        Backbone(url, environment="test") as backbone,
        SqliteStore(views) as store,
        backbone.projector(letters_view(), URI, store=store),
    ):
        print(f"projecting {os.getpid()}", flush=True)  # noqa: T201
        while os.getppid() == parent:  # noqa: ASYNC110 - nobody could tell
            await asyncio.sleep(0.5)


def main(url: str, views: Path, lives: int) -> None:
    """Fork one projector after the other: the libraries are loaded once, and nothing runs yet when it forks."""
    parent = os.getpid()
    import_module("event_backbone.projection.projector")
    import_module("event_backbone.stream.redis")
    print("ready", flush=True)  # noqa: T201
    for _ in range(lives):
        child = os.fork()
        if child == 0:
            asyncio.run(project(url, views, parent))
            return
        os.waitpid(child, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("--views", type=Path)
    parser.add_argument("--lives", type=int)
    options = parser.parse_args()
    main(options.url, options.views, options.lives)
