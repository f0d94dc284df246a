"""A reader who follows a page from top to bottom, and does what it says."""

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType

from tests.docs.pages import SHELL, SHOWN_ONLY, Block, Mark, Page

STAND_IN = Path(__file__).with_name("stand_in.py")
WITHIN_SECONDS = 110.0
ENDS_WITHIN_SECONDS = 20.0
POLL_SECONDS = 0.02
_AWAIT_ALLOWED = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_COMMANDS = ("uv", "uvx", "copier", "shipment-tracking", "shipment-producer", "shipment-consumer")


@dataclass
class Reader:
    """Follows one page in a separate folder, with these variables, and replaces the page's example places."""

    folder: Path
    variables: Mapping[str, str]
    words: Mapping[str, str]
    output: str = ""
    names: dict[str, object] = field(default_factory=lambda: {"__name__": "page"})

    def follow(self, page: Page) -> None:
        """Do every step; raise AssertionError, with page and line, for the first that does not work as described."""
        self._prepare()
        try:
            for step in page.steps:
                with _located(f"{page.name}:{step.line}"):
                    if isinstance(step, Block):
                        self._do(step)
                    else:
                        self._note(step)
        finally:
            self._end_all()

    def _do(self, block: Block) -> None:
        if block.mark("no-run") is not None:
            return
        if (path := block.mark("file")) is not None:
            target = self.working_folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self._in_own_words(block.text), encoding="utf-8")
        elif (place := block.mark("region")) is not None:
            path, name = place.split()
            _replace_region(self.working_folder / path, name, block.text)
        elif (place := block.mark("line")) is not None:
            path, _, start = place.partition(" ")
            _replace_line(self.working_folder / path, start, block.text)
        elif block.mark("output") is not None:
            _assert_printed(self._in_own_words(block.text), self.output)
        elif block.language in SHELL:
            self._run_shell(block.text, fails=block.mark("fails") is not None)
        elif block.language == "python":
            self._run_python(compile(self._in_own_words(block.text), f"<line {block.line}>", "exec", dont_inherit=True))
        else:
            assert block.language in SHOWN_ONLY, f"nobody runs a block of {block.language or 'no language'!r}"

    def _note(self, mark: Mark) -> None:
        if mark.name == "sh":
            self._run_shell(mark.value, fails=False)
        elif mark.name == "python":
            text = self._in_own_words(textwrap.dedent(mark.value))
            self._run_python(compile(text, f"<line {mark.line}>", "exec", _AWAIT_ALLOWED, dont_inherit=True))
        elif mark.name == "interrupt":
            running = [each for each in self._running() if each.name.endswith(f"-{mark.value}")]
            assert running, f"no {mark.value} is running"
            _interrupt(running[-1])

    @property
    def working_folder(self) -> Path:
        """The folder in which the last command has left the reader."""
        return Path((self._state / "folder").read_text(encoding="utf-8").strip())

    @property
    def _state(self) -> Path:
        return self.folder / ".state"

    def _prepare(self) -> None:
        commands = self._state / "commands"
        commands.mkdir(parents=True)
        for name in _COMMANDS:
            command = shlex.join([sys.executable, "-P", str(STAND_IN), name])
            (commands / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (commands / name).chmod(0o755)
        start = next((each for each in self.folder.iterdir() if (each / ".copier-answers.yml").exists()), self.folder)
        (self._state / "folder").write_text(str(start))
        path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
        own = {"PATH": path, "HOME": str(self.folder), "DOCS_STATE": str(self._state), "DOCS_OWNER": str(os.getpid())}
        variables = {**os.environ, "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1", **self.variables, **own}
        skipped = ("PYTEST", "PYTHONPATH", "AWS_CONFIG", "AWS_SHARED")
        kept = {name: value for name, value in variables.items() if not name.startswith(skipped)}
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in kept.items() if name.isidentifier()]
        (self._state / "variables").write_text("".join(lines), encoding="utf-8")

    def _run_shell(self, text: str, *, fails: bool) -> None:
        folder, variables = (shlex.quote(str(self._state / name)) for name in ("folder", "variables"))
        script = (
            f'. {variables}\ncd "$(cat {folder})"\n'
            f"trap 'code=$?; pwd > {folder}; export -p > {variables}; exit $code' EXIT\n"
            f"set -euo pipefail\n{self._in_own_words(text)}"
        )
        # A file, not a pipe: a background process would keep a pipe open.
        printed = self._state / "printed"
        with printed.open("wb") as output:
            done = subprocess.run(
                ["bash", "-c", script],
                check=False,
                env={},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=WITHIN_SECONDS,
            )
        self.output = printed.read_text(encoding="utf-8", errors="replace")
        assert (done.returncode != 0) == fails, f"exit code {done.returncode}:\n{self.output[-4000:]}"

    def _run_python(self, code: CodeType) -> None:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            result = eval(code, self.names)  # noqa: S307 - the page's own code
            if inspect.iscoroutine(result):
                asyncio.run(result)
        self.output = printed.getvalue()

    def _in_own_words(self, text: str) -> str:
        for word, own in self.words.items():
            text = text.replace(word, own)
        return text

    def _running(self) -> list[Path]:
        folders = (self._state / "running").glob("*")
        return [each for each in sorted(folders) if (each / "pid").exists() and not (each / "code").exists()]

    def _end_all(self) -> None:
        problems: list[AssertionError] = []
        for each in reversed(self._running()):
            try:
                _interrupt(each)
            except AssertionError as error:
                problems.append(error)
        if problems:
            raise problems[0]


