"""The checker of histories finds each kind of broken promise, and nothing in a history that keeps them."""

from collections import Counter
from uuid import UUID

import pytest

from event_backbone.errors import ConfigurationError, NotSent, OutcomeUnknown
from event_backbone.model import EventKey, new_event_id
from tests.support.history import History, Stored, Told, judge

A, B, C, D = (new_event_id() for _ in range(4))
KEYS = {A: EventKey(1), B: EventKey(2), C: EventKey(3)}
STREAM = [Stored(key, event_id) for event_id, key in KEYS.items()]


async def history(*calls: tuple[UUID, Told]) -> History:
    """Return what one producer was told, where one group has handled A, B and C."""
    made = History(handled={"group": Counter([A, B, B, C])})
    for event_id, told in calls:

        async def end(told: Told = told) -> EventKey:
            if isinstance(told, EventKey):
                return told
            raise told(A, "no answer") if told is OutcomeUnknown else told("refused")

        await made.call("producer", event_id, end)
    return made


async def test_a_history_that_keeps_all_promises_has_no_problems() -> None:
    """Outcomes in doubt may be there or not, and calls that were not sent are not; handling twice is allowed."""
    made = await history(
        (A, KEYS[A]), (B, OutcomeUnknown), (D, OutcomeUnknown), (new_event_id(), NotSent), (C, KEYS[C])
    )
    assert judge(made, STREAM).problems() == {}
    assert made.acknowledged == {A: KEYS[A], C: KEYS[C]}
    assert (made.count(NotSent), made.count(OutcomeUnknown)) == (1, 2)


@pytest.mark.parametrize(
    ("calls", "there", "problems"),
    [
        pytest.param([(D, EventKey(4))], STREAM, {"lost": {D}}, id="lost"),
        pytest.param([(A, EventKey(9))], STREAM, {"moved": {A}}, id="under another key"),
        pytest.param([(A, KEYS[A])], [*STREAM, Stored(EventKey(4), A)], {"twice": {A}}, id="twice"),
        pytest.param([], [*STREAM, Stored(EventKey(4), D)], {"unhandled by group": {D}}, id="never handled"),
        pytest.param([(A, NotSent)], STREAM, {"denied": {A}}, id="told that it was not sent"),
        pytest.param([(C, KEYS[C]), (B, KEYS[B])], STREAM, {"disordered": {B}}, id="out of order"),
        pytest.param([(D, ConfigurationError)], STREAM, {"unexpected": {"ConfigurationError": 1}}, id="another error"),
    ],
)
async def test_each_kind_of_broken_promise_is_found(
    calls: list[tuple[UUID, Told]], there: list[Stored], problems: dict[str, object]
) -> None:
    """And only that kind."""
    assert judge(await history(*calls), there).problems() == problems


async def test_a_repeated_call_counts_with_all_it_was_told() -> None:
    """An event that was in doubt once may be there, whatever was told later; a dead letter needs no handling."""
    made = await history((A, OutcomeUnknown), (A, NotSent))
    assert judge(made, [*STREAM, Stored(EventKey(4), D)], finished=[D]).problems() == {}
