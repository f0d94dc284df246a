"""Times that are produced have a zone; those that were stored before are read as they are."""

from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, AwareDatetime, Field, NaiveDatetime

from event_backbone.codec import ArgumentsCodec
from event_backbone.errors import ArgumentsInvalid, ContractError

NAIVE = datetime(2026, 5, 6, 12)  # noqa: DTZ001 - the subject
NOON = NAIVE.replace(tzinfo=UTC)
ZONED = Annotated[datetime, AfterValidator(lambda value: value.replace(tzinfo=UTC))]


def codec_for(annotation: object) -> ArgumentsCodec:
    """Return the codec of an event with one argument, ``time``."""

    def happened(self: object, time: object) -> None: ...

    happened.__annotations__["time"] = annotation
    return ArgumentsCodec(happened, event="happened")


@pytest.mark.parametrize(
    ("annotation", "naive", "text", "at"),
    [
        (datetime, NAIVE, '"2026-05-06T12:00:00"', ""),
        (AwareDatetime, NAIVE, '"2026-05-06T12:00:00"', ""),
        (datetime | None, NAIVE, '"2026-05-06T12:00:00"', ""),
        (list[datetime], [NOON, NAIVE], '["2026-05-06T12:00:00Z", "2026-05-06T12:00:00"]', " at 1"),
        (dict[str, list[datetime] | None], {"x": [NAIVE]}, '{"x": ["2026-05-06T12:00:00"]}', " at 0"),
        (Annotated[datetime, Field(description="When.")], NAIVE, '"2026-05-06T12:00:00"', ""),
    ],
)
def test_a_time_without_a_zone_is_not_produced(annotation: Any, naive: object, text: str, at: str) -> None:
    """By a call and as JSON of a request or a command, in one sentence; an event stored before is read as it was."""
    codec = codec_for(annotation)
    sentence = f"Argument 'time' of event 'happened'{at} must have a time zone, such as datetime.now"
    with pytest.raises(ArgumentsInvalid) as refused:
        codec.encode((naive,), {})
    assert str(refused.value).startswith(sentence)
    with pytest.raises(ArgumentsInvalid) as refused:
        codec.parse(f'{{"time": {text}}}')
    assert str(refused.value).startswith(sentence)
    if annotation is not AwareDatetime:
        assert codec.decode({"time": text.encode()}) == {"time": naive}


def test_a_default_without_a_zone_is_found_when_the_contract_is_checked() -> None:
    """Not by the first call that leaves it out."""

    def happened(self: object, time: datetime = NAIVE) -> None: ...

    with pytest.raises(ContractError, match="default of argument 'time' of event 'happened' does not fit"):
        ArgumentsCodec(happened, event="happened").check()


@pytest.mark.parametrize(("annotation", "written"), [(NaiveDatetime, "12:00:00"), (ZONED, "12:00:00Z")])
def test_a_contract_may_ask_for_times_without_a_zone(annotation: Any, written: str) -> None:
    """For the time on a clock in a shop; or add the zone itself."""
    payload = codec_for(annotation).encode((NAIVE,), {})
    assert payload == {"time": f'"2026-05-06T{written}"'.encode()}
