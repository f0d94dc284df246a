"""Reads how a project is run: the services of compose.yaml, and the steps of the Dockerfile."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

Service = dict[str, Any]


def services_of(project: Path) -> dict[str, Service]:
    """The services of compose.yaml, with what they share merged in."""
    return cast("dict[str, Service]", read_yaml(project / "compose.yaml")["services"])


def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML file."""
    return cast("dict[str, Any]", yaml.safe_load(file.read_text(encoding="utf-8")))


def dashboard_of(project: Path) -> dict[str, Any]:
    """The dashboard for Grafana."""
    file = project / "observability/grafana/dashboards/events.json"
    return cast("dict[str, Any]", json.loads(file.read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a Dockerfile: its instructions and what follows each of them, in order."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str:
        """What follows the last of these instructions."""
        return [rest for name, rest in self.steps if name == instruction][-1]


def stages_of(project: Path) -> list[Stage]:
    """The stages of the Dockerfile."""
    stages: list[Stage] = []
    lines = (project / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(name, base))
        else:
            stages[-1].steps.append((instruction, " ".join(rest.split())))
    return stages


def tool(name: str) -> str:
    """The path of a program of this environment."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found is not None, f"Install {name}: it is in the dependency group lint."
    return found


def run_tool(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment in a folder."""
    return subprocess.run(
        [tool(name), *arguments], cwd=folder, check=False, capture_output=True, encoding="utf-8", timeout=60
    )
