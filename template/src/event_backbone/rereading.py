"""What is done with the history of a stream, beside its consumer groups."""

from __future__ import annotations

from event_backbone.administration import Administration


class Rereading(Administration):
    """Reads the events of a stream again, without a consumer group; a part of ``Backbone``, which has the settings."""
