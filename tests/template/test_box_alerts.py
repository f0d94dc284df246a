"""The alert rules ask for metrics that the runtime has, can be read by Prometheus, and say what to do."""

import re
from pathlib import Path
from typing import Any, cast

import pytest

from tests.template.box import read_yaml, services_of
from tests.template.prometheus import SERIES, grouped_by, parse_query, series_of, unknown_labels
from tests.template.rendering import Template, saved_answers

NAMES = ["default", "s3-cached", "producer", "consumer", "many-events"]
PRODUCER = {"ProducingFails", "ProducingIsSlow"}
CONSUMER = {
    *("NoConsumer", "GroupFallsBehind", "EventsWait", "DeadLetters", "DeadLettersGrow", "HandlersFail"),
    *("RetriesPileUp", "HandlersBlock", "EventEndsItsProcess", "EventsVanished", "PartsGone", "GroupMissedEvents"),
    "DeadLettersExpire",
}
ARCHIVE = {"ArchiveLags", "EventsLost"}
RETENTION = {"RedisFills", "RedisIsFull", "EventsHeldBack"}
LINKS = {"LinkStopped", "LinkUnavailable", "LinkMissedEvents", "LinkLostPayloads"}
PROJECTIONS = {"ProjectionFallsBehind", "FoldingFails"}
BOTH = {"RedisUnavailable", "StorageUnavailable"} | RETENTION | LINKS | PROJECTIONS
COMMANDS = {
    *("archive", "dead-letters list", "doctor", "forward", "groups --watch", "pending", "restore", "show", "tail"),
    "worker",
}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """The answers of a project."""
    return str(request.param)


@pytest.fixture
def project(owners_template: Template, name: str) -> Path:
    """Projects of each role."""
    return owners_template.rendered(saved_answers(name))


@pytest.fixture
def rules(project: Path) -> list[dict[str, Any]]:
    """The project's alert rules."""
    (group,) = read_yaml(project / "observability/alerts.yml")["groups"]
    return cast("list[dict[str, Any]]", group["rules"])


def test_each_role_has_the_alerts_of_what_it_does(name: str, rules: list[dict[str, Any]]) -> None:
    """A rule over a metric that nothing sends would never fire."""
    own = {"producer": PRODUCER, "consumer": CONSUMER}.get(name, PRODUCER | CONSUMER)
    assert [rule["alert"] for rule in rules] == list(dict.fromkeys(rule["alert"] for rule in rules))
    assert {rule["alert"] for rule in rules} == own | BOTH | (ARCHIVE if name == "s3-cached" else set())


def test_every_expression_asks_for_series_and_labels_that_there_are(rules: list[dict[str, Any]]) -> None:
    """By their names in Prometheus, in a grammar that it reads; a text has only labels that the result has."""
    for rule in rules:
        expression = rule["expr"]
        assert parse_query(expression)
        assert series_of(expression), rule
        assert series_of(expression) <= set(SERIES), rule
        assert unknown_labels(expression) == set(), rule
        said = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert said <= grouped_by(expression), rule


def test_every_alert_waits_has_a_severity_and_says_what_to_do(project: Path, rules: list[dict[str, Any]]) -> None:
    """With the project's own commands."""
    slug = read_yaml(project / "compose.yaml")["name"]
    known, said = {f"{slug} {command}" for command in COMMANDS}, set[str]()
    for rule in rules:
        assert re.fullmatch(r"\d+m", rule["for"])
        assert rule["labels"] in ({"severity": "warning"}, {"severity": "critical"})
        summary = rule["annotations"]["summary"]
        assert summary.endswith(".")
        said |= set(re.findall(r"`uv run ([^`]*)`", summary))
    assert said <= known
    assert said


def test_prometheus_is_given_the_rules(project: Path) -> None:
    """Under the name that its configuration reads, beside it."""
    (file,) = read_yaml(project / "observability/prometheus.yml")["rule_files"]
    assert f"./observability/{file}:/etc/prometheus/{file}:ro" in services_of(project)["prometheus"]["volumes"]
