"""The page of performance says what was measured."""

import re

from benchmarks.page import ARCHIVE, ON_REDIS, PAGE, TEMPLATE, page
from benchmarks.results import Ratio, Requests, Results, Table


def _results(python: str, rate: float) -> Results:
    on_s3 = ("produce-s3-0", "produce-s3-20", "consume-s3-0", "consume-s3-20")
    names = (*ON_REDIS, *on_s3, *ARCHIVE)
    ratios = (Ratio("ours", "theirs", rate / 1000, 1, 9, 2.5), Ratio("ours", "by hand", 0.987, 0.9, 1, None))
    tables = tuple(Table(name, name, {"ours": rate, "theirs": 1000}, ratios) for name in names)
    return Results(python, 5, tables, (Requests(10, 0, 20, 20, 20, 20), Requests(1000, 0, 20, 2000, 10, 20)))


def test_the_page_has_a_column_for_each_python_and_the_requests_for_a_million_events() -> None:
    """Rates, ratios with their targets, requests and dollars; nothing of the template is left unfilled."""
    text = page([_results("3.11.7", 3456.0), _results("3.13.0", 4567.8)])
    for line in (
        "| rate | Python 3.11.7 | Python 3.13.0 |",
        "| ours | 3,456 | 4,568 |",
        "| ours : theirs | 3.46 (2.5) | 4.57 (2.5) |",
        "| ours : by hand | 0.99 | 0.99 |",
        "| rate | 0 ms | 20 ms |",
        "| 20 ms | 0 ms | 2,000,000 for $5.40 | 15,000 for $0.03 |",
    ):
        assert line in text.splitlines()
    assert "[[" not in text


def test_the_page_in_the_docs_is_the_template_filled_in() -> None:
    """Whoever changes the words changes the template."""
    parts = re.split(r"\[\[[\w-]+\]\]", TEMPLATE.read_text(encoding="utf-8"))
    assert len(parts) > 5
    assert re.fullmatch(".+?".join(map(re.escape, parts)), PAGE.read_text(encoding="utf-8"), re.DOTALL)
