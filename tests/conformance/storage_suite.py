"""What every payload storage does, whatever keeps the payloads. A test module makes a case and inherits the suite."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import pytest

from event_backbone.connection import RedisConnection
from event_backbone.errors import PayloadErased, PayloadGone, StorageError, StorageMissing
from event_backbone.model import HashWrite, Payload, PayloadReference, StreamName, new_event_id
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.loading import collect_event_payloads
from tests.support.records import missing_reference, record_of

References = tuple[PayloadReference, ...]

PAYLOAD: Payload = {"email": b'"ann@example.org"', "product_id": b"7", "time": b'"2026-11-23T06:00:00Z"'}
PAYLOADS: dict[str, Payload] = {
    "ordinary": PAYLOAD,
    "no arguments": {},
    "empty values": {"email": b'""', "tags": b"[]", "user": b"{}", "note": b"null"},
    "unicode": {"größe": '"für Zoë, 漢字 🚚"'.encode(), "имя": b'"\\u0000 \\ud83d\\ude9a \\"quoted\\" \\\\"'},
    "nested": {"user": b'{"email":{"email":"}],[{"},"list":[1,[2,{"a":[]}]]}', "price": b"12.500", "big": b"1e400"},
    "binary as base64": {"blob": json.dumps("AP8A/w==" * 100).encode()},
    "a mebibyte": {"blob": b'"' + b"x" * (1 << 20) + b'"', "id": b"1"},
}


async def _nobody_looks(location: str) -> bytes | None:
    raise NotImplementedError


async def _nobody_removes(location: str) -> None:
    raise NotImplementedError


@dataclass
class StorageCase:
    """A storage, and how a person looks at what it keeps, with independent clients."""

    storage: Storage
    redis: RedisConnection | None = None
    look: Callable[[str], Awaitable[bytes | None]] = _nobody_looks
    remove: Callable[[str], Awaitable[None]] = _nobody_removes

    def scope(self, uri: str = "shipments", environment: str = "dev") -> StorageScope:
        """The scope of a stream."""
        return StorageScope(StreamName.of(uri, environment), self.redis)

    async def save(
        self, payload: Payload, *, scope: StorageScope | None = None, event_id: UUID | None = None
    ) -> References:
        """Save, and write what is to be written with the entry as the stream would."""
        scope = scope or self.scope()
        saved = await self.storage.save(scope, record_of(payload, event_id))
        for write in saved.writes:
            await self._write(scope, write)
        return saved.references

    async def load(self, *events: References, scope: StorageScope | None = None) -> list[Payload | StorageError]:
        """Load events as readers do."""
        return await collect_event_payloads(scope or self.scope(), self.storage.readable(), events)

    async def load_one(self, event: References, *, scope: StorageScope | None = None) -> Payload | StorageError:
        """Load one event."""
        (answer,) = await self.load(event, scope=scope)
        return answer

    def locations(self, references: References) -> list[str]:
        """Where an event's payload is."""
        return [self.storage.location(self.scope(), reference) for reference in references]

    async def _write(self, scope: StorageScope, write: HashWrite) -> None:
        assert self.redis is not None
        key = scope.stream.key_of(write.purpose)
        await self.redis.command("HSET", key, *(part for pair in write.fields.items() for part in pair))
        if write.expires_after is not None:
            await self.redis.command("PEXPIRE", key, round(write.expires_after.total_seconds() * 1000))


