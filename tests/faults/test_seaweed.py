"""A real object store that refuses, stops, comes back and hangs."""

import asyncio
import os
import signal
import time
from dataclasses import replace

import pytest

from event_backbone.errors import ConfigurationError, PayloadForbidden, StorageUnavailable
from event_backbone.model import PartialPayload, new_event_id
from event_backbone.storage import Part, S3Options, S3Storage, SplitStorage
from tests.conformance.storage_suite import PAYLOAD, StorageCase
from tests.support.eventually import eventually
from tests.support.seaweed import (
    GUEST_ACCESS_KEY,
    GUEST_BUCKET,
    GUEST_SECRET,
    SeaweedServer,
    seaweed_options,
)


class TestSeaweed:
    """A real object store."""

    async def test_wrong_credentials_stop_saving_and_let_loading_wait(self, seaweed: SeaweedServer) -> None:
        """Whatever is stored is still there when they are right again."""
        right = seaweed_options(seaweed)
        references = await StorageCase(S3Storage(right)).save(PAYLOAD)
        for wrong in (replace(right, secret_key="guessed"), replace(right, access_key="nobody")):
            case = StorageCase(S3Storage(wrong))
            with pytest.raises(ConfigurationError, match="does not know these credentials") as raised:
                await case.save(PAYLOAD)
            assert "guessed" not in str(raised.value)
            with pytest.raises(ConfigurationError, match="does not know these credentials"):
                await case.storage.check(case.scope())
            assert isinstance(await case.load_one(references), StorageUnavailable)

    async def test_a_program_without_the_credential_of_a_part_gets_the_rest(self, seaweed: SeaweedServer) -> None:
        """If the part is optional; else it is forbidden, as a policy may be corrected. It cannot save the part."""
        seaweed.create_bucket(GUEST_BUCKET)
        owner = seaweed_options(seaweed)
        guest = replace(owner, access_key=GUEST_ACCESS_KEY, secret_key=GUEST_SECRET)

        def case_of(options: S3Options, *, optional: bool = False) -> StorageCase:
            personal = S3Storage(replace(options, prefix="personal"), name="personal")
            part = Part(personal, optional=True) if optional else personal
            return StorageCase(SplitStorage(S3Storage(replace(options, bucket=GUEST_BUCKET)), {"email": part}))

        references = await case_of(owner).save(PAYLOAD)
        assert await case_of(owner, optional=True).load_one(references) == PAYLOAD
        reading = case_of(guest, optional=True)
        await reading.storage.check(reading.scope())
        rest = await reading.load_one(references)
        assert rest == {name: value for name, value in PAYLOAD.items() if name != "email"}
        assert isinstance(rest, PartialPayload)
        assert rest.states() == {"personal": "not-given"}
        assert isinstance(await case_of(guest).load_one(references), PayloadForbidden)
        with pytest.raises(ConfigurationError, match="S3 forbids writing to bucket"):
            await reading.save(PAYLOAD)

    async def test_of_many_who_save_one_event_all_succeed(self, seaweed: SeaweedServer) -> None:
        """Whichever of them appends the entry, its record is there."""
        case, event_id = StorageCase(S3Storage(seaweed_options(seaweed))), new_event_id()
        answers = await asyncio.gather(*(case.save(PAYLOAD, event_id=event_id) for _ in range(32)))
        assert await case.load(*answers) == [PAYLOAD] * 32

    async def test_a_server_that_comes_back_is_found_again(self, seaweed: SeaweedServer) -> None:
        """While it is down each call soon fails; afterwards the same storage works again."""
        case = StorageCase(S3Storage(seaweed_options(seaweed)))
        references = await case.save(PAYLOAD)
        seaweed.kill()
        with pytest.raises(StorageUnavailable, match="does not answer"):
            await case.save(PAYLOAD)
        assert isinstance(await case.load_one(references), StorageUnavailable)
        await asyncio.to_thread(seaweed.start)

        async def is_read() -> bool:
            return await case.load_one(references) == PAYLOAD

        async def is_saved() -> bool:
            try:
                await case.save(PAYLOAD)
            except StorageUnavailable:
                return False
            return True

        await eventually(is_read)
        await eventually(is_saved, within_seconds=60)  # it can write again later than it can read

    async def test_a_server_that_hangs_stops_nothing_else(self, seaweed: SeaweedServer) -> None:
        """Other tasks go on, and the call ends within its deadline."""
        case = StorageCase(S3Storage(seaweed_options(seaweed)))
        references = await case.save(PAYLOAD)
        os.kill(seaweed.pid, signal.SIGSTOP)
        # The signal takes effect after a while, and until then the server answers.
        await asyncio.to_thread(os.waitid, os.P_PID, seaweed.pid, os.WSTOPPED | os.WNOWAIT)
        try:
            started = time.monotonic()
            loading = asyncio.create_task(case.load_one(references))
            turns = 0
            while not loading.done():
                await asyncio.sleep(0.01)
                turns += 1
            assert isinstance(await loading, StorageUnavailable)
            assert time.monotonic() - started < 3.9
            assert turns > 50
        finally:
            os.kill(seaweed.pid, signal.SIGCONT)
