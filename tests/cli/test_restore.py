"""`restore`: says what is lost and what comes back, and brings it back."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
import redis

from event_backbone.archive.restore_report import RestorePlan, RestoreReport
from event_backbone.cli import progress, read
from event_backbone.cli.restore import plan_lines, report_lines
from event_backbone.model import EventKey
from tests.cli.conftest import Shop


@pytest.fixture(autouse=True)
def _environment(redis_url: str, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop whose payloads are in S3, with an archive."""
    del s3_environment
    for name, value in {
        "REDIS_EVENT_SOURCE_ENDPOINT": redis_url,
        "EVENT_SOURCE_ENVIRONMENT": "test",
        "SHOP_STORAGE": "s3",
        "SHOP_ARCHIVE": "yes",
    }.items():
        monkeypatch.setenv(name, value)


def test_a_lost_redis_is_restored(shop: Shop, redis_url: str) -> None:
    """The plan comes first and changes nothing; archived events keep their keys; run again, there is nothing to do."""
    keys = [shop("produce", "closed").output.strip() for _ in range(2)]
    shop("archive", "--once")
    late = shop("produce", "closed").output.strip()
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()

    plan = shop("restore", "--dry-run")
    assert (plan.code, plan.errors) == (0, "")
    first, *rest = plan.output.splitlines()
    assert first == "shop:"
    assert rest[0] == "  Redis has 0 events."
    assert rest[1].startswith(f"  The archive has 2 events, up to {keys[-1]} (")
    assert rest[2] == "  Redis has lost archived events: the stream is built again, with their keys."
    assert rest[3] == "  Packs have 1 more event: appended under new keys."
    assert shop("tail", "--no-follow", "--json").lines != []  # the archive alone answers
    assert shop("doctor").output.count("lost events") == 1

    done = shop("restore")
    assert done.code == 0
    assert done.output.startswith(plan.output)
    *_, restored, appended, took = done.output.splitlines()
    assert (restored, appended) == ("  Restored 2 events from the archive.", "  Appended 1 event from packs.")
    assert re.fullmatch(r"  Done in \d+\.\d s\.", took)
    found = [str(each["key"]) for each in shop("tail", "--no-follow", "--json").lines]
    assert (found[:2], len(found), late in found) == (keys, 3, False)

    again = shop("restore")
    assert (again.code, again.output.splitlines()[-1]) == (0, "  Nothing is lost, so there is nothing to restore.")


def test_several_streams_are_restored_one_after_the_other(shop: Shop, redis_url: str) -> None:
    """Each with its own plan; one that is named before the command is restored instead of the project's."""
    shop("produce", "closed")
    shop("--uri", "other", "produce", "closed")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert shop("--uri", "other", "restore", "--dry-run").output.startswith("other:\n")
    done = shop("restore", "shop", "other")
    assert [line for line in done.output.splitlines() if not line.startswith(" ")] == ["shop:", "other:"]
    assert done.output.count("Appended 1 event from packs.") == 2


