"""Where S3 storage takes its settings from, and its errors when they are wrong."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from event_backbone.errors import ConfigurationError
from event_backbone.storage import S3Options, S3Storage
from event_backbone.storage.s3.access import find_access

PAIR = {"S3_EVENT_SOURCE_ACCESS_KEY": "the-key", "S3_EVENT_SOURCE_SECRET": "the-secret"}
BUCKET = {"S3_EVENT_SOURCE_BUCKET": "events"}
EVERYTHING = {
    **BUCKET,
    **PAIR,
    "S3_EVENT_SOURCE_REGION": "eu-west-1",
    "S3_EVENT_SOURCE_ENDPOINT": "http://localhost:9000",
    "S3_EVENT_SOURCE_ENVIRONMENT_IN": "bucket",
    "S3_EVENT_SOURCE_SESSION_TOKEN": "the-token",
}


def test_everything_may_come_from_the_environment() -> None:
    """As a container's settings do."""
    assert S3Options.from_environment(EVERYTHING) == S3Options(
        bucket="events",
        region="eu-west-1",
        access_key="the-key",
        secret_key="the-secret",
        endpoint="http://localhost:9000",
        environment_in="bucket",
        session_token="the-token",
    )


def test_arguments_win_over_variables() -> None:
    """The program overrides the environment."""
    options = S3Options("mine", "us-west-2", "my-key", "my-secret", "https://mine", environment_in="nothing")
    assert options.resolved({**EVERYTHING, "AWS_REGION": "ap-south-1"}) == options


def test_our_region_wins_over_the_one_of_aws() -> None:
    """And both names of the latter are understood."""
    assert S3Options("events").resolved({"AWS_DEFAULT_REGION": "eu-west-3"}).region == "eu-west-3"
    assert S3Options("events").resolved({"AWS_DEFAULT_REGION": "a", "AWS_REGION": "eu-west-2"}).region == "eu-west-2"
    both = {"AWS_REGION": "eu-west-2", "S3_EVENT_SOURCE_REGION": "eu-west-1"}
    assert S3Options("events").resolved(both).region == "eu-west-1"


def test_the_environments_profile_wins_over_the_rendered_one() -> None:
    """One project runs on machines whose profiles have other names."""
    assert S3Options("events", profile="rendered").resolved({}).profile == "rendered"
    assert S3Options("events", profile="rendered").resolved({"S3_EVENT_SOURCE_PROFILE": "here"}).profile == "here"


def test_a_key_pair_wins_over_a_profile() -> None:
    """So a project rendered with a profile runs where there is only a key pair."""
    found = S3Options("events", profile="rendered").resolved({**PAIR, "S3_EVENT_SOURCE_PROFILE": "here"})
    assert (found.access_key, found.secret_key, found.profile) == ("the-key", "the-secret", None)


@pytest.mark.parametrize(
    ("missing", "given"),
    [
        ("S3_EVENT_SOURCE_SECRET", {"S3_EVENT_SOURCE_ACCESS_KEY": "the-key"}),
        ("S3_EVENT_SOURCE_ACCESS_KEY", {"S3_EVENT_SOURCE_SECRET": "the-secret"}),
        ("S3_EVENT_SOURCE_SECRET", {"S3_EVENT_SOURCE_ACCESS_KEY": "the-key", "S3_EVENT_SOURCE_SECRET": ""}),
    ],
)
def test_half_a_key_pair_is_an_error_that_names_the_other_half(missing: str, given: dict[str, str]) -> None:
    """And never shows the half that is there."""
    with pytest.raises(ConfigurationError, match=f"^{missing} .* is not set") as raised:
        S3Options("events").resolved(given)
    assert "the-" not in str(raised.value)


