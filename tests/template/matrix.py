"""Every combination of the answers that change files, and pairs of the others on top."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product

from tests.template.rendering import saved_answers

Row = dict[str, str]
Pair = frozenset[tuple[str, str]]

# What decides which files there are and what is in them: each combination of these is rendered.
CORE = {
    "role": ("both", "producer", "consumer"),
    "storage": ("redis-hash", "s3", "s3-cached"),
    "s3_credentials": ("profile", "environment", "default-chain"),
    "web_api": ("yes", "no"),
    "telemetry": ("yes", "no"),
}
# What changes single files or only text: each pair of these, and each of these with each of the core.
MORE = {
    "archive": ("yes", "no"),
    "ci": ("github", "gitlab", "none"),
    "license": ("MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"),
    "events": ("default", "without arguments", "a name alone", "acronyms", "twelve", "longest names", "fifty"),
    "names": ("short", "long"),
}
EVENTS = {
    "without arguments": "Ping()",
    "a name alone": "Shipped",
    "acronyms": "HTTPRequestSent(url: str, headers: dict[str, str] | None), S3ObjectStored, IOT(), EUTaxPaid, A, ABC",
    "twelve": str(saved_answers("many-events")["events"]),
    "longest names": "AAb" * 13
    + "A("
    + ", ".join(f"{'a' * 38}_{n}: dict[str, datetime] | None" for n in range(4))
    + ")",
    "fifty": ", ".join(f"Event{number}(number: int)" for number in range(50)),
}


def is_asked(row: Row, question: str) -> bool:
    """Return whether a question is asked at all, when the others were answered like this."""
    if question in {"s3_credentials", "archive"}:
        return row["storage"] != "redis-hash"
    return question != "web_api" or row["role"] != "consumer"


def core_rows() -> Iterator[Row]:
    """Yield every combination of the core, without answers to what is not asked."""
    seen: list[Row] = []
    for values in product(*CORE.values()):
        row = dict(zip(CORE, values, strict=True))
        asked = _asked(row)
        if asked not in seen:
            seen.append(asked)
            yield asked


def _asked(row: Row) -> Row:
    return {name: value for name, value in row.items() if is_asked(row, name)}


def pairs_of(row: Row) -> set[Pair]:
    """Return the pairs of values that a row brings together."""
    return {frozenset(pair) for pair in combinations(row.items(), 2)}


def every_row() -> list[Row]:
    """Return every combination of the core, each with those further values that bring most new pairs together."""
    seen: set[Pair] = set()
    rows: list[Row] = []
    further = [dict(zip(MORE, values, strict=True)) for values in product(*MORE.values())]
    for core in core_rows():
        row = max((_asked(core | more) for more in further), key=lambda each: len(pairs_of(each) - seen))
        seen |= pairs_of(row)
        rows.append(row)
    return rows


def pairwise(rows: Sequence[Row], questions: Iterable[str]) -> list[int]:
    """Return the indices of rows that together have each pair of values of these questions that occurs at all."""
    wanted = list(questions)
    pairs = [pairs_of({name: value for name, value in row.items() if name in wanted}) for row in rows]
    missing, chosen = set[Pair]().union(*pairs), list[int]()
    while missing:
        best = max(range(len(rows)), key=lambda place: len(pairs[place] & missing))
        missing -= pairs[best]
        chosen.append(best)
    return sorted(chosen)


def answers_of(row: Row, number: int) -> dict[str, object]:
    """Return a row as answers to the questions, with names that no other row has."""
    answers: dict[str, object] = {name: row[name] for name in ("role", "storage", "ci", "license")}
    answers |= {name: row[name] == "yes" for name in ("archive", "web_api", "telemetry") if name in row}
    answers["project_name"] = f"Matrix {number:02}"
    if row["names"] == "long":
        answers |= {"package_name": "p" * 38 + f"{number:02}", "contract_name": "C" * 38 + f"{number:02}"}
    if row["events"] in EVENTS:
        answers["events"] = EVENTS[row["events"]]
    if "s3_credentials" in row:
        answers["s3_credentials"] = row["s3_credentials"]
        answers["aws_region"] = "eu-central-1" if row["s3_credentials"] == "environment" else ""
    return answers
