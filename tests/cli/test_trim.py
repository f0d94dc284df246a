"""`trim`: removes what nobody needs, and says what stays and why; `doctor` says how the stream is."""

from __future__ import annotations

import re
from typing import cast

import pytest
import redis

from event_backbone.model import EventKey
from tests.cli.conftest import Shop
from tests.cli.test_doctor import found

STREAM = "test:shop"


def test_events_before_a_key_leave_redis_unless_a_group_needs_them(redis_shop: Shop, redis_url: str) -> None:
    """A dry run says the same and changes nothing; what stays is said by its reason."""
    keys = [redis_shop("produce", "closed").output.strip() for _ in range(5)]
    with redis.Redis.from_url(redis_url) as client:
        client.xgroup_create(STREAM, "mailer", keys[3])
        client.xclaim(STREAM, "mailer", "mailer-1", 0, [keys[1]], force=True)
        planned = redis_shop("trim", "--dry-run", "--before", keys[4])
        assert client.xlen(STREAM) == len(keys)
        done = redis_shop("trim", "--before", keys[4])
        rows = cast("list[tuple[bytes, object]]", client.xrange(STREAM))
        assert [entry_id.decode() for entry_id, _ in rows] == [keys[1], keys[4]]
        client.xgroup_create(STREAM, "late", "0")
    assert (planned.code, done.code, planned.errors, done.errors) == (0, 0, "", "")
    would, *kept = planned.output.splitlines()
    what = rf"3 events before {keys[4]} \(.+\), with \d+ B of payloads"
    assert re.fullmatch(rf"Would remove {what}; 2 would be left\.", would)
    removed, *kept_too = done.output.splitlines()
    assert re.fullmatch(rf"Removed {what}; 2 are left\.", removed)
    assert kept == kept_too
    assert [re.sub(r" \(.+\)", "", line) for line in kept] == [
        f"  Kept: 1 event from {keys[1]} on, not finished by group mailer."
    ]
    nothing = redis_shop("trim", "shop", "--before", "2099-01-31T12:00:00Z").output
    assert f"  Kept: 2 events from {keys[1]}" in nothing
    assert "on, not read by group late." in nothing


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Give --before KEY or TIME: this project keeps events forever."),
        (("--before", "yesterday"), "'yesterday' is neither a key nor a time; give 1764041094123-0 or 2025-01-31"),
    ],
)
def test_what_cannot_be_trimmed_is_said_in_a_line(redis_shop: Shop, arguments: tuple[str, ...], says: str) -> None:
    """With the exit code of a usage error."""
    answer = redis_shop("trim", *arguments)
    assert answer.code == 2
    assert says in answer.errors


def test_the_doctor_says_how_large_the_stream_is_and_when_redis_is_full(redis_shop: Shop, redis_url: str) -> None:
    """And which groups lost events, or keep none any more."""
    assert found(redis_shop)["Stream"][0] == "ok"
    key = EventKey.parse(redis_shop("produce", "closed").output.strip())
    with redis.Redis.from_url(redis_url) as client:
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", used * 20)
        client.xgroup_create(STREAM, "mailer", "0")
        now = str(key.milliseconds)
        for field, value in {"looked": now, "cut": "7", "cut-until": str(key), "cut-at": now}.items():
            client.hset(f"{{{STREAM}}}:group:mailer", field, value)
        try:
            findings = found(redis_shop)
            client.hset(f"{{{STREAM}}}:group:mailer", "forgotten", key.milliseconds)
            forgotten = found(redis_shop)["Group mailer"]
        finally:
            client.config_set("maxmemory", 0)
    level, text = findings["Stream"]
    assert level == "ok"
    assert re.fullmatch(r"1 event, .+ of Redis' memory; the oldest is of .+; nothing is ever removed", text)
    level, text = findings["Redis memory"]
    assert level == "warn"
    assert re.search(r"are used \(\d%\); full in about \d+ .+ events a second: new ones are then refused", text)
    level, text = findings["Group mailer"]
    assert level == "warn"
    assert f"it has lost 7 events unfinished, up to {key}" in text
    assert "it has had no consumer since" in forgotten[1]


def test_the_doctor_says_when_old_events_stay_although_nobody_needs_them(
    redis_shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As no process removes them; then Redis fills up as without retention."""
    monkeypatch.setenv("SHOP_RETENTION_DAYS", "1")
    with redis.Redis.from_url(redis_url) as client:
        client.xadd(STREAM, {"any": "entry"}, id="1764041094123-0")
        client.config_set("maxmemory", client.info("memory")["used_memory"] * 20)
        for _ in range(300):
            client.xadd(STREAM, {"any": "entry"})
        try:
            findings = found(redis_shop)
        finally:
            client.config_set("maxmemory", 0)
    level, text = findings["Stream"]
    assert level == "warn"
    assert "longer than it should be, although nobody needs it: no process with this retention runs" in text
    assert "full in about" in findings["Redis memory"][1]
