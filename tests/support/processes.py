"""Code in a new process."""

import subprocess
import sys

from tests.support.repository import ROOT


def printed_by(code: str) -> str:
    """Run code in a new process, in which nothing is imported yet, with no variable but the path of the runtime."""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "template" / "src")},
    )
    return ran.stdout
