"""The doctor: what it finds, and what it says to do."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import event_backbone
from event_backbone.manifest import MANIFEST, edited_files, manifest_text
from event_backbone.testing.servers import RedisServer, S3Server
from tests.cli.conftest import Shop
from tests.support.s3 import s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import LifecycleRuleTypeDef


def found(shop: Shop) -> dict[str, tuple[object, str]]:
    """Run the doctor and return level and text of each subject."""
    return {str(each["subject"]): (each["level"], str(each["text"])) for each in shop("doctor", "--json").lines}


def test_a_sound_setup_has_no_failures(redis_shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Exit code 0; the group that does not exist yet, and the missing append-only file, are warnings, said once."""
    answer = redis_shop("doctor")
    assert (answer.code, answer.errors) == (0, "")
    findings = found(redis_shop)
    assert findings["Settings"] == ("ok", "Readable; the environment is test")
    assert findings["Storage"][0] == findings["Redis"][0] == findings["Redis eviction"][0] == "ok"
    assert findings["Redis persistence"][0] == "warn"
    assert findings["Group main-consumer"] == (
        "warn",
        "It does not exist yet; a worker creates it: shop worker",
    )
    assert redis_shop("produce", "closed").code == 0
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [("", "REDIS_EVENT_SOURCE_ENDPOINT is not set"), ("127.0.0.1:1", "does not answer"), ("ftp://host", "scheme")],
)
def test_a_wrong_endpoint_fails_in_a_line(
    shop: Shop, endpoint: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1, and the line says what is wrong."""
    monkeypatch.setenv("REDIS_EVENT_SOURCE_ENDPOINT", endpoint)
    answer = shop("doctor")
    assert answer.code == 1
    assert [words in str(each["text"]) for each in shop("doctor", "--json").lines if each["level"] == "fail"] == [True]


@pytest.mark.parametrize(
    ("policy", "limit", "level"),
    [
        ("allkeys-lru", "10mb", "fail"),
        ("allkeys-lru", "0", "ok"),
        ("volatile-ttl", "10mb", "warn"),
        ("noeviction", "10mb", "ok"),
    ],
)
def test_a_server_that_evicts_events_is_refused(
    shop: Shop, policy: str, limit: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """allkeys-* deletes streams, volatile-* only what expires; without a maxmemory nothing is deleted."""
    with RedisServer(arguments=("--maxmemory-policy", policy, "--maxmemory", limit), append_only=True) as redis:
        monkeypatch.setenv("REDIS_EVENT_SOURCE_ENDPOINT", redis.url)
        findings = found(shop)
    assert findings["Redis eviction"][0] == level
    assert findings["Redis persistence"][0] == "ok"


def test_every_wrong_setting_of_s3_is_named_at_once(redis_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence each, with the variable; the secret is in none."""
    monkeypatch.setenv("SHOP_STORAGE", "s3")
    monkeypatch.setenv("S3_EVENT_SOURCE_SECRET", "hidden")
    monkeypatch.setenv("S3_EVENT_SOURCE_ENDPOINT", "localhost")
    answer = redis_shop("doctor", "--json")
    failures = [str(each["text"]) for each in answer.lines if each["level"] == "fail"]
    assert answer.code == 1
    assert "hidden" not in answer.output
    assert [next(name for name in ("ACCESS_KEY", "BUCKET", "ENDPOINT") if name in each) for each in failures] == [
        *("ACCESS_KEY", "BUCKET", "ENDPOINT"),
    ]


def test_a_missing_bucket_is_reported_with_the_command_that_creates_it(
    redis_shop: Shop, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After that command all is well."""
    monkeypatch.setenv("SHOP_STORAGE", "s3")
    monkeypatch.setenv("S3_EVENT_SOURCE_BUCKET", "not-yet")
    findings = found(redis_shop)
    assert findings["S3 bucket"] == ("fail", "There is no bucket not-yet; create it with: shop bucket create")
    assert findings["Storage"][0] == "fail"
    assert redis_shop("bucket", "create").code == 0
    findings = found(redis_shop)
    assert findings["S3 bucket"][0] == findings["Storage"][0] == "ok"
    assert s3_environment["S3_EVENT_SOURCE_SECRET"] not in str(findings)


@pytest.mark.parametrize(
    ("prefix", "archive", "days", "level", "words"),
    [
        ("logs/", "yes", "7", None, ""),
        ("test/packs/", "yes", "7", "ok", "no event in Redis needs them that long"),
        ("test/packs/", "yes", "40", "fail", "Keep packs for at least 40 days"),
        ("test/packs/", "no", "7", "warn", "Without an archive, packs are the only record"),
        ("test/", "yes", "7", "fail", "Rule theirs deletes segments in s3://events/test/archive/ 30 days after"),
    ],
)
def test_a_lifecycle_rule_that_deletes_what_is_needed_is_found(
    redis_shop: Shop,
    s3_environment: dict[str, str],
    s3_server: S3Server,
    prefix: str,
    archive: str,
    days: str,
    level: str | None,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of packs that events in Redis refer to, and of the archive. There is nothing to say if no rule deletes either."""
    assert s3_environment
    monkeypatch.setenv("SHOP_STORAGE", "s3")
    monkeypatch.setenv("SHOP_ARCHIVE", archive)
    monkeypatch.setenv("SHOP_RETENTION_DAYS", days)
    rule: LifecycleRuleTypeDef = {
        "ID": "theirs",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "Expiration": {"Days": 30},
    }
    client = s3_client(s3_server)
    client.put_bucket_lifecycle_configuration(Bucket="events", LifecycleConfiguration={"Rules": [rule]})
    found_level, text = found(redis_shop).get("S3 lifecycle", (None, ""))
    assert (found_level, words in text) == (level, True)


def test_manual_edits_of_the_runtime_are_found(tmp_path: Path) -> None:
    """A changed, an added and a removed file are named; other line endings are not an edit."""
    folder = tmp_path / "event_backbone"
    shutil.copytree(Path(event_backbone.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / MANIFEST).unlink(missing_ok=True)
    assert edited_files(folder) is None
    (folder / MANIFEST).write_text(manifest_text(folder))
    assert edited_files(folder) == []
    policy = folder / "policy.py"
    policy.write_bytes(policy.read_bytes().replace(b"\n", b"\r\n"))
    assert edited_files(folder) == []
    policy.write_text(policy.read_text() + "# mine\n")
    (folder / "mine.py").write_text("")
    (folder / "py.typed").unlink()
    assert edited_files(folder) == ["mine.py", "policy.py", "py.typed"]
