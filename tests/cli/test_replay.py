"""`replay` and `debug`: the project's handlers are called again with what is in the history."""

import re
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Shop
from tests.cli.running import answer_on_terminal, start_shop


@pytest.fixture
def keys(redis_shop: Shop) -> list[str]:
    """Two events of one name, and one of another; no worker has run."""
    names = ("packing", "closed", "packing")
    return [redis_shop("produce", name, "--sample").output.strip() for name in names]


def test_a_range_is_replayed_without_a_group(redis_shop: Shop, keys: list[str]) -> None:
    """A dry run says what would be handled; the end says what was, and groups are not affected."""
    planned = redis_shop("replay", "--dry-run")
    assert (planned.code, planned.output) == (0, "Would handle 3 events: 2 packing, 1 closed.\n")
    done = redis_shop("replay", "--yes", "--start", keys[1], "--concurrency", "1", "--rate", "1000")
    assert (done.code, done.errors) == (0, "")
    assert re.fullmatch(r"Handled 2 events in \d+\.\d s: 1 closed, 1 packing\.\n", done.output)
    chosen = redis_shop("replay", "--yes", "--event", "packing", "--end", keys[2])
    assert re.fullmatch(r"Handled 1 event in \d+\.\d s: 1 packing\.\n", chosen.output)
    nothing = redis_shop("replay", "--yes", "--start", "2099-01-31T12:00:00Z")
    assert re.fullmatch(r"Handled 0 events in \d+\.\d s\.\n", nothing.output)
    assert "no group" in redis_shop("doctor").output.lower() or redis_shop("pending").code != 0


def test_it_asks_unless_told_otherwise(redis_shop: Shop, keys: list[str]) -> None:
    """What handlers do is done again, so a script has to say --yes."""
    assert keys
    refused = redis_shop("replay")
    says = "Give --yes to replay without being asked, or --dry-run to count the events.\n"
    assert (refused.code, refused.output, refused.errors) == (2, "", says)


@pytest.mark.parametrize("answer", ["n", "y"])
def test_on_a_terminal_it_counts_first(
    redis_shop: Shop, keys: list[str], redis_url: str, tmp_path: Path, answer: str
) -> None:
    """And then handles what it has counted."""
    assert keys
    del redis_shop
    code, output, errors = answer_on_terminal("replay", typed=f"{answer}\n", temporary=tmp_path, redis_url=redis_url)
    assert output.startswith("Would handle 3 events: 2 packing, 1 closed.\n")
    assert "Call the handlers with them?" in errors
    assert ("Handled 3 events" in output, "Nothing was replayed." in errors) == (answer == "y", answer == "n")
    assert code == (0 if answer == "y" else 1)


def test_a_failure_and_ctrl_c_say_how_to_go_on(
    redis_shop: Shop, keys: list[str], redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the key from which all is still to do; a Reject is only counted."""
    monkeypatch.setenv("SHOP_FAILS", "always")
    rejected = redis_shop("produce", "order_placed", "--sample").output.strip()
    counted = redis_shop("replay", "--yes")
    assert counted.code == 0
    assert "Failed: 1 event: 1 rejected.\n" in counted.output
    assert re.search(rf"^  {rejected} \(order_placed\): rejected, .*Reject \(no product", counted.output, re.MULTILINE)
    environment = {
        "REDIS_EVENT_SOURCE_ENDPOINT": redis_url,
        "EVENT_SOURCE_ENVIRONMENT": "test",
        "SHOP_HANGS": "until-cancelled",
    }
    process = start_shop("replay", "--yes", "--concurrency", "1", temporary=tmp_path, environment=environment)
    assert process.stderr is not None
    assert "Hanging." in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.splitlines()[-1]) == (130, "Stopped.")
    assert output.startswith("Handled 1 event ")
    assert f"To go on, give --start {keys[1]} and the same other options; all before it is done.\n" in output


def test_one_event_is_debugged_in_the_foreground(
    redis_shop: Shop, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its arguments come first; a failure has its traceback, in which the project's lines are marked."""
    fine = redis_shop("debug", keys[0])
    assert (fine.code, fine.errors) == (0, "")
    assert fine.output.startswith(f"Event {keys[0]}: packing version 1, of ")
    assert re.search(r"email\s+'", fine.output)
    assert fine.output.endswith("The handlers succeeded; nothing was acked.\n")
    monkeypatch.setenv("SHOP_FAILS", "bug")
    failed = redis_shop("debug", keys[2])
    assert failed.code == 1
    assert "would produce packing(email=" in failed.output
    marked = [line for line in failed.errors.splitlines() if line.startswith(">")]
    assert any("shop.py" in line and "in packing" in line for line in marked)
    assert not any("event_backbone/" in line for line in marked)
    assert failed.errors.splitlines()[-1] == "  LookupError: bug"
    assert redis_shop("replay", "--dry-run").output == "Would handle 3 events: 2 packing, 1 closed.\n"
    monkeypatch.setenv("SHOP_FAILS", "always")
    order = redis_shop("produce", "order_placed", "--sample").output.strip()
    assert redis_shop("debug", order).errors.startswith("A handler decided: Reject, no product")
    redis_shop("erase", keys[0], "--yes")
    assert redis_shop("debug", keys[0]).output.endswith("No handler was called: erased.\n")
    assert redis_shop("debug", "1-0").errors == "Stream test:shop has no event 1-0.\n"