class StorageSuite:
    """The guarantees of ``storage.base.Storage``."""

    @pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
    async def test_what_comes_back_is_what_went_in(self, case: StorageCase, payload: Payload) -> None:
        """Byte for byte, whatever the arguments are named and contain; an event without arguments is not missing."""
        assert await case.load_one(await case.save(payload)) == payload

    async def test_saving_again_is_possible(self, case: StorageCase) -> None:
        """A producer that lost the answer saves again; both references lead to the payload."""
        event_id = new_event_id()
        for references in [await case.save(PAYLOAD, event_id=event_id) for _ in range(2)]:
            assert await case.load_one(references) == PAYLOAD

    async def test_two_that_save_one_event_at_the_same_time_both_succeed(self, case: StorageCase) -> None:
        """Also when both begin before either has ended."""
        event_id = new_event_id()
        saved = await asyncio.gather(*(case.save(PAYLOAD, event_id=event_id) for _ in range(2)))
        assert await case.load(*saved) == [PAYLOAD, PAYLOAD]

    async def test_what_was_never_saved_is_gone(self, case: StorageCase) -> None:
        """A typed outcome, never an empty payload, where others were saved."""
        await case.save(PAYLOAD)
        references = tuple(missing_reference(name) for name in case.storage.readable())
        assert isinstance(await case.load_one(references), PayloadGone)

    async def test_what_was_erased_is_reported_as_erased(self, case: StorageCase) -> None:
        """Erasing may be repeated, and other events keep their payloads."""
        references, other = await case.save(PAYLOAD), await case.save(PAYLOAD)
        for _ in range(2):
            await case.storage.erase(case.scope(), references)
            assert isinstance(await case.load_one(references), PayloadErased)
        assert await case.load_one(other) == PAYLOAD

    async def test_many_are_saved_and_loaded_at_once_and_in_order(self, case: StorageCase) -> None:
        """As producers and consumers with a full batch do."""
        payloads: list[Payload] = [{**PAYLOAD, "product_id": str(number).encode()} for number in range(80)]
        references = await asyncio.gather(*(case.save(payload) for payload in payloads))
        assert await case.load(*references) == payloads

    async def test_each_is_handed_over_exactly_once(self, case: StorageCase) -> None:
        """Also one that is asked for twice, and ones that are not there."""
        references = [*await case.save(PAYLOAD), *await case.save(PAYLOAD)]
        references += [missing_reference(reference.storage) for reference in references]
        references += references[:1]
        found: list[tuple[int, Payload | StorageError]] = []
        await case.storage.load(case.scope(), references, found.extend)
        assert sorted(place for place, _ in found) == list(range(len(references)))

    async def test_one_bad_payload_does_not_spoil_the_others(self, case: StorageCase) -> None:
        """Each event of a batch has its own outcome; asking for one twice is fine."""
        first, erased, last = [await case.save(PAYLOAD) for _ in range(3)]
        await case.storage.erase(case.scope(), erased)
        gone = tuple(missing_reference(reference.storage) for reference in first)
        unknown = (missing_reference("elsewhere"),)
        answers = await case.load(first, gone, erased, unknown, last, first)
        assert [answer if isinstance(answer, dict) else type(answer) for answer in answers] == [
            PAYLOAD,
            PayloadGone,
            PayloadErased,
            StorageMissing,
            PAYLOAD,
            PAYLOAD,
        ]
        assert "'elsewhere'" in str(answers[3])

    async def test_streams_and_environments_do_not_see_each_others_payloads(self, case: StorageCase) -> None:
        """Not even under one event id; URIs may look like folders."""
        event_id = new_event_id()
        scopes = [
            case.scope(uri, environment)
            for uri, environment in [
                ("orders", "dev"),
                ("orders", "prod"),
                ("orders/eu", "dev"),
                ("orders.eu", "dev"),
                ("orders", ""),
                ("a:b", "dev"),
            ]
        ]
        payloads: list[Payload] = [{"n": str(number).encode()} for number in range(len(scopes))]
        references = [
            await case.save(payload, scope=scope, event_id=event_id)
            for scope, payload in zip(scopes, payloads, strict=True)
        ]
        found = [await case.load_one(each, scope=scope) for scope, each in zip(scopes, references, strict=True)]
        assert found == payloads
        assert isinstance(await case.load_one(references[0], scope=case.scope("never-used")), PayloadGone)

    async def test_references_name_what_reads_them(self, case: StorageCase) -> None:
        """Every process that is given the storage finds the payload by the reference's name."""
        references = await case.save(PAYLOAD)
        assert {reference.storage for reference in references} <= set(case.storage.readable())

    async def test_after_close_it_opens_again(self, case: StorageCase) -> None:
        """Closing may be repeated, too."""
        references = await case.save(PAYLOAD)
        for _ in range(2):
            await case.storage.close()
        assert await case.load_one(references) == PAYLOAD

    async def test_the_check_passes_when_all_is_well(self, case: StorageCase) -> None:
        """Again and again, as a readiness probe asks."""
        for _ in range(2):
            await case.storage.check(case.scope())


class ByIdSuite:
    """Of storages that keep payloads by an id, and save before the entry is appended."""

    async def test_the_first_payload_under_an_event_id_stays(self, case: StorageCase) -> None:
        """Whichever of two producers appends the entry, it refers to the same payload."""
        event_id = new_event_id()
        references = await case.save(PAYLOAD, event_id=event_id)
        assert await case.save({**PAYLOAD, "email": b'"bob@example.org"'}, event_id=event_id) == references
        assert await case.load_one(references) == PAYLOAD

    async def test_what_was_erased_cannot_be_saved_again(self, case: StorageCase) -> None:
        """A late repetition does not bring personal data back."""
        event_id = new_event_id()
        references = await case.save(PAYLOAD, event_id=event_id)
        await case.storage.erase(case.scope(), references)
        assert await case.save(PAYLOAD, event_id=event_id) == references
        assert isinstance(await case.load_one(references), PayloadErased)


class VisibleSuite:
    """Of storages that a person can look into with an independent client."""

    async def test_what_was_deleted_by_hand_is_gone(self, case: StorageCase) -> None:
        """Likewise; a cache may keep the payload for a while."""
        references = await case.save(PAYLOAD)
        for location in case.locations(references):
            await case.remove(location)
        assert isinstance(await case.load_one(references), PayloadGone)

    async def test_nothing_of_an_erased_payload_is_left(self, case: StorageCase) -> None:
        """A tombstone contains no value of any argument."""
        references = await case.save(PAYLOAD)
        await case.storage.erase(case.scope(), references)
        for location in case.locations(references):
            assert b"ann@example.org" not in (await case.look(location) or b"")

    async def test_the_location_is_where_the_payload_is(self, case: StorageCase) -> None:
        """A person finds it there with an independent client."""
        references = await case.save(PAYLOAD)
        found = [await case.look(location) for location in case.locations(references)]
        everything = b"".join(content or b"" for content in found)
        assert None not in found
        assert all(value in everything for value in PAYLOAD.values())
