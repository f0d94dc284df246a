"""The Redis user that the docs advise can do all that a project does, and no more."""

import os
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from event_backbone.testing.servers import RedisSentinel, RedisServer
from tests.cli import running
from tests.cli.conftest import Shop, advised

SETTINGS = {
    "EVENT_SOURCE_ENVIRONMENT": "prod",
    "SHOP_STORAGE": "split",
    "SHOP_ARCHIVE": "yes",
    "SHOP_RETENTION_DAYS": "1",
    "SHOP_FAILS": "always",
}


def test_the_advised_user_is_refused_nothing_that_a_project_does(
    shop: Shop, advised_user: list[str], s3_environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Producing, failing, redriving, seeking, archiving, restoring, removing and examining; FLUSHALL it may not."""
    with RedisServer(append_only=True) as server, Redis.from_url(server.url) as admin:
        admin.execute_command("ACL SETUSER", *advised_user)
        endpoint = server.url.replace("redis://", "redis://shipments:the-password@")
        settings = SETTINGS | s3_environment | {"REDIS_EVENT_SOURCE_ENDPOINT": endpoint}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        key = shop("produce", "order-placed", "--sample").output.strip()
        worker = running.shop("worker", "--until-empty", temporary=tmp_path, environment=os.environ)
        assert worker.returncode == 0, worker.stderr
        for command in (
            ("explain", key),
            ("dead-letters", "redrive", "--all"),
            ("group", "seek", "--to", "beginning", "--yes"),
            ("group", "delete", "--yes"),
            ("archive", "--once"),
            ("restore",),
            ("trim",),
            ("tail", "--no-follow"),
            ("erase", key, "--yes"),
            ("doctor",),
        ):
            answer = shop(*command)
            assert answer.code == 0, (command, answer)
        assert admin.execute_command("ACL LOG") == []
        with Redis.from_url(endpoint) as client, pytest.raises(NoPermissionError):
            client.flushall()


def test_the_advised_user_of_sentinels_finds_the_primary_and_their_state(
    shop: Shop, advised_user: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they want a user: the same one as the servers."""
    with RedisSentinel(append_only=True) as servers:
        for server in servers.servers:
            server.command("ACL", "SETUSER", *advised_user)
        for sentinel in servers.sentinels:
            sentinel.command("ACL", "SETUSER", *advised("sentinel.md"))
            sentinel.command("ACL", "SETUSER", "default", "off")
        monkeypatch.setenv("REDIS_EVENT_SOURCE_ENDPOINT", servers.url.replace("://", "://shipments:the-password@"))
        monkeypatch.setenv("EVENT_SOURCE_ENVIRONMENT", "prod")
        assert shop("produce", "closed").code == 0
        findings = {each["subject"]: each["level"] for each in shop("doctor", "--json").lines}
        assert (findings["Redis"], findings["Sentinels"]) == ("ok", "ok")
