"""`bucket`: the bucket of the payloads, and the permissions that it takes."""

import json

import pytest

from tests.cli.conftest import Shop


def test_bucket_create_makes_the_bucket_once(
    redis_shop: Shop, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second call finds it there; an invalid name is one sentence."""
    monkeypatch.setenv("SHOP_STORAGE", "s3")
    monkeypatch.setenv("S3_EVENT_SOURCE_BUCKET", "another")
    assert redis_shop("bucket", "create").output == "Created bucket another.\n"
    assert redis_shop("bucket", "create").output == "Bucket another already exists.\n"
    monkeypatch.setenv("S3_EVENT_SOURCE_BUCKET", "No Bucket")
    answer = redis_shop("bucket", "create")
    assert (answer.code, answer.errors.count("\n")) == (1, 1)
    assert s3_environment["S3_EVENT_SOURCE_SECRET"] not in answer.errors


def test_bucket_policy_prints_json_for_the_bucket_and_environment_and_nothing_else(
    redis_shop: Shop, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the project's own role, or the one asked for; it can be piped into a file, with no server running."""
    monkeypatch.setenv("SHOP_STORAGE", "s3")
    monkeypatch.setenv("S3_EVENT_SOURCE_BUCKET", "another")
    monkeypatch.setenv("S3_EVENT_SOURCE_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("REDIS_EVENT_SOURCE_ENDPOINT", "127.0.0.1:1")
    whole = redis_shop("bucket", "policy")
    packs, marker = json.loads(whole.output)["Statement"]
    assert packs["Resource"] == "arn:aws:s3:::another/test/packs/*"
    assert marker["Resource"] == "arn:aws:s3:::another/test/event-backbone.json"
    assert packs["Action"] == ["s3:GetObject", "s3:PutObject"]
    assert redis_shop("bucket", "policy", "--role", "both").output == whole.output
    monkeypatch.setenv("SHOP_ROLE", "consumer")
    packs, _ = json.loads(redis_shop("bucket", "policy").output)["Statement"]
    assert packs["Action"] == ["s3:GetObject"]
    assert redis_shop("bucket", "policy", "--role", "producer").output == whole.output


def test_bucket_lifecycle_lets_packs_expire_that_no_event_needs(
    redis_shop: Shop, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows each rule that deletes packs, and sets ours, unless events need the packs for longer: one sentence."""
    assert s3_environment
    monkeypatch.setenv("SHOP_STORAGE", "s3")
    for archive, days, asked, sentence in (
        ("no", "7", "99", "Without an archive, packs are the only record of events: "),
        ("yes", "0", "99", "Set max_age of Retention first: "),
        ("yes", "7", "29", "Keep packs for at least 30 days: "),
        ("yes", "40", "39", "Keep packs for at least 40 days: "),
        ("yes", "7", "0", "Invalid value for '--days': Input should be greater than or equal to 1."),
    ):
        monkeypatch.setenv("SHOP_ARCHIVE", archive)
        monkeypatch.setenv("SHOP_RETENTION_DAYS", days)
        answer = redis_shop("bucket", "lifecycle", "--days", asked)
        assert answer.code
        assert answer.errors.startswith(sentence)
        assert (answer.output, answer.errors.count("\n")) == ("", 1)
    monkeypatch.setenv("SHOP_RETENTION_DAYS", "7")
    assert redis_shop("bucket", "lifecycle").output == "No lifecycle rule deletes packs in s3://events/test/packs/.\n"
    rule = "Rule event-backbone-packs-test deletes packs in s3://events/test/packs/ 30 days after they were written"
    answer = redis_shop("bucket", "lifecycle", "--days", "30")
    assert (answer.code, answer.output) == (0, f"{rule}; no event in Redis needs them that long\n")
    assert redis_shop("bucket", "lifecycle").output == answer.output
    monkeypatch.setenv("SHOP_RETENTION_DAYS", "40")
    answer = redis_shop("bucket", "lifecycle")
    assert (answer.code, answer.output.startswith(f"{rule}. Keep packs for at least 40 days: ")) == (1, True)
