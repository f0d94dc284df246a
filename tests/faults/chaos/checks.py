"""What must be true after every round of chaos, whatever happened in it."""

from collections import Counter

from tests.faults.chaos.chaos_round import Outcome
from tests.faults.chaos.characters import MEANT_TO_DIE, STOPS_ALL, character

_ENDS_OF_A_CRASHED_EVENT = 2
_UNEXPLAINED_SHARE = 0.2
"""This many may be handled again although no worker of theirs was disturbed: the server's faults delay their acks."""
_OFTEN = 6
"""More often no event is handled, whatever befell its workers, unless it is the one that stops them."""


def problems_of(outcome: Outcome) -> list[str]:
    """Return what is wrong, one sentence each; nothing when all promises were kept."""
    problems = [*outcome.problems, *outcome.callers.problems]
    problems += [problem for place in outcome.places for problem in place.problems]
    return problems + _of_the_stream(outcome) + _of_handling(outcome) + _of_dead_letters(outcome)


def summary(outcome: Outcome) -> str:
    """Return what happened in one line."""
    callers, again = outcome.callers, _handled_again(outcome)
    most = [f"{number} ({character(outcome.seed, number)}) {times}" for number, times in again.most_common(2)]
    return (
        f"seed {outcome.seed}: {len(callers.acknowledged)} acknowledged, {len(callers.unknown)} unknown, "
        f"{len(callers.refused)} refused {dict(Counter(callers.refused.values()))}, "
        f"{len(outcome.dead)} dead letters, {again.total()} handled again "
        f"({_unexplained(outcome).total()} without a reason; most often {most}), "
        f"the slowest stop took {max(place.slowest_stop_seconds for place in outcome.places):.1f} s, "
        f"settled after {outcome.settled_after_seconds:.1f} s; faults: {', '.join(outcome.faults)}"
    )


def _of_the_stream(outcome: Outcome) -> list[str]:
    callers, stored = outcome.callers, dict(outcome.stored)
    times = Counter(stored.values())
    lost = {n for n, key in callers.acknowledged.items() if stored.get(key) != n}
    problems = [f"acknowledged and not in the stream under its key: {number}" for number in sorted(lost)]
    problems += [f"in the stream {count} times: {number}" for number, count in times.items() if count > 1]
    problems += [f"reported as {name} and yet in the stream: {n}" for n, name in callers.refused.items() if n in times]
    return problems


def _of_handling(outcome: Outcome) -> list[str]:
    done, dead = _count(outcome, "done"), {key for key, _ in outcome.dead}
    problems = [
        f"neither handled nor a dead letter: {number} ({character(outcome.seed, number)})"
        for key, number in outcome.stored
        if number not in done and key not in dead
    ]
    problems += [
        f"handled {times} times: {number}"
        for number, times in done.items()
        if times > _OFTEN and character(outcome.seed, number) != STOPS_ALL
    ]
    unexplained = _unexplained(outcome)
    if unexplained.total() > _UNEXPLAINED_SHARE * len(outcome.stored):
        problems.append(f"handled again without a reason: {unexplained.total()} of {len(outcome.stored)}")
    return problems


def _handled_again(outcome: Outcome) -> Counter[int]:
    """Return how often each number was handled successfully after its first time."""
    return _count(outcome, "done") - Counter(_count(outcome, "done").keys())


def _unexplained(outcome: Outcome) -> Counter[int]:
    """Return what neither the group's new beginning explains, nor the ends of workers that had begun it."""
    again = _handled_again(outcome)
    return again - Counter(again.keys()) - _ends(outcome)


def _ends(outcome: Outcome) -> Counter[int]:
    """Return how many workers that were killed, frozen or blocked had begun each number."""
    ends = Counter[int]()
    for place in outcome.places:
        ends += place.begun_before_a_disturbance(lambda number: character(outcome.seed, number) == STOPS_ALL)
    return ends


def _of_dead_letters(outcome: Outcome) -> list[str]:
    """Find dead letters whose reason is neither their own nor having been in flight at several unexplained ends."""
    numbers, ends = dict(outcome.stored), _ends(outcome)
    problems: list[str] = []
    for key, reason in outcome.dead:
        number = numbers.get(key)
        if number is None:
            problems.append(f"a dead letter of an event that is not in the stream: {key}")
            continue
        nature = character(outcome.seed, number)
        explained = reason == "crashed" and (ends[number] >= _ENDS_OF_A_CRASHED_EVENT or nature == STOPS_ALL)
        if reason != MEANT_TO_DIE.get(nature) and not explained:
            problems.append(f"a dead letter, {reason}, of an event that {nature}: {number}")
    return problems


def _count(outcome: Outcome, step: str) -> Counter[int]:
    counts = Counter[int]()
    for place in outcome.places:
        counts += place.count(step)
    return counts
