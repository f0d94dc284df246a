"""The libraries that only S3 needs."""

from __future__ import annotations

from importlib.util import find_spec

from event_backbone.errors import ConfigurationError


def require_libraries() -> None:
    """Raise ConfigurationError with the command that installs what is missing."""
    missing = [library for library in ("boto3", "obstore") if find_spec(library) is None]
    if missing:
        raise ConfigurationError(f"Payloads in S3 need more packages: pip install {' '.join(missing)}")
