"""Packs of several events, for several callers, in an S3 that fails, lies or loses answers."""

import asyncio

import pytest

from event_backbone.errors import ConfigurationError, PayloadErased, StorageUnavailable
from event_backbone.model import Payload
from event_backbone.storage import S3Options, S3Storage
from tests.conformance.storage_suite import References, StorageCase
from tests.support.faulty_s3 import Choice, FaultyS3, Page, Refusal

EVENTS = 20
PAYLOADS: list[Payload] = [
    {"number": str(number).encode(), "note": b'"' + b"x" * number + b'"'} for number in range(EVENTS)
]

FOREIGN = [Page(403), Page(404, b"")]
"""Answers of what is between us and S3."""

ON_SAVE: list[Choice] = [
    Refusal(503, "SlowDown"),
    Refusal(500, "InternalError"),
    Refusal(400, "BadDigest"),
    Refusal(409, "ConditionalRequestConflict"),
    "lose the request",
    "lose the answer",
    *FOREIGN,
]
ON_LOAD: list[Choice] = [
    Refusal(503, "SlowDown"),
    Refusal(500, "InternalError"),
    "lose the request",
    "lose the answer",
    "cut the body",
    "shorten the body",
    "spoil the body",
    *FOREIGN,
]


async def save_all(case: StorageCase) -> list[References]:
    """Save all payloads at the same time, each for another caller."""
    return list(await asyncio.gather(*(case.save(payload) for payload in PAYLOADS)))


@pytest.fixture
async def saved(case: StorageCase, server: FaultyS3) -> list[References]:
    """What one pack has, which another storage wrote."""
    saved = await save_all(case)
    assert len(server.packs) == 1
    server.requests.clear()
    return saved


@pytest.mark.parametrize("fault", ON_SAVE, ids=str)
async def test_a_pack_that_fails_at_first_is_saved_once_for_all_its_callers(
    case: StorageCase, fresh: StorageCase, server: FaultyS3, fault: Choice
) -> None:
    """Twice, marker and pack alike; each caller's reference leads to its own payload."""
    await case.storage.check(case.scope())
    server.fail(fault, 2)
    references = await save_all(case)
    assert len(server.packs) == 1
    assert len(set(references)) == EVENTS
    assert await fresh.load(*references) == PAYLOADS


@pytest.mark.parametrize("fault", ON_LOAD, ids=str)
async def test_each_event_of_a_pack_gets_its_own_payload_whatever_the_first_answer_is(
    saved: list[References], fresh: StorageCase, options: S3Options, server: FaultyS3, fault: Choice
) -> None:
    """Of a whole pack for several readers, and of a single line."""
    server.fail(fault)
    found = await asyncio.gather(*(fresh.load(*saved[first::2]) for first in (0, 1)))
    assert found == [PAYLOADS[0::2], PAYLOADS[1::2]]
    alone = StorageCase(S3Storage(options))
    server.fail(fault)
    assert await alone.load_one(saved[7]) == PAYLOADS[7]


async def test_each_caller_of_a_pack_that_cannot_be_saved_is_told_so(case: StorageCase, server: FaultyS3) -> None:
    """Each with a separate error; saving again is a new pack, and what may have been written disturbs nobody."""
    await case.storage.check(case.scope())
    server.fail("lose the answer")
    server.fail(Refusal(503, "SlowDown"), 2)
    answers = await asyncio.gather(*(case.save(payload) for payload in PAYLOADS), return_exceptions=True)
    assert {type(answer) for answer in answers} == {StorageUnavailable}
    assert len({id(answer) for answer in answers}) == EVENTS
    references = await save_all(case)
    assert len(server.packs) == 2
    assert await case.load(*references) == PAYLOADS


async def test_a_bucket_that_is_gone_and_comes_back_has_lost_nothing(
    saved: list[References], case: StorageCase, fresh: StorageCase, options: S3Options, server: FaultyS3
) -> None:
    """Meanwhile a save is refused and a load waits; the same when it comes back empty, until its objects are there."""
    objects = dict(server.objects)
    server.has_bucket = False
    with pytest.raises(ConfigurationError, match="bucket events does not exist"):
        await case.save(PAYLOADS[0])
    assert {type(answer) for answer in await fresh.load(*saved)} == {StorageUnavailable}
    server.has_bucket = True
    server.objects.clear()
    assert {type(answer) for answer in await fresh.load(*saved)} == {StorageUnavailable}
    new = await case.save(PAYLOADS[0])
    server.objects.update(objects)
    later = StorageCase(S3Storage(options))
    assert await later.load(*saved, new) == [*PAYLOADS, PAYLOADS[0]]


@pytest.mark.parametrize("fault", ON_LOAD, ids=str)
async def test_erasing_one_line_never_harms_another(
    saved: list[References], fresh: StorageCase, server: FaultyS3, fault: Choice
) -> None:
    """The pack is written again as it was read, so half a pack must not be taken for the whole."""
    server.fail(fault)
    await fresh.storage.erase(fresh.scope(), saved[0])
    answers = await fresh.load(*saved)
    assert isinstance(answers[0], PayloadErased)
    assert answers[1:] == PAYLOADS[1:]
