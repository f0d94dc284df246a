"""Read models: projections fold the events of a stream into a view, and keep their place in the view's own database.

``projection.py`` has what an application writes, ``store.py`` what a database has to do, ``projector.py`` what runs.
A projector reads pages of events (``following.py``) and folds each in one transaction with its checkpoint
(``folding.py``); ``failures.py`` decides what happens when that fails. ``SqliteStore`` is imported on first use, as
every worker imports this package, and not every Python has SQLite.
"""

from typing import TYPE_CHECKING

from event_backbone.projection.projection import Projection
from event_backbone.projection.projector import Projector
from event_backbone.projection.store import ProjectionKey, ProjectionStore

if TYPE_CHECKING:
    from event_backbone.projection.sqlite_store import SqliteStore

__all__ = ["Projection", "ProjectionKey", "ProjectionStore", "Projector", "SqliteStore"]


def __getattr__(name: str) -> object:
    if name != "SqliteStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from event_backbone.projection.sqlite_store import SqliteStore  # noqa: PLC0415

    return SqliteStore
