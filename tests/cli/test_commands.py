"""The commands against a real Redis: what they print, and how they fail."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from redis import Redis

from tests.cli.conftest import Shop
from tests.cli.running import REPOSITORY, start_shop
from tests.cli.running import shop as shop_process

ORDER = {"user": {"name": "Ada", "email": "ada@example.com"}, "product_id": 7, "time": "2025-01-31T12:00:00Z"}


def test_produce_prints_the_key_and_show_prints_the_event(redis_shop: Shop) -> None:
    """What was given as JSON is in the stream, and `show` shows where its payload is stored."""
    produced = redis_shop("produce", "order_placed", "--json", json.dumps(ORDER))
    assert (produced.code, produced.errors) == (0, "")
    key = produced.output.strip()
    (event,) = redis_shop("show", key, "--json").lines
    assert (event["key"], event["event"], event["payload"]) == (key, "order_placed", "present")
    assert event["arguments"] == ORDER
    produced_at = str(event["produced_at"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", produced_at)
    assert event["locations"] == [f"{{test:shop}}:payload:{event['event_id']}"]
    table = redis_shop("show", key).output
    assert "ada@example.com" in table
    assert produced_at in table
    assert str(event["event_id"]) in table


@pytest.mark.parametrize("name", ["order_placed", "order-placed", "OrderPlaced", "ORDER_PLACED"])
def test_an_event_is_found_however_people_write_its_name(redis_shop: Shop, name: str) -> None:
    """As in the contract, in the URL, or in the template's question."""
    assert redis_shop("produce", name, "--sample").code == 0


