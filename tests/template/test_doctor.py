"""`doctor` of a rendered project: with its own settings class it names all that is missing at once."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.template.rendering import ROOT, Template

KEY_PAIR = "Set S3_EVENT_SOURCE_ACCESS_KEY and S3_EVENT_SOURCE_SECRET to a key pair for S3."
SHOP = {"project_name": "Shop", "storage": "s3", "telemetry": False, "web_api": False}
WRONG_PORT = "The setting WORKER_HEALTH_PORT is not valid: "
WRONG_PLACE = "The setting S3_EVENT_SOURCE_ENVIRONMENT_IN is not valid: "


def failures(project: Path, folder: Path, **variables: str) -> list[str]:
    """What `doctor` finds wrong in the settings, when it runs in this folder with these variables and no others."""
    path = os.pathsep.join((str(ROOT / "template" / "src"), str(project / "src")))
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    own |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-B", "-m", "shop", "doctor", "--json"],
        cwd=folder,
        env=own | variables,
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stderr) == (1, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [each["text"] for each in lines if (each["level"], each["subject"]) == ("fail", "Settings")]


def test_all_missing_settings_are_named_at_once(owners_template: Template, tmp_path: Path) -> None:
    """Redis and the credentials of S3, by variable; what is in .env is not missing; values are never repeated."""
    key_pair = owners_template.rendered({**SHOP, "s3_credentials": "environment"})
    endpoint, other = failures(key_pair, tmp_path)
    assert endpoint.startswith("REDIS_EVENT_SOURCE_ENDPOINT is not set; use host:port")
    assert other == KEY_PAIR
    both = failures(key_pair, tmp_path, WORKER_HEALTH_PORT="hidden", S3_EVENT_SOURCE_ENVIRONMENT_IN="hidden")
    assert [each.partition(": ")[0] + ": " for each in both] == [WRONG_PLACE, WRONG_PORT]
    assert "hidden" not in str(both)
    (tmp_path / ".env").write_text("REDIS_EVENT_SOURCE_ENDPOINT=127.0.0.1:1\n")
    assert failures(key_pair, tmp_path) == [KEY_PAIR]


def test_a_missing_profile_is_named_beside_a_missing_endpoint(owners_template: Template, tmp_path: Path) -> None:
    """Although nothing could be connected yet."""
    project = owners_template.rendered({**SHOP, "s3_credentials": "profile", "aws_profile": "shop"})
    endpoint, profile = failures(project, tmp_path)
    assert endpoint.startswith("REDIS_EVENT_SOURCE_ENDPOINT")
    assert profile == (
        f"There is no AWS profile 'shop' in {os.devnull} or {os.devnull}; add it, or set S3_EVENT_SOURCE_PROFILE."
    )
