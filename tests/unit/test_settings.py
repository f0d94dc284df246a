"""Where Redis is: every form that an address may have, and what is said of the others."""

import pytest

from event_backbone.errors import ConfigurationError
from event_backbone.settings import RedisSettings, environment_from

SECRET = "s3cr3t/@:Pa55"
QUOTED = "s3cr3t%2F%40%3APa55"


@pytest.mark.parametrize(
    ("endpoint", "url", "described"),
    [
        ("localhost:6379", "redis://localhost:6379/0", "localhost:6379"),
        ("localhost", "redis://localhost:6379/0", "localhost:6379"),
        ("  cache:7000\n", "redis://cache:7000/0", "cache:7000"),
        ("[::1]:7000", "redis://[::1]:7000/0", "[::1]:7000"),
        ("redis://cache", "redis://cache:6379/0", "cache:6379"),
        ("redis://cache:7000/3", "redis://cache:7000/3", "cache:7000 (database 3)"),
        ("rediss://cache:7000", "rediss://cache:7000/0", "cache:7000"),
        ("rediss://cache?ssl_ca_certs=/ca.pem", "rediss://cache:6379/0?ssl_ca_certs=/ca.pem", "cache:6379"),
        ("redis://ann:pw@cache", "redis://ann:pw@cache:6379/0", "cache:6379"),
        ("redis://:pw@cache", "redis://:pw@cache:6379/0", "cache:6379"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock", "/run/redis.sock"),
        ("unix://:pw@/run/redis.sock?db=2", "unix://:pw@/run/redis.sock?db=2", "/run/redis.sock (database 2)"),
    ],
)
def test_an_endpoint_has_one_of_these_forms(endpoint: str, url: str, described: str) -> None:
    """What people write becomes a URL with a port and a database, and a description without credentials."""
    settings = RedisSettings.parse(endpoint)
    assert (settings.url, settings.described) == (url, described)


@pytest.mark.parametrize(
    ("endpoint", "servers", "one", "described"),
    [
        ("redis+cluster://a,b:7001", ("a:6379", "b:7001"), "redis://b:7001/0", "a:6379,b:7001"),
        ("rediss+cluster://ann:pw@a,[::1]:2", ("a:6379", "[::1]:2"), "rediss://ann:pw@[::1]:2/0", "a:6379,[::1]:2"),
        ("redis+cluster://a:1,a:2,a:3,a:4", ("a:1", "a:2", "a:3", "a:4"), "redis://a:4/0", "a:1,a:2,a:3 and others"),
        ("redis+sentinel://a,b:7/my%20shop", ("a:26379", "b:7"), "redis://b:7/0", "a:26379,b:7/my shop"),
        ("redis+sentinel://:pw@a/shop/2", ("a:26379",), "redis://:pw@a:26379/2", "a:26379/shop (database 2)"),
    ],
)
def test_an_endpoint_may_lead_to_several_servers(
    endpoint: str, servers: tuple[str, ...], one: str, described: str
) -> None:
    """Each of them is reached with the same credentials and options; Sentinels without, unless they want some."""
    settings = RedisSettings.parse(endpoint)
    assert (settings.servers, settings.described) == (servers, described)
    assert settings.url_of(servers[-1]) == one
    assert "pw" not in settings.sentinel_url(servers[-1], credentials=False)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("redis+cluster://a:1,b:2", f"redis+cluster://:{QUOTED}@a:1,b:2"),
        ("redis+sentinel://a:1/shop", f"redis+sentinel://:{QUOTED}@a:1/shop/0"),
        ("cache:6379", f"redis://:{QUOTED}@cache:6379/0"),
        ("redis://ann@cache", f"redis://ann:{QUOTED}@cache:6379/0"),
        ("redis://ann:of-the-url@cache", "redis://ann:of-the-url@cache:6379/0"),
        ("unix:///run/redis.sock", f"unix://:{QUOTED}@/run/redis.sock"),
    ],
)
def test_a_password_beside_the_endpoint_is_put_into_it(endpoint: str, url: str) -> None:
    """Quoted, so it may contain any character; a password in the URL itself takes precedence."""
    assert RedisSettings.parse(endpoint, SECRET).url == url


