"""The words of the project: the glossary's are used, and those that have gone stay away.

CONTRIBUTING.md has the style; its section "Style" may quote what to avoid.
"""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.repository import ROOT, text_files

GONE = {
    # names, and the field's words that replaced them
    r"\b_?[Ff]lushers?\b": "batcher",
    r"\b_?[Ll]adders?\b": "backoff",
    r"\b(run_in_|_reading_)?[Ll]ane\b": "pipelined connection",
    r"\b_?[Aa]larms?\b(?! rules?)": "timeout",
    r"\b(the|of|no|has|have|leaves?|give) room\b": "capacity",
    r"\b_?ShortCircuit\b": "CircuitBreaker",
    r"\bPoison(Loop|ed)\b": "quarantine",
    r"\bDeliverer\b": "Handling",
    r"\bWatchLoop\b": "LagLoop",
    r"\berror_answers\b": "error_handlers",
    r"\bsubscription\.held\b": "in_flight",
    # English
    r"\banew\b": "again",
    r"\ball the same\b": "anyway",
    r"\bby chance\b": "at random",
    r"(\b|_)for[ _]ever\b": "forever",
    r"\b[Tt]wins?\b": "duplicate",
    r"\b[Mm]end\b": "repair",
    r"\bin hand\b": "in flight",
    r"\bof (its|their|ours) own\b(?! \w+s\b)": "its own, separate",
    r"(?<!here )\bis no (legal|valid|event|URI|bucket|number)\b": "is not a valid ...",
    r"\bno legal\b": "not a valid",
    r"\binside of\b": "inside",
    r"\belse than\b": "other than",
    r"\bbear being\b": "tolerate being",
    r"\bwithout a word\b": "unexplained",
    r"\bcould not be left in order\b": "did not leave cleanly",
    r"\bare set by themselves\b": "are set automatically",
    r"\btried again in\b": "will be retried in",
    r"\bfor good\b": "permanently",
    r"\bhand edits\b": "manual edits",
    r"\bWhich events are there\b": "What events do you have",
    r"\bwho (has|have) lost\b": "a consumer that lost",
    r"\bat hand\b": "available",
    r"\b(entry|event|payload|object|value)s? (lies|lie|stands|stand)\b": "is, are",
}
EXAMPLES = """
The flusher, the ladder, run_in_lane and _alarm; it has room. ShortCircuit, PoisonLoop, Deliverer, WatchLoop,
error_answers, subscription.held. It is made anew, acked all the same, picked by chance, for ever, a twin.
Mend what is in hand. Each has a place of its own. 'x' is no event key and no legal name; inside of a region,
something else than a payload. Handlers should bear being called twice.
It ended without a word and could not be left in order.
Both are set by themselves. It is tried again in 2 s, kept for good; hand edits are told. Which events are there?
Those who have lost it. None at hand.
The payload lies in S3.
"""
EXEMPT = {Path(__file__), ROOT / "includes" / "licenses" / "Apache-2.0.jinja"}


@cache
def _texts() -> dict[Path, str]:
    """Every text, without what quotes words that have gone."""
    texts = {path: path.read_text(encoding="utf-8") for path in text_files() if path not in EXEMPT}
    contributing = ROOT / "CONTRIBUTING.md"
    texts[contributing] = re.sub(r"(?ms)^## Style\n.*?(?=^## )", "", texts[contributing])
    return texts


@pytest.mark.parametrize("pattern", GONE)
def test_a_word_that_has_gone_stays_away(pattern: str) -> None:
    """In code, docs, messages and rendered files alike."""
    gone = re.compile(pattern)
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}" for path, text in _texts().items() for match in gone.finditer(text)
    ]
    assert not found, f"write {GONE[pattern]!r} instead"


def test_each_pattern_hits_what_it_is_meant_for() -> None:
    """The rule above would pass with a pattern that hits nothing."""
    assert [pattern for pattern in GONE if re.search(pattern, EXAMPLES) is None] == []
