"""What was measured, as text for people and as JSON for the page in the docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

FOLDER = Path(__file__).parents[1] / "build" / "benchmarks"


@dataclass(frozen=True, slots=True)
class Ratio:
    """How one contender compares with another: the median over the rounds, and what is wanted (None: nothing)."""

    name: str
    baseline: str
    median: float
    lowest: float
    highest: float
    wanted: float | None

    @property
    def verdict(self) -> str:
        """Whether what is wanted is reached; empty if nothing is."""
        if self.wanted is None:
            return ""
        return "reached" if self.median >= self.wanted else "NOT reached"


@dataclass(frozen=True, slots=True)
class Table:
    """One race: the median rate of each contender, in events per second, and the ratios that count."""

    name: str
    title: str
    rates: Mapping[str, float]
    ratios: tuple[Ratio, ...]

    def __str__(self) -> str:
        """Return it as text."""
        lines = [self.title]
        lines += [f"  {name:<52} {rate:>10,.0f} /s" for name, rate in self.rates.items()]
        for each in self.ratios:
            wanted = "" if each.wanted is None else f"   wanted {each.wanted:.3g}: {each.verdict}"
            span = f"({each.lowest:.2f} .. {each.highest:.2f})"
            lines.append(f"  {each.name} : {each.baseline}\n    {each.median:>7.2f}   {span}{wanted}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Requests:
    """How many requests to S3 a number of events took, and on what that depends."""

    rate: int
    linger_ms: int
    latency_ms: int
    events: int
    put: int
    get: int


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was measured on one Python."""

    python: str
    rounds: int
    tables: tuple[Table, ...]
    requests: tuple[Requests, ...]

    def save(self) -> None:
        """Keep it for the page, instead of what was measured before on this Python."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"{self.python}.json").write_bytes(_results.dump_json(self, indent=1))

    @staticmethod
    def read_all(folder: Path = FOLDER) -> list[Results]:
        """Return what was kept, the oldest Python first."""
        found = [_results.validate_json(each.read_bytes()) for each in folder.glob("*.json")]
        return sorted(found, key=lambda each: [int(part) for part in each.python.split(".")])


_results = TypeAdapter(Results)