@pytest.mark.parametrize(
    ("endpoint", "sentence"),
    [
        ("http://cache:6379", "unknown scheme"),
        ("redis://:6379", "names no server"),
        ("unix://", "names no server"),
        ("cache:port", "no valid host and port"),
        ("cache:70000", "no valid host and port"),
        ("redis://cache/zero", "database of the Redis endpoint must be a number"),
        ("redis://cache?protocol=3", "takes only these options"),
        ("redis://cache#part", "names no server"),
        ("redis://a:1,b:2", r"names several servers; use redis\+cluster:// for a cluster, or redis\+sentinel://"),
        ("redis+cluster://a:1,,b:2", "names no server"),
        ("redis+cluster://a:port,b:2", "no valid host and port"),
        ("redis+cluster://a/1", "A Redis cluster has database 0 only"),
        ("redis+sentinel://a:1,b:2", "names no service"),
        ("redis+sentinel://a:1/shop/zero", "database of the Redis endpoint must be a number"),
        ("redis+sentinel:///shop", "names no server"),
        ("redis+sentinels://a:1/shop", "unknown scheme"),
        ("rediss+cluster://a?timeout=3", "takes only these options"),
    ],
)
def test_an_invalid_endpoint_is_reported_in_one_sentence(endpoint: str, sentence: str) -> None:
    """The text says what would be right."""
    with pytest.raises(ConfigurationError, match=sentence):
        RedisSettings.parse(endpoint)


@pytest.mark.parametrize("endpoint", [f"http://:{SECRET}@cache", f"redis://:{SECRET}@cache:port", f":{SECRET}@cache:1"])
def test_no_text_contains_a_password(endpoint: str) -> None:
    """Neither an error nor the settings' own text."""
    with pytest.raises(ConfigurationError) as caught:
        RedisSettings.parse(endpoint)
    assert SECRET not in f"{caught.value} {caught.value.__cause__}"
    assert "Pa55" not in f"{caught.value} {caught.value.__cause__}"


def test_the_settings_do_not_show_their_password() -> None:
    """In a log line or a traceback with locals."""
    settings = RedisSettings.parse("redis://ann:Pa55@cache", None)
    assert "Pa55" in settings.url
    assert "Pa55" not in f"{settings!r} {settings} {settings.described}"


def test_the_environment_names_the_endpoint() -> None:
    """REDIS_EVENT_SOURCE_ENDPOINT and REDIS_EVENT_SOURCE_PASS; an empty password counts as unset."""
    variables = {"REDIS_EVENT_SOURCE_ENDPOINT": "cache:7000", "REDIS_EVENT_SOURCE_PASS": ""}
    assert RedisSettings.from_environment(variables).url == "redis://cache:7000/0"
    variables["REDIS_EVENT_SOURCE_PASS"] = "pw"
    assert RedisSettings.from_environment(variables).url == "redis://:pw@cache:7000/0"


@pytest.mark.parametrize("variables", [{}, {"REDIS_EVENT_SOURCE_ENDPOINT": " "}])
def test_an_unset_endpoint_is_reported_and_never_guessed(variables: dict[str, str]) -> None:
    """There is no silent localhost, and the variable's name is never taken for its value."""
    with pytest.raises(ConfigurationError, match="REDIS_EVENT_SOURCE_ENDPOINT is not set; use host:port"):
        RedisSettings.from_environment(variables)


def test_the_environment_of_events_may_be_unset() -> None:
    """Then no name contains one."""
    assert environment_from({}) == ""
    assert environment_from({"EVENT_SOURCE_ENVIRONMENT": "Production"}) == "Production"
