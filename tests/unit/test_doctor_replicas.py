"""What the doctor reads in INFO of servers that cannot be started here."""

import pytest

from event_backbone.cli.doctor.primaries import Primary
from event_backbone.cli.doctor.replica_checks import check_replicas

SECOND = "ip=10.0.0.3,port=6379,state=online,offset=700,lag=0,type=replica"


@pytest.mark.parametrize(
    ("first", "level", "words"),
    [
        ("ip=10.0.0.2,port=6379,state=online,offset=1000,lag=1", "ok", "2 replicas in sync, at most 300 B behind"),
        ("ip=10.0.0.2,port=6379,state=online,offset=10,lag=12", "warn", "10.0.0.2:6379 (is silent for 12 s)"),
        ("ip=10.0.0.2,port=6379,state=wait_bgsave,offset=0,lag=0", "warn", "10.0.0.2:6379 (wait_bgsave)"),
    ],
)
def test_a_replica_that_follows_late_is_named(first: str, level: str, words: str) -> None:
    """One that is still loading, or has not reported for ten seconds, could not take over."""
    info = {"role": "master", "master_repl_offset": "1000", "connected_slaves": "2", "slave0": first, "slave1": SECOND}
    (finding,) = check_replicas([Primary("10.0.0.1:6379", info)], "sentinel", 0)
    assert (finding.level, words in finding.text) == (level, True), finding


@pytest.mark.parametrize(
    ("info", "service"),
    [
        ({"os": "Amazon ElastiCache"}, "Amazon ElastiCache"),
        ({"os": "Linux 6.1 x86_64", "rlec_version": "7.4.2-54"}, "Redis Enterprise"),
        ({"os": "Linux 6.1 x86_64"}, ""),
        ({}, ""),
    ],
)
def test_a_service_is_named_if_info_says_it(info: dict[str, str], service: str) -> None:
    """And only then."""
    assert Primary("10.0.0.1:6379", info).managed_by == service
