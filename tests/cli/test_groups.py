"""`groups`: how far each group is, once, and kept up to date until Ctrl-C."""

import asyncio
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from event_backbone.backbone import Backbone
from event_backbone.testing.servers import RedisServer
from tests.cli.conftest import Shop
from tests.cli.running import start_shop
from tests.cli.shop import create_worker


def test_every_group_is_shown_with_what_it_has_to_do(redis_shop: Shop, redis_url: str) -> None:
    """The project's own also before a worker has created it; for people and for scripts."""
    own = " main-consumer (not created)"
    assert own in redis_shop("groups").output
    for _ in range(3):
        redis_shop("produce", "closed")

    async def handle() -> None:
        async with Backbone(redis_url, environment="test") as backbone, create_worker(None, backbone) as worker:
            await worker.until_idle()

    asyncio.run(handle())
    redis_shop("produce", "closed")
    (row,) = [line.split() for line in redis_shop("groups").output.splitlines() if "main-consumer" in line]
    assert (row[:2], row[-4:]) == (["main-consumer", "1"], ["0", "0", "0", "0"])
    (facts,) = redis_shop("groups", "--json").lines
    assert (facts["uri"], facts["group"], facts["exists"], facts["backlog"]) == ("shop", "main-consumer", True, 1)
    (other,) = [each for each in redis_shop("--group", "mail", "groups", "--json").lines if each["group"] == "mail"]
    assert (other["exists"], other["unread"]) == (False, 4)
    assert "Groups of stock at" in redis_shop("--uri", "stock", "groups").output


def test_a_project_without_consumers_has_no_group_of_its_own(redis_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows those of others, and says so if there are none."""
    monkeypatch.setenv("SHOP_ROLE", "producer")
    assert redis_shop("groups").output == "Stream shop has no consumer group.\n"
    assert redis_shop("groups", "--json").output == ""


def test_a_watch_goes_on_through_an_outage_until_ctrl_c(own_redis: RedisServer, tmp_path: Path) -> None:
    """In a pipe, each group is a line every second, or JSON. The outage is said once; a first answer is not awaited."""
    environment = own_redis.environment()
    watching = start_shop("groups", "--watch", "--json", temporary=tmp_path, environment=environment)
    assert watching.stdout is not None
    assert watching.stderr is not None
    first, second = (json.loads(watching.stdout.readline()) for _ in range(2))
    assert (first["group"], "finished_per_second" in first) == ("main-consumer", False)
    assert (second["exists"], second["finished_per_second"], second["at"] > first["at"]) == (False, 0, True)
    own_redis.kill()
    assert watching.stderr.readline().endswith(" It will be retried.\n")
    refused = start_shop("groups", "--watch", temporary=tmp_path, environment=environment)
    output, errors = refused.communicate(timeout=60)
    assert (refused.returncode, output, errors.count("\n")) == (1, "", 1)
    own_redis.start()
    assert json.loads(watching.stdout.readline())["group"] == "main-consumer"
    assert stopped(watching) == (130, "Stopped.\n")

    watching = start_shop("groups", "--watch", temporary=tmp_path, environment=environment)
    assert watching.stdout is not None
    lines = [watching.stdout.readline() for _ in range(2)]
    numbers = "0 unread, 0 in flight, 0 parked, 0 dead letters, 0 consumers"
    assert lines[0].endswith(f"Z  main-consumer (not created): {numbers}\n")
    assert lines[1].endswith(f": {numbers}, 0 finished a second\n")
    assert stopped(watching) == (130, "Stopped.\n")


def test_on_a_terminal_the_table_is_drawn_again(redis_shop: Shop, redis_url: str, tmp_path: Path) -> None:
    """In its place, with what has changed."""
    screen, terminal = os.openpty()
    environment = {"REDIS_EVENT_SOURCE_ENDPOINT": redis_url, "EVENT_SOURCE_ENVIRONMENT": "test", "TERM": "xterm"}
    watching = start_shop(
        *("groups", "--watch"), temporary=tmp_path, environment=environment | {"COLUMNS": "80"}, screen=terminal
    )
    os.close(terminal)
    drawn = drawn_until(screen, r"main-consumer +0 ")
    assert "a second" in drawn
    redis_shop("produce", "closed")
    drawn = drawn_until(screen, r"main-consumer +1 ")
    assert "\x1b[1A" in drawn  # the cursor goes up, to where the table is
    assert stopped(watching) == (130, "Stopped.\n")
    os.close(screen)


def drawn_until(screen: int, pattern: str) -> str:
    """Read what is drawn until it has this."""
    drawn = ""
    while not re.search(pattern, drawn):
        drawn += os.read(screen, 4096).decode()
    return drawn


def stopped(watching: "subprocess.Popen[str]") -> tuple[int, str]:
    """Press Ctrl-C; return the exit code, and what it says."""
    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=30)
    return watching.returncode, errors
