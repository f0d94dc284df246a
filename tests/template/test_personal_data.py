"""Personal data in S3 under a separate credential, the rest in Redis: the example, run as its text says."""

import os
import subprocess
import sys

from tests.support.repository import ROOT


def test_a_consumer_without_the_credential_and_replays_after_an_erasure_get_the_rest() -> None:
    """The example checks what each group was given, and fails if that is not what it should be."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "personal_data" / "run.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT / "template" / "src")},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "s3://customers/demo/" in done.stdout
    assert "statistics: somebody ordered Bird feeder for 19.90 (missing: user)" in done.stdout
    assert "is partial: {'personal': 'erased'}" in done.stdout
    assert "mailer-again: Bob <bob@example.com> ordered" in done.stdout
