"""A store of views in a file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from event_backbone.projection import SqliteStore


@pytest.fixture
def views(tmp_path: Path) -> Path:
    """The file of the views."""
    return tmp_path / "views.sqlite"


@pytest.fixture
async def store(views: Path) -> AsyncIterator[SqliteStore]:
    """An open store in that file."""
    async with SqliteStore(views) as opened:
        yield opened
