"""Installing a project as its README says works exactly as written, with plain Python and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.template.rendering import Template, saved_answers


@pytest.mark.long
@pytest.mark.timeout(600)
def test_plain_python_installs_and_tests_a_project(template: Template, tmp_path: Path) -> None:
    """The second block of commands, line by line: a virtual environment, pip, the demo and the tests."""
    project = template.render(tmp_path / "project", saved_answers("s3"))
    blocks = re.findall(
        r"^```sh\n(.*?)^```", (project / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    (block,) = (each for each in blocks if "pip install" in each)
    folder = str(Path(sys.executable).parent)
    script = f"set -e\nunset PYTHONPATH\n{block}".replace("python3 -m venv", f"{folder}/python3 -m venv")
    done = subprocess.run(["bash", "-c", script], cwd=project, check=False, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout)
