"""The queries of the page about the archive, run on copies of what an archiver has written."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from event_backbone import Backbone, Contract, EventKey, event
from event_backbone.archive import S3Archive
from event_backbone.storage import S3Storage
from event_backbone.testing.servers import S3Server
from tests.docs.pages import ROOT
from tests.support.archives import archive_all
from tests.support.s3 import objects_of

PAGE = (ROOT / "docs/how-to/query-the-archive.md").read_text(encoding="utf-8")
QUERY = re.compile(r"^```sql\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
URI = "shipment-tracking"
ADA, GRACE = "ada@example.com", "grace@example.com"
Rows = list[tuple[Any, ...]]


class ShipmentTracking(Contract):
    """What happens to an order."""

    @event
    def order_placed(self, email: str, product_id: int) -> None:
        """A customer placed an order."""

    @event
    def packing(self, email: str, product_id: int) -> None:
        """The parcel is being packed."""

    @event
    def delivered(self, email: str) -> None:
        """The parcel is there."""


async def _produce(backbone: Backbone) -> dict[str, EventKey]:
    """Produce two orders of Ada, one of them delivered, one of Grace, delivered too, and an event that is erased."""
    shipments = backbone.producer(ShipmentTracking, uri=URI)
    keys: dict[str, EventKey] = {}
    for order, email, is_delivered in (("1", ADA, True), ("2", GRACE, True), ("3", ADA, False)):
        keys[f"order {order}"] = await shipments.order_placed.using(correlation_id=order)(email, 7)
        keys[f"packing {order}"] = await shipments.packing.using(correlation_id=order)(email, 7)
        if is_delivered:
            keys[f"delivered {order}"] = await shipments.delivered.using(correlation_id=order)(email)
    erased = await shipments.packing(ADA, 8)
    await archive_all(backbone, URI)
    await backbone.erase(URI, erased)
    await shipments.packing(GRACE, 9)
    return keys


def _copy(server: S3Server, folder: Path) -> None:
    """Do what ``aws s3 sync`` of the page does."""
    places = {f"dev/archive/{URI}/0/": "archive", f"dev/packs/{URI}/": "packs"}
    for key, data in objects_of(server).items():
        for prefix, place in places.items():
            if key.startswith(prefix) and key.endswith((".zst", ".jsonl")):
                path = folder / place / key.removeprefix(prefix)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)


def _shown_columns(shown: str) -> list[str]:
    return [each.strip() for each in shown.partition("\n")[0].strip("│").split("│")]


def _answers(folder: Path) -> list[Rows]:
    """Run every block; return the answers. A table on the page has the columns of its answer."""
    answers: list[Rows] = []
    with duckdb.connect() as connection:
        connection.execute(f"SET file_search_path = '{folder}'")
        for query, shown in QUERY.findall(PAGE):
            found = connection.execute(query.replace("TO 'history'", f"TO '{folder}/history'"))
            rows = found.fetchall()
            columns = [each[0] for each in found.description or ()]
            assert not shown or _shown_columns(shown) == columns
            if columns != ["Count"] and not query.startswith("CREATE"):
                answers.append(rows)
    return answers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where copies go."""
    return tmp_path


async def test_the_queries_of_the_page_answer_what_they_say(
    redis_url: str, s3_server: S3Server, s3_environment: dict[str, str], folder: Path
) -> None:
    """On several segments, with an event that was erased, and one that is not archived yet."""
    del s3_environment
    archive = S3Archive(segment_bytes=500)
    async with Backbone(redis_url, storage=S3Storage(), archive=archive, environment="dev") as backbone:
        keys = await _produce(backbone)
    _copy(s3_server, folder)
    assert len(list((folder / "archive").rglob("*.zst"))) > 2

    per_day, of_ada, months, (files,), durations, undelivered, only_in_packs = _answers(folder)

    counts = Counter[str]()
    for _, name, count in per_day:
        counts[name] += count
    assert counts == {"order_placed": 3, "packing": 4, "delivered": 2}
    names = ("order 1", "packing 1", "delivered 1", "order 3", "packing 3")
    assert [row[0] for row in of_ada] == [str(keys[each]) for each in names]
    assert sum(row[1] for row in months) == 9
    segments, stored_bytes, dollars = files
    assert (segments > 2, stored_bytes > 500, dollars) == (
        True,
        True,
        pytest.approx(stored_bytes / 1e9 * 0.023, abs=1e-6),
    )
    assert len(durations) == 2
    assert all(timedelta(0) < took < timedelta(minutes=1) for _, took in durations)
    assert undelivered == [(str(keys["order 3"]), ADA)]
    ((_, name, produced_at),) = only_in_packs
    assert name == "packing"
    assert abs(produced_at.replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(minutes=1)
    assert list((folder / "history").rglob("*.parquet"))


def test_erased_arguments_are_in_no_column(folder: Path) -> None:
    """The page says that ``arguments`` is null and ``missing`` says why; the golden segment has all cases."""
    path = folder / "archive/2026/11/23/one.jsonl.zst"
    path.parent.mkdir(parents=True)
    path.write_bytes((ROOT / "tests/wire/golden/segments/format-1.jsonl.zst").read_bytes())
    view = QUERY.findall(PAGE)[0][0]
    with duckdb.connect() as connection:
        connection.execute(f"SET file_search_path = '{folder}'")
        connection.execute(view)
        found = connection.execute("SELECT event, arguments, missing FROM events ORDER BY milliseconds, sequence")
        rows = found.fetchall()
    assert [row[1] is None for row in rows] == [False] * 5 + [True] * 2
    assert [row[2] for row in rows[4:]] == [{"s3": "erased"}, {"redis-hash": "gone"}, {"": "erased"}]
