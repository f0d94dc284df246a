"""The dashboard asks for metrics that the runtime has, by the names that Prometheus gives them."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.template.box import dashboard_of
from tests.template.prometheus import SERIES, grouped_by, parse_query, series_of, unknown_labels
from tests.template.rendering import Template, saved_answers

NAMES = ["default", "s3", "s3-cached", "producer", "consumer", "many-events"]


def queries_of(dashboard: dict[str, Any]) -> list[tuple[str, str]]:
    """Every query with its legend; the interval of Prometheus replaces its variable."""
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    return [(each["expr"].replace("$__rate_interval", "1m"), each["legendFormat"]) for each in targets]


@pytest.fixture(params=NAMES)
def project(request: pytest.FixtureRequest, owners_template: Template) -> Path:
    """Projects of each role."""
    return owners_template.rendered(saved_answers(request.param))


def test_every_metric_exists_with_the_labels_that_are_asked_for(project: Path) -> None:
    """A name that nothing sends draws an empty panel, and nobody sees why."""
    for query, legend in queries_of(dashboard_of(project)):
        assert len(series_of(query)) == 1, query
        assert series_of(query) <= set(SERIES), query
        assert unknown_labels(query) == set(), query
        assert set(re.findall(r"{{(\w+)}}", legend)) <= grouped_by(query), query


def test_every_query_can_be_read_by_prometheus(project: Path) -> None:
    """Its grammar, from a parser of the same language."""
    for query, _ in queries_of(dashboard_of(project)):
        assert parse_query(query)
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        parse_query("sum by (event rate(x)")


def test_a_name_that_does_not_exist_would_be_found() -> None:
    """The names are those of Prometheus, not those of OpenTelemetry."""
    assert {"event_backbone_produced_total", "event_backbone_produce_duration_seconds_bucket"} <= set(SERIES)
    assert {"event_backbone_lag", "event_backbone_produce_batch_count"} <= set(SERIES)
    assert not {"event_backbone_produced", "event_backbone_produce_duration_bucket"} & set(SERIES)


SHOWN = {
    "producer": {"produced_total", "produce_duration_seconds_bucket", "produce_failed_total"},
    "consumer": {
        *("handled_total", "handle_duration_seconds_bucket", "lag", "unread_age_seconds", "pending", "dead_letters"),
        "dead_lettered_total",
        *("retried_total", "vanished_total", "lease_lost_total", "group_recreated_total", "poison_suspected_total"),
    },
}


@pytest.mark.parametrize(
    ("name", "roles"), [("default", ("producer", "consumer")), ("producer", ("producer",)), ("consumer", ("consumer",))]
)
def test_rate_latency_errors_lag_dead_letters_and_retries_are_shown(
    owners_template: Template, name: str, roles: tuple[str, ...]
) -> None:
    """For the roles that the project has, and for no other."""
    asked = " ".join(query for query, _ in queries_of(dashboard_of(owners_template.rendered(saved_answers(name)))))
    for role, metrics in SHOWN.items():
        assert all((f"event_backbone_{each}{{" in asked) == (role in roles) for each in metrics), role
    for metric in ("outages_total", "forward_lag_seconds", "forward_gaps_total", "projection_lag_seconds"):
        assert f"event_backbone_{metric}{{" in asked


def test_only_a_cache_and_an_archive_have_panels_for_themselves(owners_template: Template) -> None:
    """Hits and misses; what is archived, how late, and whether Redis has lost some of it."""
    archive: set[str] = {"Archived", "Archive lag", "Events lost"}
    none: set[str] = set()
    for name, there in (
        ("s3-cached", archive | {"Cache"}),
        ("s3", archive),
        ("models", none),
        ("default", none),
    ):
        panels = dashboard_of(owners_template.rendered(saved_answers(name)))["panels"]
        assert {panel["title"] for panel in panels} & (archive | {"Cache"}) == there


def test_the_dashboard_is_whole(project: Path) -> None:
    """It has a valid uid for Grafana, and panels with unique ids that do not overlap."""
    dashboard = dashboard_of(project)
    assert re.fullmatch(r"[a-z0-9-]{1,40}", dashboard["uid"])
    panels = dashboard["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels)
    assert all(panel["gridPos"]["w"] == 12 and x in {0, 12} for panel, (x, _) in zip(panels, places, strict=True))
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["type"] == "timeseries"
        assert [target["refId"] for target in panel["targets"]] == list("ABCD"[: len(panel["targets"])])


def test_the_title_is_the_name_of_the_project(owners_template: Template) -> None:
    """Whatever characters it has."""
    answers = saved_answers("many-events")
    assert dashboard_of(owners_template.rendered(answers))["title"] == answers["project_name"]
