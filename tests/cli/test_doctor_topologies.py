"""What the doctor says of Sentinels, clusters and replicas, and of an endpoint that leads to something else."""

from collections.abc import Callable, Iterator
from time import monotonic

import pytest
from redis import Redis

from event_backbone.testing.servers import RedisCluster, RedisSentinel, RedisServer
from tests.cli.conftest import Shop

STREAM = "test:shop"
Found = dict[str, list[tuple[str, str]]]
Doctor = Callable[[str], Found]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """A cluster that no test breaks."""
    with RedisCluster(append_only=True) as started:
        yield started


@pytest.fixture(scope="module")
def sentinel() -> Iterator[RedisSentinel]:
    """Servers under Sentinel that no test breaks."""
    with RedisSentinel(append_only=True) as started:
        yield started


@pytest.fixture
def doctor(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Run the doctor on this endpoint; return level and text of what it says of each subject."""
    monkeypatch.setenv("EVENT_SOURCE_ENVIRONMENT", "test")

    def run(endpoint: str) -> Found:
        monkeypatch.setenv("REDIS_EVENT_SOURCE_ENDPOINT", endpoint)
        answer = shop("doctor", "--json")
        found: Found = {}
        for each in answer.lines:
            found.setdefault(str(each["subject"]), []).append((str(each["level"]), str(each["text"])))
        failed = any(level == "fail" for each in found.values() for level, _ in each)
        assert answer.code == int(failed), answer.errors
        return found

    return run


def test_sentinels_are_named_with_the_primary_and_its_replicas(doctor: Doctor, sentinel: RedisSentinel) -> None:
    """And whether they could carry out a failover; naming one Sentinel of three is a warning."""
    found = doctor(sentinel.url)
    assert found["Redis"][0][1].endswith(f"at 127.0.0.1:{sentinel.primary.port}, primary of events")
    assert found["Sentinels"] == [("ok", "3 Sentinels answer, quorum 2: a failover can be carried out")]
    ((level, text),) = found["Replicas"]
    assert (level, text.partition(",")[0]) == ("ok", "1 replica in sync")
    assert found["Redis persistence"] == [("ok", "The append-only file is on")]
    found = doctor(f"redis+sentinel://127.0.0.1:{sentinel.sentinels[0].port}/events")
    assert found["Sentinels"] == [("warn", "The endpoint names 1 of 3; name all, so that any may be lost.")]


def test_a_cluster_is_named_with_the_node_that_has_the_stream(doctor: Doctor, cluster: RedisCluster) -> None:
    """What is the same on all primaries is said once."""
    found = doctor(cluster.url)
    ((_, text),) = found["Redis"]
    assert text.endswith("in a cluster of 3 primaries")
    ((level, text),) = found["Cluster"]
    assert (level, text.startswith(STREAM)) == ("ok", True)
    assert text.endswith(f"on 127.0.0.1:{cluster.primary_of(STREAM).port}")
    assert [level for level, _ in found["Replicas"]].count("ok") == len(found["Replicas"])
    assert found["Redis persistence"] == [("ok", "The append-only file is on")]


@pytest.mark.parametrize(
    ("storage", "archive", "min_replicas", "level", "words"),
    [
        ("redis-hash", "no", 0, "warn", "nothing brings them back"),
        ("redis-hash", "yes", 0, "warn", "only those archived by then come back"),
        ("s3", "no", 0, "ok", "shop restore brings them back"),
        ("redis-hash", "no", 1, "ok", "It loses no event: each is on every replica"),
    ],
)
def test_it_says_what_a_failover_may_lose(
    doctor: Doctor,
    sentinel: RedisSentinel,
    s3_environment: dict[str, str],
    storage: str,
    archive: str,
    min_replicas: int,
    level: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That depends on where payloads are, on the archive, and on whether produce calls wait for a replica."""
    assert s3_environment
    monkeypatch.setenv("SHOP_STORAGE", storage)
    monkeypatch.setenv("SHOP_ARCHIVE", archive)
    monkeypatch.setenv("SHOP_MIN_REPLICAS", str(min_replicas))
    ((found_level, text),) = doctor(sentinel.url)["Failover"]
    assert (found_level, words in text) == (level, True), text


def test_too_few_replicas_for_min_replicas_fail(
    doctor: Doctor, cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every produce call would raise OutcomeUnknown, on each primary."""
    monkeypatch.setenv("SHOP_MIN_REPLICAS", "2")
    ((level, text),) = doctor(cluster.url)["Replicas"]
    assert (level, text.startswith("min_replicas is 2, but there is 1 replica in sync")) == ("fail", True)


def test_an_endpoint_that_leads_to_something_else_is_one_failure(
    doctor: Doctor, cluster: RedisCluster, sentinel: RedisSentinel, redis_url: str
) -> None:
    """One sentence that says what is there, and what to write instead."""
    server = redis_url.removeprefix("redis://")
    node, one_sentinel = cluster.nodes[0].port, sentinel.sentinels[0].port
    for endpoint, words in {
        f"redis://127.0.0.1:{node}": "is a node of a cluster; use redis+cluster://",
        f"redis+cluster://{server}": "is not a cluster; use redis://",
        f"redis://127.0.0.1:{one_sentinel}": "is a Sentinel; use redis+sentinel://",
        f"redis+sentinel://{server}/events": "is not a Sentinel",
        sentinel.url.replace("/events", "/orders"): "monitor no service 'orders', only events",
        f"redis://127.0.0.1:{sentinel.replicas[0].port}": f"name its primary, 127.0.0.1:{sentinel.primary.port}",
    }.items():
        found = doctor(endpoint)
        failures = [(subject, text) for subject, each in found.items() for level, text in each if level == "fail"]
        assert [(subject, words in text) for subject, text in failures] == [("Redis", True)], (endpoint, found)


def test_what_it_may_not_ask_is_said(doctor: Doctor, cluster: RedisCluster, sentinel: RedisSentinel) -> None:
    """A warning each, and no failure: producers and workers do without."""
    rule = ("on", ">secret", "~*", "+@all", "-info", "-cluster|info", "-cluster|shards")
    for node in cluster.nodes:
        node.command("ACL", "SETUSER", "blind", *rule)
    found = doctor(cluster.url.replace("://", "://blind:secret@"))
    assert [(level, text.partition(",")[0]) for level, text in [*found["Redis"], *found["Cluster"]]] == [
        ("warn", "This user may not use INFO"),
        ("warn", "This user may not use CLUSTER INFO"),
        ("warn", "This user may not use CLUSTER SHARDS"),
    ]
    for each in sentinel.sentinels:
        each.command("ACL", "SETUSER", "default", "-sentinel|ckquorum")
    try:
        ((level, text),) = doctor(sentinel.url)["Sentinels"]
    finally:
        for each in sentinel.sentinels:
            each.command("ACL", "SETUSER", "default", "+sentinel|ckquorum")
    assert (level, "may not use SENTINEL CKQUORUM" in text) == ("warn", True)


def test_the_advised_user_may_ask_all_of_a_cluster(
    doctor: Doctor, shop: Shop, cluster: RedisCluster, advised_user: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And produce there."""
    for node in cluster.nodes:
        node.command("ACL", "SETUSER", *advised_user)
        node.command("ACL", "LOG", "RESET")
    monkeypatch.setenv("EVENT_SOURCE_ENVIRONMENT", "prod")
    found = doctor(cluster.url.replace("://", "://shipments:the-password@"))
    assert [level for subject in ("Redis", "Cluster", "Replicas") for level, _ in found[subject] if level != "ok"] == []
    assert shop("produce", "closed").code == 0
    assert [node.command("ACL", "LOG") for node in cluster.nodes] == [[]] * len(cluster.nodes)


def test_lost_sentinels_and_replicas_are_named(doctor: Doctor) -> None:
    """As long as the primary is there these are warnings; it says that nobody could take over."""
    with RedisSentinel() as servers:
        servers.replicas[0].kill()
        assert doctor(servers.url)["Replicas"][0][0] == "warn"
        for each in servers.sentinels[:2]:
            each.kill()
        ((level, text),) = doctor(servers.url)["Sentinels"]
        assert (level, text.partition(";")[0]) == ("warn", "1 of 3 know the service")
        assert all(f"127.0.0.1:{each.port}" in text for each in servers.sentinels[:2])
        rest = f"redis+sentinel://127.0.0.1:{servers.sentinels[2].port}/events"
        assert _until(lambda: doctor(rest)["Sentinels"][0][1].startswith("No failover can be carried out"))


def test_lost_nodes_of_a_cluster_are_named(doctor: Doctor) -> None:
    """A primary without a replica is a warning; slots that nobody serves are a failure."""
    with RedisCluster() as cluster:
        primary, (replica,) = cluster.primary_of(STREAM), cluster.replicas_of(STREAM)
        replica.kill()
        assert ("warn", f"127.0.0.1:{primary.port}: None") in [
            (level, text[: len(f"127.0.0.1:{primary.port}: None")]) for level, text in doctor(cluster.url)["Replicas"]
        ]
        assert _until(lambda: ("warn", _lost(replica)) in doctor(cluster.url)["Cluster"])
        primary.kill()
        found: Found = {}

        def unserved() -> bool:
            found.update(doctor(cluster.url))
            return any("slots are not served" in text for level, text in found.get("Cluster", []) if level == "fail")

        assert _until(unserved), found
        assert any(f"127.0.0.1:{primary.port}" in text for _, text in found["Cluster"])


def test_a_server_that_lost_nothing_yet_says_what_it_keeps(doctor: Doctor) -> None:
    """A snapshot without an append-only file keeps what came before it."""
    with RedisServer() as server, Redis.from_url(server.url) as client:
        client.save()
        ((level, text),) = doctor(server.url)["Redis persistence"]
        assert (level, "came after the last snapshot, of 20" in text) == ("warn", True)


def _lost(server: RedisServer) -> str:
    return f"Lost: 127.0.0.1:{server.port}; start it again, or let the others forget it."


def _until(condition: Callable[[], bool]) -> bool:
    """Ask again until it is true, within 15 seconds."""
    deadline = monotonic() + 15
    while not condition():
        if monotonic() > deadline:
            return False
    return True
