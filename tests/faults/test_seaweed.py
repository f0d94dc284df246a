"""A real object store that refuses, stops, comes back and hangs."""

import asyncio
import os
import signal
import time
from dataclasses import replace

import pytest

from event_backbone.errors import ConfigurationError, StorageUnavailable
from event_backbone.model import new_event_id
from event_backbone.storage import (
    S3Storage,
)
from tests.conformance.storage_suite import PAYLOAD, StorageCase
from tests.support.eventually import eventually
from tests.support.seaweed import SeaweedServer, seaweed_options


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
