"""The manifests for KEDA fit its resources, those of Kubernetes, and what the API answers.

No Python package keeps up with the schemas of KEDA's resources, so the fields are listed here.
"""

from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from fastapi import FastAPI

from event_backbone.testing import memory_backbone
from event_backbone.web import lag_routes
from tests.docs.pages import ROOT, read_page
from tests.docs.test_kubernetes import LONGEST_STOP_SECONDS, NEWEST, OLDEST, VALIDATE, Manifest
from tests.docs.test_kubernetes import manifests as kubernetes_manifests
from tests.support.parcels import Parcels
from tests.support.serving import serving
from tests.template.rendering import saved_answers

PAGE = "docs/how-to/scale-with-keda.md"
TRIGGER = {
    "type": str,
    "metadata": {"url": str, "valueLocation": str, "targetValue": str, "authMode": str},
    "authenticationRef": {"name": str},
}
POLICY = {"type": str, "value": int, "periodSeconds": int}
FIELDS: dict[str, dict[str, Any]] = {
    "TriggerAuthentication": {"secretTargetRef": [{"parameter": str, "name": str, "key": str}]},
    "ScaledObject": {
        "scaleTargetRef": {"name": str},
        "minReplicaCount": int,
        "maxReplicaCount": int,
        "pollingInterval": int,
        "cooldownPeriod": int,
        "fallback": {"failureThreshold": int, "replicas": int},
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": int, "policies": [POLICY]}}
            }
        },
        "triggers": [TRIGGER],
    },
    "ScaledJob": {
        "pollingInterval": int,
        "maxReplicaCount": int,
        "successfulJobsHistoryLimit": int,
        "failedJobsHistoryLimit": int,
        "jobTargetRef": dict,
        "triggers": [TRIGGER],
    },
}


def manifests() -> dict[str, Manifest]:
    """The manifests on the page, by their kind."""
    blocks = read_page(PAGE, (ROOT / PAGE).read_text(encoding="utf-8")).blocks
    found = [cast("Manifest", yaml.safe_load(each.text)) for each in blocks if each.language == "yaml"]
    return {each["kind"]: each for each in found}


def triggers() -> list[Manifest]:
    """Their triggers."""
    return [each for manifest in manifests().values() for each in manifest["spec"].get("triggers", [])]


def unknown(value: object, fields: object, place: str) -> list[str]:
    """Return where a manifest has a field that its kind does not have, or a value of another type."""
    if isinstance(fields, dict):
        found = cast("dict[str, object]", value) if isinstance(value, dict) else {"": value}
        known = cast("dict[str, object]", fields)
        return [
            problem
            for name, each in found.items()
            for problem in (unknown(each, known[name], f"{place}.{name}") if name in known else [f"{place}.{name}"])
        ]
    if isinstance(fields, list):
        items = cast("list[object]", value) if isinstance(value, list) else [None]
        of_each = cast("list[object]", fields)[0]
        return [problem for each in items for problem in unknown(each, of_each, f"{place}[]")]
    return [] if isinstance(value, cast("type[object]", fields)) else [place]


@pytest.mark.parametrize("kind", FIELDS)
def test_every_manifest_has_only_fields_of_its_kind(kind: str) -> None:
    """All values of a trigger are texts, as KEDA wants them."""
    manifest = manifests()[kind]
    assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
    assert manifest["apiVersion"] == "keda.sh/v1alpha1"
    assert unknown(manifest["spec"], FIELDS[kind], kind) == []
    assert unknown({"triggers": {}, "image": 1}, FIELDS["ScaledObject"], "") == [".triggers[].", ".image"]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_job_fits_the_schemas_of_kubernetes(version: str) -> None:
    """It is what Kubernetes calls the spec of a Job, and runs the worker's container without its ports and probes."""
    template = manifests()["ScaledJob"]["spec"]["jobTargetRef"]
    VALIDATE(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": template}, version, strict=True
    )
    pod = template["template"]["spec"]
    (worker,) = [each for each in kubernetes_manifests() if each["metadata"]["name"] == "shipment-tracking-worker"][:1]
    expected = worker["spec"]["template"]["spec"]
    (container,), (own) = expected["containers"], pod["containers"][0]
    assert {name: own[name] for name in own if name != "args"} == {
        name: value for name, value in container.items() if name in own and name != "args"
    }
    assert own["args"] == [*container["args"], "--until-empty"]
    assert {name: value for name, value in pod.items() if name not in {"containers", "restartPolicy"}} == {
        name: value for name, value in expected.items() if name != "containers"
    }


def test_what_is_scaled_and_asked_is_on_the_page_for_kubernetes() -> None:
    """The worker's Deployment, which has time to stop; the API's Service; and the Secret with the token."""
    there = {(each["kind"], each["metadata"]["name"]): each for each in kubernetes_manifests()}
    target = there["Deployment", manifests()["ScaledObject"]["spec"]["scaleTargetRef"]["name"]]["spec"]["template"]
    assert target["spec"]["containers"][0]["args"] == ["worker"]
    assert target["spec"]["terminationGracePeriodSeconds"] > LONGEST_STOP_SECONDS
    authentication = manifests()["TriggerAuthentication"]
    (reference,) = authentication["spec"]["secretTargetRef"]
    assert ("Secret", reference["name"]) in there
    for trigger in triggers():
        host = urlsplit(str(trigger["metadata"]["url"])).hostname or ""
        assert there["Service", host.removesuffix(".default.svc")]["spec"]["ports"][0]["port"] == 80
        assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
        assert (trigger["type"], trigger["metadata"]["authMode"], reference["parameter"]) == (
            *("metrics-api", "bearer", "token"),
        )


async def test_one_event_starts_the_first_worker() -> None:
    """What a trigger asks is answered with a number where it looks: 0 without an event, then 1."""
    answers = saved_answers("default")
    uri = answers.get("uri", "shipment-tracking")
    app = FastAPI()
    app.include_router(lag_routes(uri))
    async with memory_backbone() as backbone, serving(app) as client:
        app.state.backbone = backbone
        for events in range(2):
            for trigger in triggers():
                url = urlsplit(str(trigger["metadata"]["url"]))
                assert parse_qs(url.query) == {"group": [answers.get("consumer_group", "main-consumer")]}
                response = await client.get(f"{url.path}?{url.query}")
                assert response.json()[trigger["metadata"]["valueLocation"]] == events
            await backbone.producer(Parcels, uri=uri).packed(1)
