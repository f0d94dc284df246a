"""`forward`: to another environment or Redis, once or until a signal, and what compares and lists."""

import re
from pathlib import Path

import pytest

from event_backbone.testing.servers import RedisServer
from tests.cli.conftest import Shop
from tests.cli.running import left_behind, start_shop
from tests.cli.test_worker import Worker, get, until


@pytest.fixture
def other_redis(monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    """A second Redis, as the variable for the target names it."""
    server = RedisServer()
    monkeypatch.setenv("FORWARD_REDIS_ENDPOINT", server.url)
    return server


def test_once_to_another_environment(redis_shop: Shop) -> None:
    """Says how many events went where; verify finds both sides equal, and list shows the link at the target."""
    keys = [redis_shop("produce", "closed").output.strip() for _ in range(2)]
    done = redis_shop("forward", "--to-environment", "copy", "--once")
    assert (done.code, done.output) == (0, f"Forwarded 2 events of shop to copy:shop, up to {keys[-1]}.\n")
    verified = redis_shop("forward", "--to-environment", "copy", "verify")
    expected = f"2 events of link test:shop up to {keys[-1]}: same on both sides.\n"
    assert (verified.code, verified.output) == (0, expected)
    assert redis_shop("forward", "--to-uri", "other", "--once", "--event", "closed").code == 0
    (link,) = redis_shop("--uri", "other", "forward", "list", "--json").lines
    assert (link["link"], link["events"], link["checkpoint"]) == ("test:shop", "closed", keys[-1])
    found = {each["subject"]: each["text"] for each in redis_shop("--uri", "other", "doctor", "--json").lines}
    assert str(found["Link test:shop"]).startswith(f"It has forwarded up to {keys[-1]} of its source")
    assert redis_shop("forward", "list").output == "Nothing forwards to stream shop.\n"
    (copy, _) = redis_shop("--uri", "other", "tail", "--no-follow", "--json", "--origin", "forwarded").lines
    assert copy["origin"] == [{"stream": "test:shop", "key": keys[0], "link": "test:shop"}]
    assert redis_shop("--uri", "other", "tail", "--no-follow", "--origin", "produced").output == ""


def test_to_another_redis(redis_shop: Shop, other_redis: RedisServer) -> None:
    """Its address comes from a variable; the same names on both sides need a site."""
    with other_redis:
        redis_shop("produce", "closed")
        refused = redis_shop("forward", "--once")
        assert (refused.code, "--to-site" in refused.errors) == (1, True)
        done = redis_shop("forward", "--to-site", "east", "--once")
        assert (done.code, done.output.partition(",")[0]) == (0, "Forwarded 1 event of shop to east//test:shop")


def test_it_forwards_until_a_signal(redis_shop: Shop, redis_url: str, own_redis: RedisServer, tmp_path: Path) -> None:
    """Its health port is 503 with a sentence while the target is away; SIGTERM ends it with 0, and nothing is left."""
    environment = {"REDIS_EVENT_SOURCE_ENDPOINT": redis_url, "EVENT_SOURCE_ENVIRONMENT": "test"}
    own = tmp_path / "own"
    own.mkdir()
    target = ("--to-redis", own_redis.url, "--to-environment", "copy")
    job = Worker(start_shop("forward", *target, "--health-port", "0", temporary=own, environment=environment))
    found = re.search(r":(\d+)/health/ready", job.wait_for("Health is served"))
    assert found is not None
    port = int(found[1])
    redis_shop("produce", "closed")
    until(lambda: get(port, "/health/ready") == (200, {"status": "ok"}))
    own_redis.kill()
    redis_shop("produce", "closed")
    until(lambda: get(port, "/health/ready")[0] == 503)
    assert get(port, "/health/ready")[1]["detail"] == "Events are not forwarded at the moment; the log says why."
    assert get(port, "/health/live")[0] == 200
    own_redis.start()
    until(lambda: get(port, "/health/ready")[0] == 200)
    until(lambda: redis_shop("forward", *target, "verify").output.startswith("2 events of link test:shop"))
    assert job.stop() == 0
    own_redis.kill()
    late = Worker(start_shop("forward", *target, temporary=own, environment=environment))
    late.wait_for("does not forward at the moment")
    assert late.stop() == 0  # also during an outage
    assert left_behind(own) == []


@pytest.mark.parametrize(
    ("arguments", "code", "errors"),
    [
        (("--once", "--health-port", "0"), 2, "Give --once or a health port, not both.\n"),
        (("--to-uri", "a b", "--once"), 1, "The URI 'a b' is not valid: "),
        (("--to-uri", "b", "--start", "soon", "--once"), 2, "'soon' is not a valid start; "),
        (("--to-uri", "b", "--rate", "0", "--once"), 1, "rate must be from 0.001 to 1000000, or None, not 0.0."),
        (("--to-uri", "b", "--rate", "inf", "--once"), 1, "rate must be from 0.001 to 1000000, or None, not inf."),
        (("--to-uri", "b", "verify"), 1, "No link 'test:shop' forwards to stream test:b; "),
        (("--once",), 1, "Source and target are both 'test:shop': "),
        (("--to-redis", "redis://:secret@127.0.0.1:1", "--to-uri", "b", "--once"), 1, "Redis at 127.0.0.1:1 "),
    ],
)
def test_a_wrong_call_is_one_sentence(redis_shop: Shop, arguments: tuple[str, ...], code: int, errors: str) -> None:
    """On the standard error, with an exit code, and without a password."""
    answer = redis_shop("forward", *arguments)
    assert "secret" not in answer.errors
    assert (answer.code, answer.errors[: len(errors)], answer.errors.count("\n")) == (code, errors, 1)