def test_a_session_token_belongs_to_the_key_pair_beside_it() -> None:
    """The variable's does not belong to a pair in the code; without a pair it belongs to nothing."""
    token = {"S3_EVENT_SOURCE_SESSION_TOKEN": "the-token"}
    assert S3Options("events").resolved({**PAIR, **token}).session_token == "the-token"
    assert S3Options("events", None, "my-key", "my-secret").resolved({**PAIR, **token}).session_token is None
    with pytest.raises(ConfigurationError, match=r"S3_EVENT_SOURCE_SESSION_TOKEN .* without the key pair") as raised:
        S3Options("events").resolved(token)
    assert "the-token" not in str(raised.value)


def test_options_keep_the_tags_that_they_were_made_with() -> None:
    """They are values: comparable, and keys of a mapping, whatever becomes of what they were made from."""
    tags = {"team": "orders"}
    options = S3Options("events", tags=tags)
    tags["team"] = "another"
    assert options == S3Options("events", tags={"team": "orders"}) != S3Options("events", tags=tags)
    assert len({options, S3Options("events", tags={"team": "orders"})}) == 1


def test_an_empty_variable_is_an_unset_one() -> None:
    """Compose files pass on what nobody set as empty; a variable's name is never its value."""
    empty = dict.fromkeys((*EVERYTHING, "S3_EVENT_SOURCE_PROFILE", "AWS_REGION"), "")
    assert S3Options("events").resolved(empty) == S3Options("events", environment_in="key")


def test_a_missing_bucket_is_one_sentence() -> None:
    """Which names the variable, when the storage is made."""
    with pytest.raises(ConfigurationError, match="Set S3_EVENT_SOURCE_BUCKET"):
        S3Storage()


@pytest.mark.parametrize("bucket", ["ab", "Has-Capitals", "under_score", "-x-", "a..b", "10.0.0.1", "a" * 64, "a b c"])
def test_an_invalid_bucket_name_is_refused(bucket: str) -> None:
    """Before S3 does so in less helpful words."""
    with pytest.raises(ConfigurationError, match="not a valid bucket name"):
        S3Options(bucket).resolved({})


def test_a_bucket_that_its_environment_makes_too_long_is_refused() -> None:
    """S3 allows 63 characters, the environment's among them."""
    options = S3Options("a" * 60, environment_in="bucket").resolved({})
    assert options.bucket_of("") == "a" * 60
    with pytest.raises(ConfigurationError, match="not a valid bucket name"):
        options.bucket_of("dev")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (S3Options("events", endpoint="localhost:9000"), "S3_EVENT_SOURCE_ENDPOINT .* http://host:port"),
        (S3Options("events", endpoint="http://"), "S3_EVENT_SOURCE_ENDPOINT"),
        (S3Options("events", endpoint="http://host:port"), "S3_EVENT_SOURCE_ENDPOINT"),
        (S3Options("events", prefix="/events"), "prefix"),
        (S3Options("events", prefix="a//b"), "prefix"),
        (S3Options("events", prefix="a b"), "prefix"),
        (S3Options("events", prefix="a/../b"), "prefix"),
        (S3Options("events", deadline=timedelta(0)), "Time-outs"),
        (S3Options("events", retries=-1), "retries"),
        (S3Options("events", encryption="SSE-S3"), "encryption .* AES256, aws:kms or None"),  # type: ignore[arg-type]
        (S3Options("events", kms_key="alias/events"), "kms_key .* needs encryption='aws:kms'"),
        (S3Options("events", encryption="aws:kms", kms_key="alias/our events"), "kms_key .* the alias"),
        (S3Options("events", storage_class="GLACIER"), "storage_class .* readable at once, which GLACIER is not"),
        (S3Options("events", storage_class="DEEP_ARCHIVE"), "DEEP_ARCHIVE is not"),
        (S3Options("events", storage_class="standard-ia"), "storage_class .* such as STANDARD_IA"),
        (S3Options("events", checksum="MD5"), "checksum .* SHA256, CRC64NVME or None"),  # type: ignore[arg-type]
        (S3Options("events", tags={str(number): "" for number in range(11)}), "tags .* at most 10"),
        (S3Options("events", tags={"": "a"}), "tags"),
        (S3Options("events", tags={"aws:team": "a"}), "tags .* no key may begin with aws:"),
        (S3Options("events", tags={"team": "a&b"}), "tags"),
        (S3Options("events", tags={"team": "a" * 257}), "tags"),
    ],
)
def test_a_value_that_cannot_work_is_refused(options: S3Options, message: str) -> None:
    """With a sentence that names it."""
    with pytest.raises(ConfigurationError, match=message):
        options.resolved({})


