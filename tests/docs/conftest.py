"""What a reader of the pages has: the template, projects rendered from it, and servers."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from event_backbone.testing.free_port import free_port
from event_backbone.testing.servers import RedisServer
from tests.docs.pages import Page
from tests.docs.reader import Reader
from tests.template.rendering import GIT_ENVIRONMENT, Template, commit, git, saved_answers

ADDRESS = "https://git.example.com/event-backbone.git"
BUCKET = "shipment-tracking"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The work tree's template as a tagged repository."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in GIT_ENVIRONMENT.items():
            patch.setenv(name, value)
        return Template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def reader_of(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[[Page], Reader]:
    """Make a reader for a page, with what the page asks for."""
    for name, value in GIT_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def make(page: Page) -> Reader:
        clone = tmp_path / "event-backbone"
        git(tmp_path, "clone", "--quiet", str(template.repository), str(clone))
        for answers in page.says("project"):
            _project(template, answers, tmp_path)
        wanted = page.says("with")
        redis_port = free_port() if "no redis" in wanted else _empty(request).port
        api_port = free_port()
        variables = {
            "COPIER_CACHE_DIR": str(tmp_path / ".copier"),
            "DOCS_API_PORT": str(api_port),
            "DOCS_REDIS_PORT": str(redis_port),
            "EVENT_SOURCE_ENVIRONMENT": "dev",
            # To git, the template's address on the pages is the reader's clone.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{clone}.insteadOf",
            "GIT_CONFIG_VALUE_0": ADDRESS,
            "REDIS_EVENT_SOURCE_ENDPOINT": f"127.0.0.1:{redis_port}",
        }
        if "s3" in wanted:
            variables |= _s3(request)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        words = {"localhost:6379": f"127.0.0.1:{redis_port}", "localhost:8000": f"127.0.0.1:{api_port}"}
        return Reader(tmp_path, variables, words)

    return make


def _project(template: Template, answers: str, folder: Path) -> None:
    """Put a project into the reader's folder: copied from the address, and committed once."""
    rendered = template.rendered(saved_answers(answers))
    project = folder / _slug(rendered)
    shutil.copytree(rendered, project)
    recorded = project / ".copier-answers.yml"
    recorded.write_text(recorded.read_text(encoding="utf-8").replace(str(template.repository), ADDRESS), "utf-8")
    commit(project, "Start")


def _slug(project: Path) -> str:
    (package,) = {each.name for each in (project / "src").iterdir()} - {"event_backbone"}
    return package.replace("_", "-")


def _empty(request: pytest.FixtureRequest) -> RedisServer:
    server: RedisServer = request.getfixturevalue("redis_server")
    server.flush()
    return server


def _s3(request: pytest.FixtureRequest) -> dict[str, str]:
    server = request.getfixturevalue("s3_server")
    server.reset()
    variables: dict[str, str] = server.environment(BUCKET)
    return variables