def test_produce_reads_arguments_from_a_file_and_from_standard_input(
    redis_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`@FILE` and `-`, as with curl."""
    file = tmp_path / "order.json"
    file.write_text(json.dumps(ORDER))
    assert redis_shop("produce", "order_placed", "--json", f"@{file}").code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(ORDER)))
    assert redis_shop("produce", "order_placed", "--json", "-").code == 0
    assert len(redis_shop("tail", "--no-follow", "--json").lines) == 2


WRONG_CALLS: Mapping[str, tuple[int, str]] = {
    "produce nothing": (2, "'nothing' is not an event of Shop; choose one of: order_placed, packing, closed."),
    "produce packing": (2, "Give the arguments, for example: --json '{"),
    "produce packing --json {}": (2, "Argument 'email' of event 'packing' is missing."),
    "produce packing --json [": (2, "The arguments of event 'packing' must be one JSON object"),
    "produce packing --json @/nowhere": (2, "The file '/nowhere' cannot be read"),
    "produce packing --json {} --sample": (2, "Give --json or --sample, not both."),
    "show 17": (2, "'17' is not a valid event key; one looks like 1764041094123-0."),
    "show 1-0": (1, "Stream test:shop has no event 1-0."),
    "erase 1-0 --yes": (1, "Stream test:shop has no event 1-0."),
    "erase 1-0": (2, "Give --yes to erase without being asked."),
    "tail --from now -n 3": (2, "Give --from or --last, not both."),
    "tail --event nothing": (2, "'nothing' is not an event of Shop; choose one of: order_placed, packing, closed."),
    "tail --from yesterday": (2, "'yesterday' is not a valid start; give beginning"),
    "dead-letters redrive": (
        2,
        "Name the events to redrive by their keys, or give --all or a filter such as --reason.",
    ),
    "dead-letters discard 1-0 --all": (2, "Name the events to discard by their keys, or give --all or a filter"),
    "dead-letters show 1-0": (1, "There is no dead letter of event 1-0; see: shop dead-letters list"),
    "dead-letters show 17": (2, "'17' is not a valid event key; one looks like 1764041094123-0."),
    "dead-letters redrive 17": (2, "'17' is not a valid event key; one looks like 1764041094123-0."),
    "dead-letters count --older-than soon": (2, "'soon' is not an age; give one such as 90s, 30m, 8h or 7d, or a time"),
    "worker --no-archive": (2, "Leave out --no-archive: this project has no archive."),
    "archive": (2, "No such command 'archive'"),
    "worker --health-port 70000": (2, "Invalid value for '--health-port'"),
    "fly": (2, "No such command 'fly'"),
}


@pytest.mark.parametrize("call", WRONG_CALLS)
def test_a_wrong_call_ends_in_one_sentence(redis_shop: Shop, call: str) -> None:
    """On the standard error, with an exit code, and without a traceback."""
    code, words = WRONG_CALLS[call]
    answer = redis_shop(*call.split())
    assert answer.code == code
    assert words in answer.errors
    assert answer.errors.count("\n") == 1


@pytest.mark.parametrize("call", ["produce closed", "tail --no-follow", "pending", "dead-letters list", "show 1-0"])
@pytest.mark.parametrize("endpoint", ["", "127.0.0.1:1", "http://:hidden@host", "redis://:hidden@127.0.0.1:1"])
def test_a_wrong_redis_ends_in_one_sentence_without_its_password(
    shop: Shop, call: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unset, unreadable, or unreachable."""
    monkeypatch.setenv("REDIS_EVENT_SOURCE_ENDPOINT", endpoint)
    answer = shop(*call.split())
    assert answer.code == 1
    assert answer.errors.count("\n") == 1
    assert "hidden" not in answer.errors
    assert "Redis" in answer.errors or "REDIS_EVENT_SOURCE_ENDPOINT" in answer.errors or "not sent" in answer.errors


def test_tail_prints_events_from_a_given_start(redis_shop: Shop) -> None:
    """From the beginning without --from, or from a key, which is included."""
    keys = [redis_shop("produce", "closed").output.strip() for _ in range(3)]
    everything = redis_shop("tail", "--no-follow").output.splitlines()
    assert [line.split()[:2] for line in everything] == [[key, "closed"] for key in keys]
    some = redis_shop("tail", "--no-follow", "--json", "--from", keys[1]).lines
    assert [each["key"] for each in some] == keys[1:]
    assert redis_shop("tail", "--no-follow", "--from", "2100-01-01").output == ""
    assert len(redis_shop("tail", "--no-follow", "--json", "--from", "beginning").lines) == 3


def test_tail_says_that_events_from_its_start_on_have_left_the_stream(
    redis_shop: Shop, redis_url: str, tmp_path: Path
) -> None:
    """One line on the standard error, when somebody asked for them and there is no archive."""
    keys = [redis_shop("produce", "closed").output.strip() for _ in range(2)]
    with Redis.from_url(redis_url) as client:
        client.xdel("test:shop", keys[0])
        client.hset("{test:shop}:archive", "complete-from", keys[1])
    environment = {"REDIS_EVENT_SOURCE_ENDPOINT": redis_url, "EVENT_SOURCE_ENVIRONMENT": "test"}
    done = shop_process("tail", "--no-follow", "--from", keys[0], temporary=tmp_path, environment=environment)
    assert done.stdout.split()[0] == keys[1]
    assert done.stderr == (
        f"Events before {keys[1]} have left stream test:shop; the scan begins with those that are still there.\n"
    )


def test_tail_prints_the_last_events_and_only_those_wanted(redis_shop: Shop) -> None:
    """`-n 2` as everywhere; with names, the last two of those; `-n 0` has none."""
    closed = [redis_shop("produce", "closed").output.strip() for _ in range(3)]
    packed = [redis_shop("produce", "packing", "--sample").output.strip() for _ in range(3)]

    def keys(*options: str) -> list[object]:
        return [each["key"] for each in redis_shop("tail", "--no-follow", "--json", *options).lines]

    assert keys("-n", "2") == packed[1:]
    assert keys("--last", "100") == closed + packed
    assert keys("-n", "2", "--event", "closed") == closed[1:]
    assert keys("--event", "Closed", "--event", "order-placed") == closed
    assert keys("-n", "0") == []


def test_tail_follows_after_the_last_events(redis_shop: Shop, redis_url: str, tmp_path: Path) -> None:
    """What was there first, then what comes; Ctrl-C ends it with 130 and one word."""
    keys = [redis_shop("produce", "closed").output.strip() for _ in range(2)]
    environment = {"REDIS_EVENT_SOURCE_ENDPOINT": redis_url, "EVENT_SOURCE_ENVIRONMENT": "test"}
    process = start_shop("tail", "-n", "1", temporary=tmp_path, environment=environment)
    assert process.stdout is not None
    assert process.stdout.readline().split()[0] == keys[1]
    later = redis_shop("produce", "closed").output.strip()
    assert process.stdout.readline().split()[0] == later
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "Stopped.\n")
    assert process.returncode == 130


def test_the_version_names_project_and_runtime(shop: Shop) -> None:
    """One line, without settings; here neither is installed."""
    answer = shop("--version")
    assert (answer.code, answer.errors) == (0, "")
    assert re.fullmatch(
        r"shop \(not installed\), event_backbone with manifest [0-9a-f]{12}, Python 3\.\S+\n", answer.output
    )


