"""`archive`: copies events until a signal stops it, or once; a worker does so beside its handlers."""

import re
import socket
from pathlib import Path

import pytest
import redis

from event_backbone.testing.servers import RedisServer
from tests.cli.conftest import Shop
from tests.cli.running import start_shop
from tests.cli.test_worker import Worker, get, until


@pytest.fixture
def environment(redis_url: str, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of a shop with an archive, also set in this process."""
    own = {
        "REDIS_EVENT_SOURCE_ENDPOINT": redis_url,
        "EVENT_SOURCE_ENVIRONMENT": "test",
        "SHOP_STORAGE": "s3",
        "SHOP_ARCHIVE": "yes",
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return own | s3_environment


def doctor(shop: Shop, *options: str) -> dict[str, tuple[object, str]]:
    """Run the doctor and return level and text of each subject."""
    found = shop(*options, "doctor", "--json").lines
    return {str(each["subject"]): (each["level"], str(each["text"])) for each in found}


@pytest.mark.usefixtures("environment")
def test_once_archives_what_is_there_and_says_how_much(shop: Shop) -> None:
    """Of each stream that is named, or the project's; a second call finds nothing new."""
    assert shop("archive", "--once").output == "Stream shop has no events to archive.\n"
    keys = [shop("produce", "closed").output.strip() for _ in range(2)]
    other = shop("--uri", "other", "produce", "closed").output.strip()
    done = shop("archive", "--once")
    assert (done.code, done.output) == (0, f"Archived 2 events of shop, up to {keys[-1]}.\n")
    assert shop("archive", "--once", "shop", "other", "shop").output.splitlines() == [
        f"Nothing new: stream shop is archived up to {keys[-1]}.",
        f"Archived 1 event of other, up to {other}.",
    ]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("arguments", "code", "errors"),
    [
        (("--once", "--health-port", "0"), 2, "Give --once or a health port, not both.\n"),
        (("--once", "a b"), 1, "The URI 'a b' is not valid: "),
        (("--log-level", "loud"), 2, "Invalid value for '--log-level'"),
    ],
)
def test_a_wrong_call_is_one_sentence(shop: Shop, arguments: tuple[str, ...], code: int, errors: str) -> None:
    """On the standard error, with an exit code."""
    answer = shop("archive", *arguments)
    assert (answer.code, answer.errors.count("\n")) == (code, 1), answer.errors
    assert errors in answer.errors


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("REDIS_EVENT_SOURCE_ENDPOINT", "127.0.0.1:1", "Redis at 127.0.0.1:1 does not answer"),
        ("S3_EVENT_SOURCE_BUCKET", "not-there", "not-there"),
        ("S3_EVENT_SOURCE_ENVIRONMENT_IN", "nothing", "S3_EVENT_SOURCE_ENVIRONMENT_IN"),
    ],
)
def test_once_does_not_wait_for_servers(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    """One sentence and exit code 1, so that whatever runs it regularly can report it."""
    monkeypatch.setenv(variable, value)
    answer = shop("archive", "--once")
    assert (answer.code, answer.errors.count("\n")) == (1, 1), answer.errors
    assert words in answer.errors


@pytest.mark.parametrize("arguments", [("worker",), ("archive",)], ids=["worker", "archive"])
def test_it_archives_until_a_signal_and_serves_its_health(
    shop: Shop, environment: dict[str, str], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Alone or as part of a worker; the doctor says what is not archived yet, and then that all is."""
    key = shop("produce", "closed").output.strip()
    assert re.search(r"nothing is archived yet, the next event has waited for \d+ s", doctor(shop)["Archive"][1])
    process = start_shop(*arguments, "--health-port", "0", temporary=tmp_path, environment=environment)
    running = Worker(process)
    found = re.search(r":(\d+)/health/ready", running.wait_for("Health is served"))
    assert found is not None
    running.wait_for("Archiving shop.")
    until(lambda: get(int(found[1]), "/health/ready") == (200, {"status": "ok"}))
    assert shop("archive", "--once").output.endswith(f" up to {key}.\n")
    assert running.stop() == 0
    level, text = doctor(shop)["Archive"]
    assert (level, text.endswith(f"; all is archived, up to {key}")) == ("ok", True)


def test_a_worker_leaves_archiving_to_others_if_told_so(environment: dict[str, str], tmp_path: Path) -> None:
    """Then it needs no permission for the archive."""
    process = start_shop("worker", "--no-archive", temporary=tmp_path, environment=environment)
    running = Worker(process)
    running.wait_for("Handling events of shop")
    process.terminate()
    _, log = process.communicate(timeout=30)
    assert (process.returncode, "Archiving" in log) == (0, False)


def test_a_worker_whose_archiver_cannot_start_yet_handles_events_and_stops(
    shop: Shop, redis_url: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While S3 is silent; SIGTERM stops it in order, with the exit code of an interrupted command."""
    monkeypatch.setenv("SHOP_STORAGE", "redis-hash")
    shop("produce", "closed")
    with socket.create_server(("127.0.0.1", 0)) as silent, redis.Redis.from_url(redis_url) as client:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment |= {"SHOP_STORAGE": "redis-hash", "S3_EVENT_SOURCE_ENDPOINT": endpoint}
        process = start_shop("worker", temporary=tmp_path, environment=environment)

        def handled() -> bool:
            groups = client.xinfo_groups("test:shop")
            return any(each["entries-read"] == 1 and each["pending"] == 0 for each in groups)

        until(handled)
        process.terminate()
        _, log = process.communicate(timeout=30)
        assert (process.returncode, log.splitlines()[-1], "Traceback" in log) == (130, "Stopped.", False)
        assert client.xinfo_consumers("test:shop", "main-consumer") == []


@pytest.mark.usefixtures("environment")
def test_the_doctor_says_that_redis_has_lost_events(shop: Shop, redis_server: RedisServer) -> None:
    """With the command that brings them back, also those of another stream than the project's."""
    shop("--uri", "other", "produce", "closed")
    shop("archive", "--once", "other")
    redis_server.flush()
    expected = "Redis has lost events that the archive has; restore them with: shop restore other"
    assert doctor(shop, "--uri", "other")["Archive"] == ("fail", expected)
    refused = shop("archive", "--once", "other")
    assert (refused.code, refused.errors) == (1, expected.replace("events", "events of stream other", 1) + "\n")
    assert "Restored 1 event from the archive." in shop("restore", "other").output


@pytest.mark.parametrize(
    ("storage", "archive", "level", "before", "after"),
    [
        ("redis-hash", "no", "warn", "It would cost everything", "It would cost everything"),
        ("redis-hash", "yes", "ok", "at most the events of the last", "It would cost nothing: every event"),
        ("inline", "yes", "ok", "at most the events of the last", "It would cost nothing: every event"),
        ("split", "yes", "warn", "that are in Redis only: personal", "that are in Redis only: personal"),
        ("s3", "no", "ok", "no event that was acknowledged", "no event that was acknowledged"),
        ("s3", "yes", "ok", ", which packs have", "the archive has all events"),
    ],
)
@pytest.mark.usefixtures("environment")
def test_the_doctor_says_what_the_loss_of_redis_would_cost(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, storage: str, archive: str, level: str, before: str, after: str
) -> None:
    """Before and after the events are archived."""
    monkeypatch.setenv("SHOP_STORAGE", storage)
    monkeypatch.setenv("SHOP_ARCHIVE", archive)
    shop("produce", "packing", "--sample")
    found, text = doctor(shop)["Loss of Redis"]
    assert (found, before in text) == (level, True), text
    if archive == "yes":
        shop("archive", "--once")
    found, text = doctor(shop)["Loss of Redis"]
    assert (found, after in text) == (level, True), text
