"""Projects rendered from the work tree, once a session for each set of answers."""

import pytest

from tests.template.rendering import GIT_ENVIRONMENT, Template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The work tree's template as a tagged repository."""
    return Template(tmp_path_factory.mktemp("template"))


@pytest.fixture(autouse=True)
def _git_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's git configuration away from Copier, which calls git as well."""
    for name, value in GIT_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