@contextlib.contextmanager
def _located(place: str) -> Generator[None]:
    """Say where in the page something went wrong."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{place}: {error}") from error


def _interrupt(folder: Path) -> None:
    """Press Ctrl-C and wait for an orderly end."""
    os.kill(int((folder / "pid").read_text()), signal.SIGINT)
    _until((folder / "code").exists, f"{folder.name} does not end")
    log = (folder / "log").read_text(encoding="utf-8", errors="replace")
    code = (folder / "code").read_text()
    # Python itself prints a traceback when Ctrl-C comes while it still imports.
    in_order = code in {"0", "130"} or log.rstrip().endswith("KeyboardInterrupt")
    assert in_order, f"{folder.name} ended with exit code {code!r}:\n{log}"
    assert "\nTraceback" not in f"\n{log}", log  # what handlers raise is within JSON


def _until(condition: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + ENDS_WITHIN_SECONDS
    while not condition():
        assert time.monotonic() < deadline, problem
        time.sleep(POLL_SECONDS)


def _replace_region(file: Path, name: str, text: str) -> None:
    found = re.compile(
        rf"(?P<head>^[ ]*# region {name}\n).*?(?P<tail>^[ ]*# endregion {name}\n)", re.DOTALL | re.MULTILINE
    )
    before = file.read_text(encoding="utf-8")
    assert found.search(before), f"{file.name} has no region {name}"
    after = found.sub(lambda match: f"{match['head']}\n{text}\n{match['tail']}", before)
    file.write_text(after, encoding="utf-8")


def _replace_line(file: Path, start: str, text: str) -> None:
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    found = [number for number, line in enumerate(lines) if line.startswith(start)]
    assert len(found) == 1, f"{file.name} has {len(found)} lines that begin with {start!r}"
    lines[found[0]] = text
    file.write_text("".join(lines), encoding="utf-8")


def _assert_printed(shown: str, printed: str) -> None:
    """Each shown line was printed, in this order; amounts of white space do not count, and ``...`` matches anything."""
    rest = " ".join(printed.split())
    for line in shown.splitlines():
        pattern = ".*?".join(re.escape(" ".join(part.split())) for part in line.split("..."))
        found = re.search(pattern, rest) if line.strip() else None
        assert found or not line.strip(), f"the page shows {line.strip()!r}, but this was printed:\n{printed}"
        rest = rest[found.end() :] if found else rest
