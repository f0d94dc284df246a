"""Writes the page of the docs from what was measured: ``benchmarks/performance.md``, with its tables and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import plots, requests
from benchmarks.results import Ratio, Requests, Results, Table

TEMPLATE = Path(__file__).with_name("performance.md")
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "performance.md"
ON_REDIS = ("produce", "consume", "inline", "retention", "cluster", "replicas", "processes", "uris", "idle")
ARCHIVE = ("archive", "archive-overhead", "archive-restore", "archive-scan", "archive-get")
ON_S3 = ("produce-s3", "consume-s3")


def main() -> None:
    """Read what was kept; write the page, and the plots of the newest Python."""
    found = Results.read_all()
    PAGE.write_text(page(found), encoding="utf-8")
    plots.draw(found[-1], PAGE.parent / "images")


def page(found: Sequence[Results]) -> str:
    """Return the page; the numbers of requests are those of the newest Python."""
    tables = {each.python: {table.name: table for table in each.tables} for each in found}
    filled = {
        "pythons": " and ".join(f"Python {each.python}" for each in found),
        "baseline": _cell(requests.object_per_event()),
        "requests": _requests(found[-1].requests),
        "rounds": str(found[-1].rounds),
    }
    for name in (*ON_REDIS, *ARCHIVE):
        filled[name] = _tables({f"Python {python}": of_python[name] for python, of_python in tables.items()})
    for name in ON_S3:
        parts = [
            f"On Python {python}:\n\n{_tables(_by_latency(name, of_python))}" for python, of_python in tables.items()
        ]
        filled[name] = "\n\n".join(parts)
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, value in filled.items():
        text = text.replace(f"[[{name}]]", value)
    return text


def _by_latency(name: str, tables: Mapping[str, Table]) -> dict[str, Table]:
    """Return the tables of one race on S3, by what was added."""
    return {f"{each.removeprefix(f'{name}-')} ms": table for each, table in tables.items() if each.startswith(name)}


def _tables(columns: Mapping[str, Table]) -> str:
    """Return two tables, of the rates and of the ratios, with a column for each run of the same race."""
    first = next(iter(columns.values()))
    rates = [[name, *(f"{table.rates[name]:,.0f}" for table in columns.values())] for name in first.rates]
    ratios = [
        [f"{each.name} : {each.baseline}", *(_ratio(table.ratios[number]) for table in columns.values())]
        for number, each in enumerate(first.ratios)
    ]
    return f"{_table(['rate', *columns], rates)}\n\n{_table(['ratio (target)', *columns], ratios)}"


def _ratio(found: Ratio) -> str:
    return f"{found.median:.2f}" if found.wanted is None else f"{found.median:.2f} ({found.wanted:.3g})"


def _requests(counted: Sequence[Requests]) -> str:
    """Return a table with a row for each latency and ``pack_linger``, and a column for each rate."""
    rates = sorted({each.rate for each in counted})
    rows: dict[tuple[int, int], list[str]] = {}
    for each in counted:
        row = rows.setdefault(
            (each.latency_ms, each.linger_ms), [f"{each.latency_ms} ms", f"{each.linger_ms} ms", *[""] * len(rates)]
        )
        row[2 + rates.index(each.rate)] = _cell(each)
    heads = ["latency added", "`pack_linger`", *(f"{rate:,} events/s" for rate in rates)]
    return _table(heads, list(rows.values()))


def _cell(counted: Requests) -> str:
    return f"{requests.requests_per_million(counted):,.0f} for ${requests.dollars_per_million(counted):.2f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
