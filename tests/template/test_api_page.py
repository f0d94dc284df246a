"""The API's page for people."""

import re

import pytest

from tests.template.rendering import Whole, run_in, saved_answers

PRINT_PAGE = """
from starlette.testclient import TestClient
from shipment_tracking.api import create_app
print(TestClient(create_app()).get("{path}").text)
"""


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_page_loads_nothing_from_elsewhere(whole: Whole, path: str) -> None:
    """Script, style and icon come from the API itself, so that the page works in a closed network."""
    project = whole(saved_answers("default"))
    done = run_in(project, "-c", PRINT_PAGE.format(path=path))
    assert done.returncode == 0, done.stderr
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", done.stdout)
    assert loaded
    assert [each for each in loaded if not each.startswith("/static-offline-docs/")] == []