def test_what_cannot_be_restored_is_one_sentence(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time that is not one, and a server that does not answer."""
    wrong = shop("restore", "--since", "yesterday")
    assert (wrong.code, wrong.errors.count("\n")) == (2, 1), wrong.errors
    assert "'yesterday' is not a valid time" in wrong.errors
    monkeypatch.setenv("REDIS_EVENT_SOURCE_ENDPOINT", "127.0.0.1:1")
    answer = shop("restore")
    assert (answer.code, answer.output, answer.errors.count("\n")) == (1, "", 1), answer.errors


@pytest.mark.parametrize("in_terminal", [True, False])
def test_long_reads_of_the_archive_show_how_far_they_are(
    shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch, *, in_terminal: bool
) -> None:
    """A restore, and a `tail` into a file: a bar for each step in a terminal, elsewhere a line now and then."""
    monkeypatch.setattr(progress, "_LINE_EVERY", 0)
    monkeypatch.setattr(read, "_SHOW_EVERY", 1)
    keys = [shop("produce", "closed").output.strip() for _ in range(2)]
    shop("archive", "--once")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: in_terminal)

    tail = shop("tail", "--no-follow")
    restored = shop("restore")
    assert [line.split()[0] for line in tail.output.splitlines()] == keys
    assert restored.output.count("Restored 2 events") == 1
    if in_terminal:
        shown = [re.sub(r"\x1b\[[0-9;]*m", "", each.errors) for each in (tail, restored)]
        frames = [each for each in shown[0].split("\x1b[2K") if "reading" in each]
        assert [frame.count("reading, at 20") for frame in frames] == [1] * len(frames), frames
        assert "2/?" in frames[-1]
        assert re.search(r"restoring archived events .* 2/2", shown[1]), shown[1]
    else:
        reading = [line.rpartition(": ") for line in tail.errors.splitlines()]
        assert [(text.startswith("reading, at 20"), done) for text, _, done in reading] == [(True, "1"), (True, "2")]
        assert "restoring archived events: 2 of 2\n" in restored.errors


KEY = "7-0 (1970-01-01T00:00:00.007Z)"


@pytest.mark.parametrize(
    ("plan", "sentences"),
    [
        (
            RestorePlan("shop", 3, EventKey(7), events_lost=False, live=1, lost=0, groups={}, unlisted=("hash",)),
            [
                "Redis has 1 event.",
                f"The archive has 3 events, up to {KEY}.",
                "Nothing is lost, so there is nothing to restore.",
            ],
        ),
        (
            RestorePlan(
                "shop",
                1,
                EventKey(7),
                events_lost=True,
                live=1200,
                lost=0,
                groups={"g": EventKey(7)},
                unlisted=("a", "b"),
                restored_from=EventKey(7),
                archive_only=1,
            ),
            [
                "Redis has 1,200 events.",
                f"The archive has 1 event, up to {KEY}.",
                "Redis has lost archived events: the stream is built again, with their keys.",
                f"Events from {KEY} on come back; 1 earlier event stays in the archive alone.",
                f"Group g goes on after {KEY}.",
                f"What only a and b had after {KEY} cannot come back.",
            ],
        ),
        (
            RestorePlan("shop", None, None, events_lost=False, live=0, lost=2, groups={}, unlisted=("hash",)),
            [
                "Redis has 0 events.",
                "There is no archive: only events in packs come back, and groups begin at the beginning.",
                "Packs have 2 more events: appended under new keys.",
                "What only hash had cannot come back.",
            ],
        ),
        (
            RestorePlan("shop", 0, None, events_lost=False, live=0, lost=1, groups={}, unlisted=()),
            ["Redis has 0 events.", "The archive is empty.", "Packs have 1 more event: appended under new keys."],
        ),
    ],
    ids=["nothing to do", "archive", "packs alone", "empty archive"],
)
def test_each_sentence_of_a_plan(plan: RestorePlan, sentences: list[str]) -> None:
    """What there is, what is lost, and what becomes of it."""
    assert plan_lines(plan) == ["shop:", *(f"  {each}" for each in sentences)]


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (RestoreReport("shop", archived=1200), "Restored 1,200 events from the archive."),
        (
            RestoreReport("shop", restored_from=EventKey(7), archive_only=1200),
            f"Left 1,200 events before {KEY} in the archive alone.",
        ),
        (RestoreReport("shop", appended=1), "Appended 1 event from packs."),
        (RestoreReport("shop", moved=2), "Gave new keys to 2 live events, as a clock was behind."),
        (RestoreReport("shop", duplicates=1), "Left out 1 live event that the archive has already."),
        (RestoreReport("shop", dead_letters=3), "Restored 3 dead letters."),
        (
            RestoreReport("shop", gone=1),
            "1 payload could not be restored, whole or in part: what is missing is nowhere.",
        ),
        (RestoreReport("shop", damaged=2), "2 records in packs could not be read; see the log."),
    ],
)
def test_each_sentence_of_a_report(report: RestoreReport, sentence: str) -> None:
    """Only what there is to say is said; how long it took always is."""
    took = timedelta(seconds=1.24)
    assert report_lines(replace(report, took=took)) == [f"  {sentence}", "  Done in 1.2 s."]
    assert report_lines(RestoreReport("shop", took=took, live=5)) == ["  Done in 1.2 s."]
