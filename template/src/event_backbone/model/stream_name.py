"""Names of streams: URI, environment and partition, and the Redis key they make."""

from __future__ import annotations

import re
from typing import NamedTuple

from event_backbone.errors import ConfigurationError

_URI = re.compile(r"[a-z0-9][a-z0-9._/:-]{0,127}")
_NO_SEGMENTS = {"", ".", ".."}  # they would not be folders in a bucket
_NO_ENVIRONMENTS = {"packs", "archive"}  # these are folders in a bucket
_ENVIRONMENT = re.compile(r"[a-z0-9-]*")
_ENVIRONMENT_ALIASES = {"production": "prod", "development": "dev"}


def environment_name(environment: str) -> str:
    """Return the environment as it is in names: lower case, ``Production`` as ``prod``, ``Development`` as ``dev``.

    Raises ConfigurationError if it then has characters other than ``a-z``, ``0-9`` and ``-``.
    """
    lower = environment.strip().lower()
    name = _ENVIRONMENT_ALIASES.get(lower, lower)
    if _ENVIRONMENT.fullmatch(name) is None:
        raise ConfigurationError(
            f"The environment {environment[:60]!r} is not valid: use only letters, digits and hyphens."
        )
    if name in _NO_ENVIRONMENTS:
        raise ConfigurationError(f"The environment {name!r} is not valid: it is a folder in S3; use another one.")
    return name


def site_name(site: str) -> str:
    """Return the site in lower case; raise ConfigurationError if it then has characters other than a-z, 0-9 and -."""
    name = site.strip().lower()
    if _ENVIRONMENT.fullmatch(name) is None:
        raise ConfigurationError(f"The site {site[:60]!r} is not valid: use only letters, digits and hyphens.")
    return name


class StreamName(NamedTuple):
    """The name of one stream. Make it with ``StreamName.of``, which checks its arguments."""

    uri: str
    environment: str = ""
    partition: int = 0

    @classmethod
    def of(cls, uri: str, environment: str = "", partition: int = 0) -> StreamName:
        """Check the names and normalise the environment; raise ConfigurationError for a name that is not valid."""
        if _URI.fullmatch(uri) is None or not _NO_SEGMENTS.isdisjoint(uri.split("/")):
            raise ConfigurationError(
                f"The URI {uri[:130]!r} is not valid: use 1 to 128 of a-z, 0-9 and . _ / : -, starting with a letter "
                "or digit, without empty, '.' and '..' segments."
            )
        return cls(uri, environment_name(environment), partition)

    @property
    def key(self) -> str:
        """The Redis key of the stream: ``{environment}:{uri}`` or ``{uri}``, with ``#n`` appended for partition n."""
        name = f"{self.environment}:{self.uri}" if self.environment else self.uri
        return name if self.partition == 0 else f"{name}#{self.partition}"

    def key_of(self, purpose: str) -> str:
        """Return the Redis key for ``purpose``; its hash tag puts it into the cluster slot of the stream."""
        return f"{{{self.key}}}:{purpose}"
