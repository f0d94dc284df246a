"""The shop's command line within the test's own process, against the session's servers."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from event_backbone.cli import build_cli, run
from tests.cli.shop import project


@dataclass(frozen=True)
class Answer:
    """What a command wrote, and its exit code."""

    code: int
    output: str
    errors: str

    @property
    def lines(self) -> list[dict[str, object]]:
        """The output of a command with --json."""
        return [json.loads(line) for line in self.output.splitlines()]


Shop = Callable[..., Answer]

_HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shop:
    """Run a command of the shop and return what it answered."""

    def call(*arguments: str) -> Answer:
        monkeypatch.setattr("sys.argv", ["shop", *arguments])
        with pytest.raises(SystemExit) as left:
            run(build_cli(project()))
        captured = capsys.readouterr()
        return Answer(left.value.code if isinstance(left.value.code, int) else 0, captured.out, captured.err)

    return call


@pytest.fixture
def redis_shop(shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The same, with an empty Redis."""
    monkeypatch.setenv("REDIS_EVENT_SOURCE_ENDPOINT", redis_url)
    monkeypatch.setenv("EVENT_SOURCE_ENVIRONMENT", "test")
    return shop


@pytest.fixture
def advised_user() -> list[str]:
    """The arguments of ACL SETUSER for the user that the docs advise for the environment prod."""
    return advised("deploy.md")


def advised(page: str) -> list[str]:
    """The arguments of ACL SETUSER for the user on this page."""
    lines = (_HOW_TO / page).read_text(encoding="utf-8").splitlines()
    (rule,) = (line for line in lines if line.startswith("user shipments "))
    return rule.split()[1:]