def test_a_command_works_on_the_stream_and_the_group_that_are_named_before_it(redis_shop: Shop) -> None:
    """Those of a worker's other subscriptions, for example."""
    key = redis_shop("--uri", "other", "produce", "packing", "--sample").output.strip()
    assert key in redis_shop("--uri", "other", "tail", "--no-follow").output
    assert key not in redis_shop("tail", "--no-follow").output
    assert redis_shop("--uri", "other", "erase", key, "--yes").code == 0
    assert redis_shop("--uri", "other", "demo").errors.startswith("Leave out --uri and --group: demo works with")
    assert "Group letters has no dead letters" in redis_shop("--group", "letters", "dead-letters", "count").output


def test_events_lists_the_contract(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Names, arguments and docstrings; without a template's answers file no line for an update."""
    monkeypatch.chdir(tmp_path)
    table = shop("events").output
    assert "tags: list[str] | None = None" in table
    assert "copier" not in table
    schemas = {each["event"]: each["arguments"] for each in shop("events", "--json").lines}
    assert list(schemas) == ["order_placed", "packing", "closed"]


def test_people_are_told_that_an_event_is_deprecated(redis_shop: Shop) -> None:
    """Where they choose it, and after they have sent it; what a script reads is as for every other event."""
    assert "Deprecated: nobody reads it. The shop closed." in redis_shop("events").output
    assert [each["deprecated"] for each in redis_shop("events", "--json").lines] == [None, None, "nobody reads it."]
    produced = redis_shop("produce", "closed")
    assert (produced.code, produced.errors) == (0, "Event Shop.closed is deprecated: nobody reads it.\n")
    assert redis_shop("show", produced.output.strip(), "--json").code == 0


@pytest.mark.parametrize(
    ("environment", "absent"),
    [
        ({"SHOP_ROLE": "producer"}, {"worker", "pending", "dead-letters", "bucket", "archive"}),
        ({"SHOP_ROLE": "consumer"}, {"produce", "serve", "bucket", "archive"}),
        ({"SHOP_STORAGE": "s3", "SHOP_ARCHIVE": "yes"}, set[str]()),
    ],
)
def test_commands_that_make_no_sense_for_a_project_are_absent(
    shop: Shop, environment: dict[str, str], absent: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By role and storage; what is hidden stays hidden."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    known = {
        "demo",
        "serve",
        "worker",
        "archive",
        "produce",
        "tail",
        "show",
        "pending",
        "dead-letters",
        "events",
        "bucket",
        "doctor",
    }
    listed = {line.split()[1] for line in shop("--help").output.splitlines() if len(line.split()) > 1}
    assert known & listed == known - absent
    assert "_send-every-event" not in listed
    for name in absent:
        assert re.fullmatch(rf"No such command '{name}'\.( Did you mean .*\?)? See --help\.\n", shop(name).errors)


def run_in_a_shell(command: str, folder: Path, redis_url: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of a shell in which `shop` is the shop."""
    path = os.pathsep.join((str(REPOSITORY / "template" / "src"), str(REPOSITORY)))
    own = {"REDIS_EVENT_SOURCE_ENDPOINT": redis_url, "EVENT_SOURCE_ENVIRONMENT": "test", "PYTHONPATH": path}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'shop() {{ "{sys.executable}" -m tests.cli.shop "$@"; }}; {command}'],
        cwd=folder,
        env=os.environ | own,
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


@pytest.mark.parametrize(
    ("command", "code", "errors"),
    [
        ("shop tail --no-follow | true", 1, ""),
        ("shop events >&-", 0, ""),
        ("shop tail --no-follow >/dev/full", 1, "The standard output cannot be written: No space left on device.\n"),
        ("PYTHONIOENCODING=ascii shop tail --no-follow", 0, ""),
        ("shop produce packing --json - <&-", 2, "The arguments of event 'packing' must be one JSON object"),
        (
            "printf '\\377' | PYTHONIOENCODING=utf-8:strict shop produce packing --json -",
            *(2, "The standard input cannot be read; it must be UTF-8 text.\n"),
        ),
    ],
)
def test_a_shell_may_give_a_command_any_input_and_output(
    redis_shop: Shop, redis_url: str, tmp_path: Path, command: str, code: int, errors: str
) -> None:
    """A pipe whose reader has enough, a closed or full output, an encoding without the letter: never a traceback."""
    redis_shop("produce", "packing", "--json", '{"email": "bj\u00f6rk@example.com"}')
    done = run_in_a_shell(command, tmp_path, redis_url)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert done.stderr.startswith(errors)
    assert done.stderr.count("\n") == bool(errors)
