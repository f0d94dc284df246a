"""`serve --reload`: what is edited under src is served."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from event_backbone.testing.free_port import free_port
from tests.support.repository import ROOT

API = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({{"type": "http.response.start", "status": 200}})
        await send({{"type": "http.response.body", "body": b"{text}"}})
"""
COMMAND_LINE = """
from event_backbone.cli import Project, build_cli, run
from event_backbone.contract import Contract

parts = {"name": "edited", "module": "edited.cli", "uri": "edited", "contract": Contract}
cli = build_cli(Project(**parts, load_settings=dict, open_backbone=dict, api="edited.api:app"))
if __name__ == "__main__":
    run(cli)
"""


class Served:
    """A project under ``src`` whose API is served with --reload."""

    def __init__(self, folder: Path) -> None:
        """Write the project, and start the server."""
        package = folder / "src" / "edited"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "cli.py").write_text(COMMAND_LINE)
        self._api = package / "api.py"
        self._api.write_text(API.format(text="first"))
        self._port = free_port()
        path = os.pathsep.join((str(folder / "src"), str(ROOT / "template/src")))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edited.cli", "serve", "--reload", "--port", str(self._port)],
            env=os.environ | {"PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, words: str) -> None:
        """Wait until a line of the log has these words."""
        assert self.process.stderr is not None
        assert any(words in line for line in self.process.stderr), words

    def edit(self, text: str) -> None:
        """Write the API, with a time of change that the reloader sees."""
        later = self._api.stat().st_mtime + 1
        self._api.write_text(text)
        os.utime(self._api, (later, later))

    def edit_until_served(self, text: str) -> None:
        """Write the API until it is served: a change while the reloader begins to look at all files again is lost."""
        for attempt in range(100):
            if attempt % 25 == 0:
                self.edit(API.format(text=text))
            with suppress(OSError):
                if self.page() == text.encode():
                    return
            time.sleep(0.2)
        raise AssertionError(text)

    def page(self) -> bytes:
        """What the API answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/", timeout=10) as response:
            return bytes(response.read())


def test_reload_serves_what_was_edited(tmp_path: Path) -> None:
    """A changed file is served after a moment, a mistake in one does not end the command, and Ctrl-C does."""
    served = Served(tmp_path)
    served.wait_for("running on")
    assert served.page() == b"first"
    served.edit("a mistake")
    served.wait_for("SyntaxError")
    served.edit_until_served("second")
    served.process.send_signal(signal.SIGINT)
    _, rest = served.process.communicate(timeout=30)
    assert served.process.returncode == 0
    assert "Traceback" not in rest
