"""The plots of the page in the docs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.requests import LINGERS_MS, dollars_per_million, object_per_event
from benchmarks.results import Results, Table
from benchmarks.s3_races import LATENCIES_MS

_INCHES = (6.4, 3.6)
_DOTS_PER_INCH = 110


def draw(results: Results, folder: Path) -> None:
    """Write the plots of one Python into this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {table.name: table for table in results.tables}
    _save(_produce(tables["produce"]), folder / "produce.png")
    _save(_s3(tables), folder / "s3.png")
    _save(_dollars(results), folder / "dollars.png")
    draw_uris(tables["uris"], folder)


def draw_uris(table: Table, folder: Path) -> None:
    """Write the plot of URIs on one server and on several nodes."""
    figure, axes = _figure("events per second, a process for each URI")
    servers, nodes = (list(table.rates.values())[first::2] for first in (0, 1))
    for number, (name, rates) in enumerate({"one server": servers, "a node for each": nodes}.items()):
        axes.bar([place + (number - 0.5) * 0.4 for place in range(len(rates))], rates, width=0.4, label=name)
    axes.set_xticks(range(len(servers)), [f"{each + 1} URI{'s' if each else ''}" for each in range(len(servers))])
    axes.legend()
    _save(figure, folder / "uris.png")


def _produce(table: Table) -> Figure:
    """Bars by number of callers; what is written by hand in batches has no callers, so it is a line."""
    figure, axes = _figure("events per second, payloads in Redis hashes")
    by_callers = {name: _of_callers(table, name) for name in ("event_backbone", "FastStream")}
    counts = list(by_callers["event_backbone"])
    for number, (name, rates) in enumerate(by_callers.items()):
        places = [counts.index(each) + (number - 0.5) * 0.4 for each in rates]
        axes.bar(places, list(rates.values()), width=0.4, label=name)
    batches = table.rates["EVALSHA of 100, by hand"]
    axes.axhline(batches, linestyle="--", color="gray", label="by hand, one script for 100")
    axes.set_xticks(range(len(counts)), [f"{each} caller{'s' if each > 1 else ''}" for each in counts])
    axes.legend()
    return figure


def _of_callers(table: Table, name: str) -> dict[int, float]:
    """Return the rates of one contender by its number of callers."""
    found = {each: rate for each, rate in table.rates.items() if each.startswith(f"{name}, ")}
    return dict(sorted((int(each.split()[-2]), rate) for each, rate in found.items()))


def _s3(tables: Mapping[str, Table]) -> Figure:
    """Producing and consuming by added latency."""
    figure = Figure(figsize=(_INCHES[0] * 1.4, _INCHES[1]), layout="constrained")
    produce, consume = figure.subplots(1, 2, sharey=True)
    lines = {
        "packs": ("event_backbone, 4,096 callers", "event_backbone, typed handler"),
        "an object per event": ("an object per event, 4,096 callers", None),
        "an object per event, 64 at a time": (
            "an object per event, 64 at a time, 4,096 callers",
            "an object per event, 64 at a time, typed",
        ),
    }
    for label, names in lines.items():
        for axes, race, name in zip((produce, consume), ("produce-s3", "consume-s3"), names, strict=True):
            if name is not None:
                rates = [tables[f"{race}-{latency}"].rates[name] for latency in LATENCIES_MS]
                axes.plot(LATENCIES_MS, rates, marker="o", label=label)
            else:
                axes.plot([], [])  # the same colors on both sides
    for axes, title in ((produce, "produce, 4,096 events outstanding"), (consume, "consume")):
        axes.set(title=title, xlabel="latency added, ms", yscale="log")
        axes.grid(visible=True, which="both", alpha=0.3)
    produce.set_ylabel("events per second")
    figure.legend(*produce.get_legend_handles_labels(), loc="outside lower center", ncols=len(lines))
    return figure


def _dollars(results: Results) -> Figure:
    """The price of a million events by rate, a line for each ``pack_linger``."""
    latency = LATENCIES_MS[1]
    figure, axes = _figure(f"S3 requests for a million events, with {latency} ms added")
    for linger in LINGERS_MS:
        cells = [each for each in results.requests if (each.linger_ms, each.latency_ms) == (linger, latency)]
        rates: Sequence[int] = [each.rate for each in cells]
        axes.plot(rates, [dollars_per_million(each) for each in cells], marker="o", label=f"pack_linger {linger} ms")
    each_event = dollars_per_million(object_per_event())
    axes.axhline(each_event, linestyle="--", color="gray", label="an object per event")
    axes.set(xscale="log", yscale="log", xlabel="events per second", ylabel="US dollars")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    return figure


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=_DOTS_PER_INCH, metadata={"Software": None})
