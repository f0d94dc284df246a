"""Which versions of a server are too old."""

import pytest

from event_backbone.connection.server import version_of


@pytest.mark.parametrize(
    ("info", "name", "too_old"),
    [
        ({"redis_version": "6.2.14"}, "Redis 6.2.14", True),
        ({"redis_version": "7.0.0"}, "Redis 7.0.0", False),
        ({"redis_version": "10.1"}, "Redis 10.1", False),
        ({"redis_version": "7.2.4", "valkey_version": "7.1.9"}, "Valkey 7.1.9", True),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, "Valkey 8.0.1", False),
        ({}, "Redis ", False),
    ],
)
def test_a_server_is_too_old_by_its_own_version(info: dict[str, str], name: str, *, too_old: bool) -> None:
    """Valkey also gives the version of the Redis that it replaces; a server that gives none is not refused."""
    version = version_of(info)
    assert (str(version), version.too_old) == (name, too_old)
