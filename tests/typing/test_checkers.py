"""mypy and pyright accept what is right and find every mistake that is marked, and no other."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RUNTIME = HERE.parents[1] / "template" / "src"
MARK = re.compile(r"# expect-error(?:\((\w+)\))?:")
FILES = sorted(HERE.glob("*/*.py"))

Places = set[tuple[str, int]]


def expected(checker: str) -> Places:
    """Return the file and line of every mark that is meant for this checker."""
    return {
        (path.name, number)
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if (mark := MARK.search(line)) and mark[1] in {None, checker}
    }


def run(*command: str) -> str:
    """Run a checker of this environment and return what it says; finding errors is not a failure here."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]],
        env={**os.environ, "MYPYPATH": str(RUNTIME)},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout


def test_the_marks_are_found() -> None:
    """The comparisons below would pass without marks."""
    assert len(expected("pyright")) > len(expected("mypy")) >= 20


def test_mypy_finds_what_is_marked(tmp_path: Path) -> None:
    """In strict mode, neither more nor less."""
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nstrict = true\nexplicit_package_bases = true\nenable_error_code = deprecated\n")
    output = run("mypy", f"--config-file={config}", f"--cache-dir={tmp_path / 'cache'}", *map(str, FILES))
    errors = re.findall(r"^(.+?):(\d+): error: ", output, re.MULTILINE)
    assert {(Path(file).name, int(line)) for file, line in errors} == expected("mypy"), output


def test_pyright_finds_what_is_marked(tmp_path: Path) -> None:
    """In strict mode, neither more nor less; the line is where the error begins."""
    config = tmp_path / "pyrightconfig.json"
    settings: dict[str, object] = {"typeCheckingMode": "strict", "pythonVersion": "3.11"}
    paths = {"extraPaths": [str(RUNTIME)], "include": [str(path) for path in FILES]}
    config.write_text(json.dumps(settings | paths))
    output = run("basedpyright", "--outputjson", "--project", str(config))
    errors = [each for each in json.loads(output)["generalDiagnostics"] if each["severity"] == "error"]
    places = {(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in errors}
    assert places == expected("pyright"), output
