"""compose.yaml and Dockerfile: what was chosen and nothing else, pinned, and closed to the outside."""

import re
from pathlib import Path

import pytest

from tests.template.box import dashboard_of, read_yaml, services_of, stages_of
from tests.template.rendering import Answers, Template, saved_answers

TELEMETRY = {"grafana", "jaeger", "prometheus"}
SERVICES: dict[str, tuple[Answers, set[str]]] = {
    "default": (saved_answers("default"), {"api", "worker", "redis"} | TELEMETRY),
    "s3": (saved_answers("s3"), {"api", "worker", "bucket", "redis", "s3"} | TELEMETRY),
    "s3-cached": (saved_answers("s3-cached"), {"api", "worker", "bucket", "redis", "s3"} | TELEMETRY),
    "producer": (saved_answers("producer"), {"api", "redis"} | TELEMETRY),
    "consumer": (saved_answers("consumer"), {"worker", "redis"} | TELEMETRY),
    "minimal": (saved_answers("minimal"), {"worker", "redis"}),
    "producer with archive": (
        {"role": "producer", "storage": "s3"},
        {"api", "archiver", "bucket", "redis", "s3"} | TELEMETRY,
    ),
    "producer without API": ({"role": "producer", "web_api": False, "ci": "gitlab"}, {"redis"} | TELEMETRY),
}
OWN = {"api", "worker", "archiver", "bucket"}
EXACT_IMAGE = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+(?:\.\d+)?(?:-[a-z0-9.]+)*")


@pytest.fixture(params=SERVICES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a project."""
    return str(request.param)


@pytest.fixture
def project(owners_template: Template, name: str) -> Path:
    """Projects of each role and storage."""
    return owners_template.rendered(SERVICES[name][0])


def test_there_are_the_services_of_what_was_chosen(project: Path, name: str) -> None:
    """And no volume that none of them uses."""
    services = services_of(project)
    assert set(services) == SERVICES[name][1]
    mounted = {each.partition(":")[0] for service in services.values() for each in service.get("volumes", [])}
    assert {each for each in mounted if not each.startswith(".")} == set(read_yaml(project / "compose.yaml")["volumes"])
    assert all((project / each).exists() for each in mounted if each.startswith("."))


def test_every_image_is_of_one_version(project: Path) -> None:
    """An image of the registry, by a tag of two or three numbers; the project's own is built here."""
    services = services_of(project)
    foreign = {name: service for name, service in services.items() if name not in OWN}
    assert all(EXACT_IMAGE.fullmatch(service["image"]) and "build" not in service for service in foreign.values())
    assert all(service["build"] == "." for name, service in services.items() if name in OWN)
    bases = [stage.base for stage in stages_of(project)]
    assert EXACT_IMAGE.fullmatch(bases[0])
    assert bases[1:] == ["base", "base"]


def test_nothing_listens_beyond_this_machine_or_has_privileges(project: Path) -> None:
    """Every port is bound to the loopback address; the project's own containers can change nothing but /tmp."""
    for name, service in services_of(project).items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert not {"privileged", "cap_add", "network_mode", "pid", "devices", "user"} & set(service), name
        assert service["security_opt"] == ["no-new-privileges:true"]
        if name in OWN:
            assert (service["read_only"], service["cap_drop"], service["tmpfs"]) == (True, ["ALL"], ["/tmp"])


def test_redis_keeps_every_event(project: Path) -> None:
    """Through a restart by its append-only file on a volume, and at its limit by refusing rather than evicting."""
    redis = services_of(project)["redis"]
    options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert (options["--appendonly"], options["--maxmemory-policy"]) == ("yes", "noeviction")
    assert redis["volumes"] == ["redis:/data"]
    assert "ping" in redis["healthcheck"]["test"][1]


def test_what_is_needed_is_there_before(project: Path) -> None:
    """API, worker and archiver start when Redis answers and the bucket is made, which waits for S3."""
    services = services_of(project)
    for name in {"api", "worker", "archiver"} & set(services):
        awaited = {each: how["condition"] for each, how in services[name]["depends_on"].items()}
        bucket = {"bucket": "service_completed_successfully"} if "bucket" in services else {}
        assert awaited == {"redis": "service_healthy"} | bucket
    if "bucket" in services:
        assert services["bucket"]["command"] == ["bucket", "create"]
        assert {how["condition"] for how in services["bucket"]["depends_on"].values()} == {"service_healthy"}
        assert "healthcheck" in services["s3"]


def test_a_stop_lets_running_handlers_finish(project: Path) -> None:
    """A subscription drains for 25 seconds; by default a container is killed after ten."""
    assert all(service["stop_grace_period"] == "30s" for name, service in services_of(project).items() if name in OWN)


def test_every_setting_is_one_that_the_readme_names(project: Path) -> None:
    """No variable that nothing reads."""
    readme = (project / "README.md").read_text(encoding="utf-8")
    for name, service in services_of(project).items():
        if name in OWN:
            ours = {each for each in service["environment"] if not each.startswith("OTEL_")}
            assert ours
            assert all(f"`{each}`" in readme for each in ours), name


def test_the_image_is_small_and_not_root(project: Path) -> None:
    """What builds stays in its stage; the last one takes only the environment and drops root."""
    _, build, final = stages_of(project)
    assert build.name == "build"
    assert [rest for name, rest in final.steps if name == "COPY"] == ["--from=build /opt/app /opt/app"]
    assert final.last("USER") == "10001:10001"
    synced = [rest for name, rest in build.steps if name == "RUN" and "uv sync" in rest]
    assert all(each.count("--no-dev") == each.count("uv sync") == 2 for each in synced)
    assert all("if [ -f uv.lock ]; then uv sync --locked " in each for each in synced)
    pinned = re.findall(r"pip install .*\buv==[\d.]+$", "\n".join(rest for _, rest in build.steps), re.MULTILINE)
    assert len(pinned) == 1


def test_grafana_is_given_what_there_is(project: Path) -> None:
    """Its data sources are services at their ports, and its dashboard asks one of them."""
    services = services_of(project)
    if "grafana" not in services:
        return
    sources = read_yaml(project / "observability/grafana/datasources/datasources.yml")["datasources"]
    addresses = {each["uid"]: each["url"] for each in sources}
    assert addresses == {"prometheus": "http://prometheus:9090", "jaeger": "http://jaeger:16686"}
    assert dashboard_of(project)["panels"][0]["datasource"]["uid"] in addresses
    (provider,) = read_yaml(project / "observability/grafana/dashboards/dashboards.yml")["providers"]
    assert any(each.split(":")[1] == provider["options"]["path"] for each in services["grafana"]["volumes"])
    assert "--web.enable-otlp-receiver" in services["prometheus"]["command"]
