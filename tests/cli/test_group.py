"""`group seek` and `group delete`: counts first, asks, and moves or deletes."""

from pathlib import Path
from typing import cast

import pytest

from event_backbone import EventKey
from tests.cli.conftest import Shop
from tests.cli.running import answer_on_terminal
from tests.cli.test_dead_letters import night

__all__ = ["night"]


def test_a_group_is_moved_and_deleted(redis_shop: Shop, night: list[EventKey]) -> None:
    """What would change is said first; a script gets it as JSON; a refusal is one sentence and changes nothing."""
    planned = redis_shop("group", "seek", "--to", str(night[1]), "--dry-run")
    assert planned.code == 0
    assert "2 events, from" in planned.output
    assert "2 dead letters of events that come again would stay" in planned.output
    asked = redis_shop("group", "seek", "--to", "beginning")
    assert (asked.code, asked.errors) == (
        2,
        "Give --yes to move it without being asked, or --dry-run to see what would change.\n",
    )
    [moved] = redis_shop("group", "seek", "--to", str(night[0]), "--yes", "--json").lines
    assert (moved["come_again"], moved["left"], moved["forgotten"]) == (3, str(night[2]), False)
    forward = redis_shop("group", "seek", "--to", "now", "--yes")
    assert "3 events before" in forward.output
    assert "Moved: running workers" in forward.output
    past = redis_shop("group", "seek", "--to", str(night[2].successor()), "--dry-run")
    assert "in the future" not in forward.output + past.output
    future = redis_shop("group", "seek", "--to", "2999-01-01", "--dry-run")
    assert "in the future: all events that are appended before 2999-01-01T00:00:00.000Z would be, too" in future.output
    refused = redis_shop("group", "delete", "--yes")
    assert (refused.code, "has 3 dead letters: redrive or discard them first" in refused.errors) == (1, True)
    [found] = redis_shop("group", "delete", "--with-dead-letters", "--dry-run", "--json").lines
    assert (found["exists"], found["dead_letters"]) == (True, 3)
    deleted = redis_shop("group", "delete", "--with-dead-letters", "--yes")
    assert "Group main-consumer is deleted." in deleted.output
    gone = redis_shop("--group", "other", "group", "seek", "--to", "now")
    assert (gone.code, gone.errors) == (1, "Stream test:shop has no consumer group 'other'.\n")


@pytest.mark.parametrize(
    ("command", "typed", "code", "said"),
    [
        ("seek --to beginning", "y\n", 0, "Moved: running workers"),
        ("seek --to beginning", "n\n", 1, "Nothing was changed."),
        ("seek --to beginning", "\x04", 130, "Stopped."),
        ("delete --with-dead-letters", "y\n", 0, "Group main-consumer is deleted."),
        ("delete --with-dead-letters", "\n", 1, "Nothing was deleted."),
        ("delete --with-dead-letters", "", 130, "Stopped."),
    ],
)
def test_on_a_terminal_it_asks(
    redis_shop: Shop,
    night: list[EventKey],
    redis_url: str,
    tmp_path: Path,
    command: str,
    typed: str,
    code: int,
    said: str,
) -> None:
    """After it has said what would change; whatever is no clear yes, or one Ctrl-C, changes nothing."""
    answer = answer_on_terminal("group", *command.split(), typed=typed, temporary=tmp_path, redis_url=redis_url)
    assert "3 dead letters" in answer.output
    assert (answer.code, said in answer.output + answer.errors, "Traceback" in answer.errors) == (code, True, False)
    planned = redis_shop("group", "seek", "--to", "now", "--dry-run")
    there = f"Group main-consumer is there already: it reads on after {night[2]}" in planned.output
    assert there == (code != 0)


def test_an_event_is_explained(redis_shop: Shop, night: list[EventKey]) -> None:
    """For people and for scripts; a missing event is one sentence."""
    answer = redis_shop("explain", str(night[2]))
    text = " ".join(answer.output.split())
    assert (answer.code, answer.errors) == (0, "")
    assert f"Event {night[2]} (packing), produced at" in text
    assert "main-consumer dead letter since" in text
    assert "attempts-exhausted (TimeoutError), attempt 1" in text
    assert "It has caused no event until" in text
    [found] = redis_shop("explain", str(night[0]), "--within", "5m", "--in", "invoices", "--json").lines
    assert (found["key"], found["payload"], found["caused"]) == (str(night[0]), "present", [])
    redis_shop("dead-letters", "redrive", str(night[0]))
    assert "redriven 1 time" in " ".join(redis_shop("explain", str(night[0])).output.split())
    [found] = redis_shop("explain", str(night[0]), "--json").lines
    (life,) = cast("list[dict[str, object]]", found["groups"])
    assert (life["state"], life["redrives"]) == ("parked", 1)
    missing = redis_shop("explain", "1-0")
    assert (missing.code, missing.errors) == (1, "Stream test:shop has no event 1-0.\n")


@pytest.mark.parametrize("to", ["past", "1764041094123"])
def test_what_is_neither_key_nor_time_is_refused(redis_shop: Shop, to: str) -> None:
    """Before anything is connected."""
    answer = redis_shop("group", "seek", "--to", to)
    assert (answer.code, "is neither a key nor a time" in answer.errors) == (2, True)
