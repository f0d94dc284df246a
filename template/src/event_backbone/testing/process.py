"""A server process that ends with its owner."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from event_backbone.errors import ConfigurationError

_CLEANUP_SCRIPT = Path(__file__).with_name("cleanup_process.py")
_GRACE = timedelta(seconds=3)
_POLL_SECONDS = 0.005
_LONGEST_FOLDER_BYTES = 80  # a unix socket's whole path may have 103 bytes on macOS, 107 on Linux


class OwnedProcess:
    """A server process, its log and its temporary folder; all three end with the owner, also when that is killed.

    The process gets its own session: Ctrl-C in a terminal reaches only the owner, who then ends it gracefully.
    A process that was killed may be started again with the same folder. ``close`` may be called twice.
    """

    def __init__(self, name: str) -> None:
        """Make the temporary folder and start the cleanup process, which outlives the owner; the server comes later."""
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        self._cleanup = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_CLEANUP_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.folder = _temporary_folder()
        self._log = self.folder / "server.log"
        self._instruct(f"folder {self.folder}")

    @property
    def pid(self) -> int:
        """The process id of the server that runs, or ran last."""
        if self._process is None:
            raise ConfigurationError(f"{self._name} was never started.")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
    ) -> None:
        """Start the command; what it prints goes to the log in the temporary folder."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=None if environment is None else dict(environment),
                pass_fds=pass_fds,
                start_new_session=True,
            )
        self._instruct(f"process {self._process.pid}")

    def wait_until(self, ready: Callable[[], bool], timeout: timedelta) -> bool:
        """Poll ``ready`` every few milliseconds. False when the process ended before it was.

        Raises:
            ConfigurationError: not ready within ``timeout``.
        """
        deadline = time.monotonic() + timeout.total_seconds()
        while not ready():
            if not self.running:
                return False
            if time.monotonic() > deadline:
                raise ConfigurationError(f"{self._name} was not ready within {timeout.total_seconds():g} seconds.")
            time.sleep(_POLL_SECONDS)
        return True

    def last_words(self) -> str:
        """The last line that the server wrote to its log, for an error message."""
        lines = self._log.read_text(errors="replace").split("\n") if self._log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")

    def terminate(self) -> None:
        """Ask the server to end, and kill it after three seconds. The folder stays."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        try:
            self._process.wait(_GRACE.total_seconds())
        except subprocess.TimeoutExpired:
            self.kill()
        self._instruct(f"forget {self._process.pid}")

    def kill(self) -> None:
        """End the server at once, as a crash would (SIGKILL). The folder stays."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._instruct(f"forget {self._process.pid}")

    def close(self) -> None:
        """End the server, remove its folder, and end the cleanup process."""
        self.terminate()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._instruct("release")
        if self._cleanup.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # as in _instruct, which may have left something unsent
                self._cleanup.stdin.close()
        self._cleanup.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _instruct(self, line: str) -> None:
        if self._cleanup.stdin is None or self._cleanup.stdin.closed:
            return
        # A cleanup process that was killed must not stop its owner, who can still end the server.
        with contextlib.suppress(BrokenPipeError):
            self._cleanup.stdin.write(f"{line}\n".encode())
            self._cleanup.stdin.flush()


def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="backbone-")
    if len(os.fsencode(folder)) > _LONGEST_FOLDER_BYTES:
        Path(folder).rmdir()
        folder = tempfile.mkdtemp(prefix="backbone-", dir="/tmp")  # short on purpose, and still private
    return Path(folder)