def test_environment_in_must_be_one_of_three() -> None:
    """A typo must not put production payloads among those of development."""
    with pytest.raises(ConfigurationError, match=r"S3_EVENT_SOURCE_ENVIRONMENT_IN .* key, bucket or nothing"):
        S3Options("events").resolved({"S3_EVENT_SOURCE_ENVIRONMENT_IN": "Key"})


def test_credentials_are_never_shown() -> None:
    """Not even half of them."""
    assert "the-" not in repr(S3Options.from_environment(EVERYTHING))


@pytest.mark.parametrize("missing", [["obstore"], ["boto3", "obstore"]])
def test_without_its_libraries_it_says_what_to_install(missing: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A project that was made for Redis alone does not have them."""
    for library in missing:
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match=f"pip install {' '.join(missing)}$"):
        S3Storage(S3Options("events"))


class TestAccess:
    """What boto3 finds with these settings."""

    @pytest.fixture(autouse=True)
    def _profiles(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config = tmp_path / "config"
        config.write_text(
            "[profile complete]\nregion = eu-west-1\naws_access_key_id = profile-key\naws_secret_access_key = s\n"
            "services = local\n[services local]\ns3 =\n  endpoint_url = http://localhost:9001\n"
            "[profile without-region]\naws_access_key_id = k\naws_secret_access_key = s\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    def test_a_profile_brings_credentials_region_and_endpoint(self) -> None:
        """All that the configuration file can say."""
        access = find_access(S3Options("events", profile="complete").resolved({}), None)
        assert (access.endpoint, access.region) == ("http://localhost:9001", "eu-west-1")

    def test_options_win_over_the_profile(self) -> None:
        """One by one."""
        options = S3Options("events", profile="complete", region="eu-north-1", endpoint="http://localhost:9002")
        access = find_access(options.resolved({}), None)
        assert (access.endpoint, access.region) == ("http://localhost:9002", "eu-north-1")

    def test_a_missing_profile_is_one_sentence(self) -> None:
        """It names the profile and where profiles are kept."""
        with pytest.raises(ConfigurationError, match=r"no AWS profile 'nobody' in .*/config"):
            find_access(S3Options("events", profile="nobody").resolved({}), None)

    def test_no_credentials_are_one_sentence(self) -> None:
        """It says what there is to set."""
        with pytest.raises(ConfigurationError, match="set S3_EVENT_SOURCE_ACCESS_KEY and S3_EVENT_SOURCE_SECRET"):
            find_access(S3Options("events").resolved({}), None)

    def test_amazon_needs_a_region(self) -> None:
        """Guessing one would sign wrongly."""
        with pytest.raises(ConfigurationError, match="Set S3_EVENT_SOURCE_REGION"):
            find_access(S3Options("events", profile="without-region").resolved({}), None)

    def test_other_servers_need_none(self) -> None:
        """They take any."""
        options = S3Options("events", profile="without-region", endpoint="http://localhost:9000")
        assert find_access(options.resolved({}), None).region == "us-east-1"

    def test_the_default_chain_finds_the_variables_of_aws(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """And the endpoint of the region's own partition."""
        for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "REGION": "cn-north-1"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        access = find_access(S3Options("events").resolved(), None)
        assert (access.endpoint, access.region) == ("https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1")

    def test_half_of_the_variables_of_aws_is_an_error_that_names_the_other_half(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As with our own."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "half")
        with pytest.raises(ConfigurationError, match="AWS_SECRET_ACCESS_KEY"):
            find_access(S3Options("events").resolved(), None)
