"""Read models: projections fold the events of a stream into a view, and keep their place in the view's own database.

``projection.py`` has what an application writes, ``store.py`` what a database has to do, ``projector.py`` what runs.
A projector reads pages of events (``following.py``) and folds each in one transaction with its checkpoint
(``folding.py``); ``failures.py`` decides what happens when that fails.
"""

from event_backbone.projection.projection import Projection
from event_backbone.projection.projector import Projector
from event_backbone.projection.sqlite_store import SqliteStore
from event_backbone.projection.store import ProjectionKey, ProjectionStore

__all__ = ["Projection", "ProjectionKey", "ProjectionStore", "Projector", "SqliteStore"]
