"""What is read of packs, how often, and that nobody is given another event's line. Time is virtual: nothing waits."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from event_backbone.errors import PayloadErased, PayloadGone, StorageError, StorageUnavailable
from event_backbone.model import Payload, PayloadReference, StreamName, new_event_id
from event_backbone.storage import StorageScope
from event_backbone.storage.s3 import S3Options
from event_backbone.storage.s3.keys import pack_key, pack_time
from event_backbone.storage.s3.object_store import ObjectStore
from event_backbone.storage.s3.pack_cache import KEPT_FOR
from event_backbone.storage.s3.pack_line import PackLine
from event_backbone.storage.s3.pack_reader import PackReader
from event_backbone.wire import erase_record, write_record
from tests.support.counting_store import CountingStore
from tests.support.records import record_of
from tests.support.virtual_time import run_in_virtual_time

OPTIONS = S3Options("events", environment_in="key")
STREAM = StreamName.of("shipments", "dev")
References = list[PayloadReference]


@dataclass
class Reading:
    """A store with packs, and a reader of it."""

    store: CountingStore = field(default_factory=lambda: CountingStore(latency=1))
    options: S3Options = OPTIONS
    kept_for: timedelta = KEPT_FOR
    calls: list[int] = field(default_factory=list[int])
    missing: StorageError | None = None

    def __post_init__(self) -> None:
        self.reader = PackReader(self.options, self._explain_missing, kept_for=self.kept_for)

    async def _explain_missing(
        self, objects: ObjectStore, environment: str, key: str, written_at: float | None, error: PayloadGone
    ) -> StorageError:
        assert objects is self.store
        assert (environment, key[-6:], written_at) == ("dev", ".jsonl", pack_time(key))
        self.calls.append(0)
        return self.missing or error

    def put(self, *payloads: Payload) -> References:
        """Put a pack of these payloads into the store."""
        pack_id, pack, references = new_event_id().hex, b"", References()
        for payload in payloads:
            record = record_of(payload)
            line = write_record(record, STREAM)
            place = PackLine(pack_id, len(pack), len(line))
            references.append(PayloadReference("s3", record.metadata.id_text, str(place)))
            pack += line + b"\n"
        self.store.objects[self.key(references[0])] = pack
        return references

    def put_numbers(self, count: int) -> References:
        """Put a pack of so many payloads into the store."""
        return self.put(*({"n": b"%d" % number} for number in range(count)))

    def key(self, reference: PayloadReference) -> str:
        """The object in which a line is."""
        return pack_key(OPTIONS, STREAM, PackLine.parse(reference.key).pack_id)

    def erase(self, reference: PayloadReference) -> None:
        """Erase a line as the storage does."""
        key, (_, first, length) = self.key(reference), PackLine.parse(reference.key)
        pack = self.store.objects[key]
        erased = erase_record(pack[first : first + length], reference.event_id, STREAM)
        self.store.objects[key] = pack[:first] + erased + pack[first + length :]
        self.reader.forget(key)

    async def load(self, *references: PayloadReference) -> list[Payload | StorageError]:
        """Load as the storage does, and note how many came with each call."""
        found: dict[int, Payload | StorageError] = {}

        def on_payloads(results: Iterable[tuple[int, Payload | StorageError]]) -> None:
            some = dict(results)
            assert not found.keys() & some.keys()
            self.calls.append(len(some))
            found.update(some)

        await self.reader.load(self.store, StorageScope(STREAM), references, on_payloads)
        return [found[position] for position in range(len(references))]

    def asked(self) -> tuple[int, int]:
        """How many whole packs and how many parts were read."""
        return self.store.reads, len(self.store.ranges)


def numbers(count: int, first: int = 0) -> list[Payload]:
    """What ``put_numbers`` has put there."""
    return [{"n": b"%d" % number} for number in range(first, first + count)]


def kinds(answers: Sequence[object]) -> list[type]:
    """Return the types of answers."""
    return [type(answer) for answer in answers]


def test_a_batch_reads_each_pack_once_and_is_called_back_once_for_it() -> None:
    """In whatever order the lines are wanted; the next batch finds the packs in the cache."""

    async def main() -> None:
        reading = Reading()
        first, second = reading.put_numbers(256), reading.put_numbers(3)
        answers = await reading.load(*second[::-1], *first, first[7])
        assert answers == [*numbers(3)[::-1], *numbers(256), {"n": b"7"}]
        assert (sorted(reading.calls), reading.asked()) == ([3, 257], (2, 0))
        assert await reading.load(*first[:100], second[0]) == [*numbers(100), {"n": b"0"}]
        assert reading.asked() == (2, 0)

    run_in_virtual_time(main())


@pytest.mark.parametrize(("cache_bytes", "asked"), [(32 << 20, (1, 1)), (0, (0, 9))])
def test_of_a_single_line_a_range_is_read_and_of_the_second_one_the_pack(
    cache_bytes: int, asked: tuple[int, int]
) -> None:
    """So whoever reads event by event asks twice; if nothing may be kept, whole packs would be read for one line."""

    async def main() -> None:
        reading = Reading(options=replace(OPTIONS, pack_cache_bytes=cache_bytes))
        references = reading.put_numbers(9)
        assert [await reading.load(each) for each in references] == [[each] for each in numbers(9)]
        assert reading.asked() == asked
        assert reading.store.ranges[0] == PackLine.parse(references[0].key)[1:]

    run_in_virtual_time(main())


def test_those_who_want_a_pack_at_the_same_time_share_one_request_and_none_ends_it_for_the_others() -> None:
    """It ends when nobody waits for it any more."""

    async def main() -> None:
        reading = Reading()
        references = reading.put_numbers(20)
        loads = [asyncio.create_task(reading.load(*references[n : n + 2])) for n in range(0, 20, 2)]
        loads.append(asyncio.create_task(reading.load(references[0])))
        await asyncio.sleep(0.5)
        assert reading.store.reading == 1
        loads.pop(0).cancel()
        assert [len(await load) for load in loads] == [2] * 9 + [1]
        assert reading.asked() == (1, 0)
        abandoned = [asyncio.create_task(reading.load(*reading.put_numbers(2))) for _ in range(2)]
        await asyncio.sleep(0.5)
        assert reading.store.reading == 2
        now = asyncio.get_running_loop().time()
        for load in abandoned:
            load.cancel()
        await asyncio.wait(abandoned)
        assert asyncio.get_running_loop().time() == now
        assert reading.store.reading == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_in_virtual_time(main())


def test_no_event_is_given_the_line_of_another() -> None:
    """Whatever a reference says; what is damaged in S3 is read once more, in one request, and spoils nothing else."""

    async def main() -> None:
        reading = Reading()
        one, two, three = reading.put_numbers(3)
        pack_id, offset, length = PackLine.parse(one.key)
        wrong = [
            one._replace(key=two.key),
            one._replace(key=str(PackLine(pack_id, offset + 1, length))),
            one._replace(key=str(PackLine(pack_id, offset, length - 1))),
            one._replace(key=str(PackLine(pack_id, 99_999, length))),
            one._replace(key=str(PackLine(pack_id, 0, 0))),
            one._replace(key="f" * 32 + "_0_10"),
            one._replace(key=one.event_id),
        ]
        answers = await reading.load(two, *wrong, three)
        assert kinds(answers[1:-1]) == [PayloadGone] * len(wrong)
        assert [answers[0], answers[-1]] == [{"n": b"1"}, {"n": b"2"}]
        assert "is damaged" in str(answers[1])
        assert reading.asked() == (1, 1)
        assert kinds([(await reading.load(each))[0] for each in wrong]) == [PayloadGone] * len(wrong)

    run_in_virtual_time(main())


def test_a_damaged_copy_is_not_believed() -> None:
    """S3 has the last word, and the copy goes."""

    async def main() -> None:
        reading = Reading()
        one, two, three = references = reading.put_numbers(3)
        key = reading.key(one)
        good = reading.store.objects[key]
        reading.store.objects[key] = b"?" * len(good)
        assert kinds(await reading.load(*references)) == [PayloadGone] * 3
        reading.store.objects[key] = good
        assert await reading.load(one, two) == numbers(2)
        assert await reading.load(one, three) == [{"n": b"0"}, {"n": b"2"}]
        assert reading.asked() == (2, 2)

    run_in_virtual_time(main())


def test_what_was_being_read_when_a_pack_changed_is_not_kept() -> None:
    """Whoever asks from then on asks S3, and does not join those who asked before."""

    async def main() -> None:
        reading = Reading()
        references = reading.put_numbers(2)
        earlier = asyncio.create_task(reading.load(*references))
        await asyncio.sleep(0.5)
        reading.erase(references[0])
        later = asyncio.create_task(reading.load(*references))
        assert await earlier == numbers(2)
        assert kinds(await reading.load(*references)) == kinds(await later) == [PayloadErased, dict]
        assert reading.asked() == (2, 0)

    run_in_virtual_time(main())


def test_the_cache_is_bounded_in_bytes_and_in_age() -> None:
    """The pack that came first goes first; a pack that is too large for it is read again each time."""

    async def main() -> None:
        reading = Reading(options=replace(OPTIONS, pack_cache_bytes=10_000))
        small = [reading.put({"a": b"0" * 900}, {"b": b"1"}) for _ in range(6)]
        for each in small:
            await reading.load(*each)
        assert reading.store.reads == 6
        for each in small[2:]:
            await reading.load(*each)
        assert reading.store.reads == 6
        await reading.load(*small[0])
        assert reading.store.reads == 7
        large = reading.put({"a": b"0" * 10_000}, {"b": b"1"})
        for _ in range(2):
            await reading.load(*large)
        assert reading.store.reads == 9
        too_old = Reading(kept_for=timedelta(0))
        references = too_old.put_numbers(2)
        for _ in range(2):
            await too_old.load(*references)
        assert too_old.store.reads == 2

    run_in_virtual_time(main())


def test_a_missing_pack_is_explained_once_for_all_its_lines() -> None:
    """Whether it is gone or S3 is away; other packs are called back for."""

    async def main() -> None:
        reading = Reading()
        there, gone = reading.put_numbers(2), reading.put_numbers(100)
        del reading.store.objects[reading.key(gone[0])]
        answers = await reading.load(*there, *gone)
        assert kinds(answers) == [dict] * 2 + [PayloadGone] * 100
        assert sorted(reading.calls) == [0, 2, 100]
        reading.missing = StorageUnavailable("The bucket was emptied.")
        assert kinds(await reading.load(*gone)) == [StorageUnavailable] * 100
        assert kinds(await reading.load(gone[0])) == [StorageUnavailable]

    run_in_virtual_time(main())
