"""Replaces the commands that pages name, because tests have no network and install nothing.

``uv run COMMAND`` runs the command with the packages of this environment and the sources of the project in the working
folder. ``copier`` is Copier itself, with Enter pressed at each question. A command that runs forever (worker,
serve, tail, servers) is started in the background, and its answer is that it runs.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

STATE = Path(os.environ.get("DOCS_STATE", "."))
READY = {
    "worker": "Handling events of",
    "serve": "Application startup complete",
    "tail": "",
    "servers": "until Ctrl-C",
}
READY_WITHIN_SECONDS = 30.0
POLL_SECONDS = 0.02
# Copier asks git about the mode of each file, for those whose git ignores modes: nearly half of its time.
COPIER = """
import copier._main, runpy
copier._main.Worker._sync_git_index_executable_bit = lambda *_: None
runpy.run_module("copier", run_name="__main__", alter_sys=True)
"""


def main() -> None:
    """Do what the command would do."""
    name, *arguments = sys.argv[1:]
    if name == "--watch":
        watch(Path(arguments[0]), arguments[1:])
    if name in {"uv", "uvx"}:
        run_uv([*(["x"] if name == "uvx" else []), *arguments])
    if name == "copier":
        run_copier(arguments)
    run_project(name, arguments)


def run_uv(arguments: list[str]) -> NoReturn:
    """``uv run`` and ``uvx`` run a command; what else is asked of uv concerns its own environment."""
    verb, *rest = arguments
    if verb in {"add", "sync", "lock"}:
        sys.exit(0)
    if verb not in {"run", "x"}:
        sys.exit(f"uv {verb} has no stand-in.")
    while rest and rest[0] in {"--quiet", "--no-sync", "--locked"}:
        rest = rest[1:]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd() / "src")}
    if rest[:3] == ["python", "-m", "event_backbone.testing"]:
        start("servers", [sys.executable, *rest[1:], "--port", os.environ["DOCS_REDIS_PORT"]], environment)
    os.execvpe(rest[0], rest, environment)  # noqa: S606 - no shell is the point


def run_copier(arguments: list[str]) -> NoReturn:
    """Copier, with Enter pressed at each question."""
    if arguments[:1] in (["copy"], ["update"]) and "--defaults" not in arguments:
        arguments.insert(1, "--defaults")
    os.execv(sys.executable, [sys.executable, "-c", COPIER, *arguments])  # noqa: S606 - no shell is the point


def run_project(name: str, arguments: list[str]) -> NoReturn:
    """The command line of the project in the working folder."""
    environment = os.environ | {"PYTHONPATH": str(Path.cwd() / "src")}
    command = [sys.executable, "-m", name.replace("-", "_"), *arguments]
    verb = arguments[0] if arguments else ""
    if verb in READY and not {"--help", "--no-follow"} & set(arguments):
        if verb == "serve":
            command += ["--port", os.environ["DOCS_API_PORT"]]
        start(verb, command, environment)
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is the point


def start(verb: str, command: list[str], environment: dict[str, str]) -> NoReturn:
    """Start a command that goes on, and leave once it says that it is ready; fail when it ends before."""
    folder = STATE / "running" / f"{time.monotonic_ns()}-{verb}"
    folder.mkdir(parents=True)
    log = folder / "log"
    with log.open("wb") as output:
        subprocess.Popen(
            [sys.executable, __file__, "--watch", str(folder), *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while not (folder / "pid").exists() or READY[verb] not in log.read_text(encoding="utf-8", errors="replace"):
        if (folder / "code").exists() or time.monotonic() > deadline:
            sys.exit(f"{verb} did not get ready:\n{log.read_text(encoding='utf-8', errors='replace')}")
        time.sleep(POLL_SECONDS)
    sys.exit(0)


def watch(folder: Path, command: list[str]) -> NoReturn:
    """Run a command to its end, and write down its exit code; end it when the tests are gone."""
    owner = int(os.environ["DOCS_OWNER"])
    with subprocess.Popen(command) as child:
        _note(folder / "pid", child.pid)
        while True:
            try:
                code = child.wait(timeout=1)
            except subprocess.TimeoutExpired:
                if not _is_there(owner):
                    child.send_signal(signal.SIGKILL)
                continue
            _note(folder / "code", code)
            sys.exit(0)


def _note(file: Path, number: int) -> None:
    """Write a file that exists only once it is whole: others read it as soon as it is there."""
    part = file.with_suffix(".part")
    part.write_text(str(number))
    part.rename(file)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
