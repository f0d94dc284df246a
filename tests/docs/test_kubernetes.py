"""The manifests for Kubernetes fit its schemas, and the project that they run."""

import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import ROOT, read_page
from tests.template.box import services_of, stages_of
from tests.template.rendering import Template, saved_answers

VALIDATE: Callable[..., None] = vars(import_module("kubernetes_validate"))["validate"]  # it is not marked as typed
PAGE = Path("docs/how-to/kubernetes.md")
OLDEST, NEWEST = "1.30", "1.37"
LONGEST_STOP_SECONDS = 25

Manifest = dict[str, Any]


def manifests() -> list[Manifest]:
    """Every manifest on the page."""
    blocks = [each.text for each in read_page(str(PAGE), (ROOT / PAGE).read_text(encoding="utf-8")).blocks]
    return [manifest for text in blocks for manifest in yaml.safe_load_all(text)]


def pods() -> list[Manifest]:
    """The pods of the Deployments, each with its one container."""
    return [each["spec"]["template"]["spec"] for each in manifests() if each["kind"] == "Deployment"]


@pytest.fixture
def project(template: Template) -> Path:
    """The project that the page runs."""
    return template.rendered(saved_answers("default"))


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_manifest_fits_the_schemas_of_kubernetes(version: str) -> None:
    """Of the oldest version that the page names and of a new one; a field that does not exist is an error."""
    kinds = [each["kind"] for each in manifests()]
    assert {"ConfigMap", "Secret", "Deployment", "Service", "PodDisruptionBudget"} == set(kinds)
    for each in manifests():
        VALIDATE(each, version, strict=True)
    assert f"Kubernetes {OLDEST} or later" in (ROOT / PAGE).read_text(encoding="utf-8")


def test_every_selector_finds_the_pods_it_means() -> None:
    """Services and disruption budgets select the labels of a Deployment, and every container has its settings."""
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in manifests() if each["kind"] == "Deployment"]
    for each in manifests():
        if "selector" in each.get("spec", {}):
            selector = each["spec"]["selector"]
            assert selector.get("matchLabels", selector) in labels
    sources = {
        each["kind"]: each["metadata"]["name"] for each in manifests() if each["kind"] in {"ConfigMap", "Secret"}
    }
    expected = [{"configMapRef": {"name": sources["ConfigMap"]}}, {"secretRef": {"name": sources["Secret"]}}]
    assert all(pod["containers"][0]["envFrom"] == expected for pod in pods())


def test_every_variable_is_read_by_the_project(project: Path) -> None:
    """Each is a setting of the project, or one of OpenTelemetry; a password is in the Secret."""
    settings = next((project / "src").glob("*/settings.py")).read_text(encoding="utf-8")
    known = set(re.findall(r'validation_alias="(\w+)"', settings))
    (public,) = [each["data"] for each in manifests() if each["kind"] == "ConfigMap"]
    (secret,) = [each["stringData"] for each in manifests() if each["kind"] == "Secret"]
    assert {name for name in {*public, *secret} if not name.startswith("OTEL_")} <= known
    assert {"REDIS_EVENT_SOURCE_PASS"} == set(secret)


def test_containers_run_the_image_as_it_was_built(project: Path) -> None:
    """A command of the image, its user, the ports where its processes listen, and the rights of compose.yaml."""
    final = stages_of(project)[-1]
    (listening,) = [rest for name, rest in final.steps if name == "ENV" and "SERVE_PORT" in rest]
    variables = dict(each.split("=") for each in listening.split())
    services = services_of(project)
    for pod in pods():
        (container,) = pod["containers"]
        (command,) = container["args"]
        assert container["args"] == services[container["name"]]["command"]
        variable = {"serve": "SERVE_PORT", "worker": "WORKER_HEALTH_PORT"}[command]
        assert [str(each["containerPort"]) for each in container["ports"]] == [variables[variable]]
        context = pod["securityContext"] | container["securityContext"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == final.last("USER")
        assert (context["readOnlyRootFilesystem"], context["capabilities"]) == (True, {"drop": ["ALL"]})
        assert not context["allowPrivilegeEscalation"]
        assert [each["mountPath"] for each in container["volumeMounts"]] == services[container["name"]]["tmpfs"]


def test_probes_ask_the_health_routes_and_leave_time_to_stop() -> None:
    """At the container's port, with more time than a readiness check takes; SIGKILL comes after the longest stop."""
    for pod in pods():
        (container,) = pod["containers"]
        probes = {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
        paths = {name: probe["httpGet"]["path"] for name, probe in probes.items()}
        assert paths == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}
        assert {each["httpGet"]["port"] for each in probes.values()} == {container["ports"][0]["name"]}
        assert probes["readiness"]["timeoutSeconds"] > 2
        waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod["terminationGracePeriodSeconds"] >= waits + LONGEST_STOP_SECONDS


def test_the_probe_command_is_that_of_the_image(project: Path) -> None:
    """What the page says to run instead of asking over HTTP: ``health``, and with ``--ready`` whether it can work."""
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    ((command, ready),) = re.findall(r"exec: \{command: \[([^]]*)\]\}` for startup and liveness, with\s`([^`]*)`", page)
    check = json.loads(stages_of(project)[-1].last("HEALTHCHECK").partition("CMD ")[2])
    assert command.split(", ") == [*check, "worker"]
    assert ready == "--ready"
