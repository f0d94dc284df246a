"""Sends spans and metrics by OTLP over HTTP, for applications that choose no other way.

Only this package knows the SDK. ``environment.py`` reads what the standard ``OTEL_*`` variables want, and
``export.py`` does it.
"""

from event_backbone.otlp.environment import configure_otlp

__all__ = ["configure_otlp"]
