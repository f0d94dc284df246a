"""The site builds without network, and its pages need none."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Union

from tests.docs.pages import ROOT, pages

Place = Union["str", "list[Place]", "dict[str, Place]"]

RUNTIME = ROOT / "template" / "src" / "event_backbone"
DECISIONS = "explanations/decisions/"
NOWHERE = "http://127.0.0.1:9"
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"(https?:)?//|<link\b[^>]*\brel=\"(?:stylesheet|preconnect)\"[^>]*//"
)


def test_the_site_builds_without_network_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """A broken link or anchor is an error; no page fetches a script, a style, a font or a picture."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(RUNTIME, tmp_path / RUNTIME.relative_to(ROOT), ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    proxies = {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "http_proxy": NOWHERE, "https_proxy": NOWHERE}
    built = subprocess.run(
        [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--clean"],
        cwd=tmp_path,
        env=os.environ | proxies | {"NO_COLOR": "1"},
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert built.returncode == 0, built.stdout + built.stderr
    site = list((tmp_path / "build" / "docs").rglob("*.html"))
    assert len(site) >= len(pages()) - 1  # README.md is not one of them
    assert [each.name for each in site if LOADED.search(each.read_text(encoding="utf-8"))] == []
    api = (tmp_path / "build" / "docs" / "reference" / "python-api.html").read_text(encoding="utf-8")
    assert "Connects contracts, consumers and readers" in api


def test_every_page_has_its_place_in_the_navigation() -> None:
    """And every place has a page; a decision has its place in the list of decisions."""
    configuration = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    expected = {str(each.relative_to("docs")) for each in pages() if each.parts[0] == "docs"}
    decisions = {each for each in expected if each.startswith(DECISIONS) and not each.endswith("README.md")}
    assert sorted(_leaves(configuration["project"]["nav"])) == sorted(expected - decisions)
    index = (ROOT / "docs" / DECISIONS / "README.md").read_text(encoding="utf-8")
    assert [each for each in sorted(decisions) if f"]({each.removeprefix(DECISIONS)})" not in index] == []


def _leaves(place: Place) -> Iterator[str]:
    if isinstance(place, str):
        yield place
    elif isinstance(place, dict):
        for each in place.values():
            yield from _leaves(each)
    else:
        for each in place:
            yield from _leaves(each)
