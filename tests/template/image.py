"""Carries out the steps of a Dockerfile without Docker: what is below / in the image is below a folder here."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.template.box import Stage, stages_of

# What a container would not have of this machine: settings of other environments, and of the person who runs the tests.
FOREIGN = ("PYTHON", "PYTEST", "VIRTUAL_ENV", "UV_PROJECT", "COVERAGE", "OTEL_", "AWS_")


@dataclass(slots=True)
class Image:
    """A folder in place of /, and the environment variables of the image."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)
    folder: Path = Path("/")

    def here(self, text: str) -> str:
        """A text in which the paths of the image are those below the root."""
        return re.sub(r"(?<![\w.:/])/(opt/app|build)(?![\w-])", rf"{self.root}/\1", text)

    def environment(self) -> dict[str, str]:
        """What a process of the image sees: this machine's variables without foreign ones, then the image's."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return ours | self.variables

    def set(self, assignments: str) -> None:
        """Carry out ENV."""
        for assignment in shlex.split(assignments):
            name, _, value = assignment.partition("=")
            path = self.variables.get("PATH", os.environ["PATH"])
            self.variables[name] = self.here(value).replace("$PATH", path)

    def run(self, command: str) -> None:
        """Carry out RUN."""
        done = subprocess.run(
            ["sh", "-ec", self.here(command)],
            cwd=self.root / self.folder.relative_to("/"),
            env=self.environment(),
            check=False,
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, f"RUN {command}\n{done.stdout}{done.stderr}"

    def copy(self, arguments: str, context: Path) -> None:
        """Carry out COPY of files of the build context; a pattern may find none."""
        *patterns, target = arguments.split()
        into = self.root / self.folder.relative_to("/") / target
        for source in (found for pattern in patterns for found in context.glob(pattern)):
            if source.is_dir():
                shutil.copytree(source, into)
            else:
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, into)


def build(project: Path, folder: Path) -> Image:
    """Build the image of a project: its stage "build" here, of which the last stage takes /opt/app."""
    context = _context(project, folder / "context")
    image = Image(folder / "root")
    # Python comes with the base image: an environment with only pip takes its place.
    subprocess.run([sys.executable, "-m", "venv", folder / "python"], check=True, env=image.environment())
    image.root.mkdir()
    image.variables["PATH"] = f"{folder / 'python' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    _, stage, final = stages_of(project)
    _carry_out(stage, image, context)
    shutil.rmtree(image.root / "build")  # it is not part of the last stage
    shutil.rmtree(context)
    last = Image(image.root)
    for rest in (rest for name, rest in final.steps if name == "ENV"):
        last.set(rest)
    return last


def _carry_out(stage: Stage, image: Image, context: Path) -> None:
    for name, rest in stage.steps:
        if name == "ENV":
            image.set(rest)
        elif name == "WORKDIR":
            image.folder = Path(rest)
            (image.root / image.folder.relative_to("/")).mkdir(parents=True)
        elif name == "COPY":
            image.copy(rest, context)
        else:
            assert name == "RUN", f"{name} is not known here"
            image.run(rest)


def _context(project: Path, folder: Path) -> Path:
    """What .dockerignore lets through: the names that it excludes from its rules."""
    folder.mkdir()
    rules = (project / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in rules
    for name in (rule.removeprefix("!") for rule in rules if rule.startswith("!")):
        source = project / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder
