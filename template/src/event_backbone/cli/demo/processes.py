"""The demo's processes: each runs the project's own command line, and ends with the demo."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from event_backbone.cli.project import Project
from event_backbone.errors import BackboneError
from event_backbone.testing.process import OwnedProcess

_FOREIGN = ("AWS_", "EVENT_SOURCE_", "REDIS_EVENT_SOURCE_", "S3_EVENT_SOURCE_")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of a process's journal. A producer writes no attempt and no outcome."""

    key: str
    event: str
    pid: int
    attempt: int = 0
    outcome: str = "sent"


class DemoProcess:
    """One process of the project's command line; what it writes to its journal collects in ``entries``.

    Use it as a context manager: the process ends with the block, and also when the demo is killed.
    """

    def __init__(self, name: str, project: Project, *arguments: str) -> None:
        """Prepare the process; nothing is started yet."""
        self.name = name
        self._command = [sys.executable, "-m", project.module, *arguments]
        self._process = OwnedProcess(name)
        self._reading: asyncio.Task[None] | None = None
        self.entries: list[JournalEntry] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()
        if self._reading is not None:
            self._reading.cancel()

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.running

    async def start(self, environment: Mapping[str, str], *, journal: bool = True) -> None:
        """Start the process with exactly this environment; one without a journal has no entries."""
        if not journal:
            self._process.start(self._command, environment=environment)
            return
        read_end, write_end = os.pipe()
        try:
            command = [*self._command, "--journal", str(write_end)]
            self._process.start(command, environment=environment, pass_fds=(write_end,))
        finally:
            os.close(write_end)
        reader = asyncio.StreamReader()
        pipe = os.fdopen(read_end, "rb", buffering=0)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        self._reading = asyncio.create_task(self._read(reader))

    async def read_all(self) -> None:
        """Wait until the process has ended and its whole journal is in ``entries``."""
        if self._reading is not None:
            await asyncio.shield(self._reading)

    def stop(self) -> None:
        """Ask the process to stop gracefully, and wait for it."""
        self._process.terminate()

    def log(self) -> str:
        """Return what the process has logged so far."""
        return "".join(file.read_text(errors="replace") for file in self._process.folder.glob("*.log"))

    def failure(self) -> BackboneError:
        """Return what to raise when the process ended too early."""
        return BackboneError(f"{self.name} ended early: {self._process.last_words()}")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        async for line in reader:
            self.entries.append(JournalEntry(**json.loads(line)))


def child_environment(servers: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without its settings and credentials, and with those of the servers.

    A variable that must not count is empty rather than absent, so that a `.env` file cannot bring it back.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    if paths := inherited.get("PYTHONPATH"):
        # Each process runs in its own folder.
        inherited["PYTHONPATH"] = os.pathsep.join(os.path.abspath(path) for path in paths.split(os.pathsep))  # noqa: PTH100
    silenced = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "PYTHONUNBUFFERED": "1"}
    emptied = dict.fromkeys(("REDIS_EVENT_SOURCE_PASS", "S3_EVENT_SOURCE_PROFILE", "S3_EVENT_SOURCE_SESSION_TOKEN"), "")
    return inherited | silenced | emptied | {"EVENT_SOURCE_ENVIRONMENT": "demo"} | dict(servers)
