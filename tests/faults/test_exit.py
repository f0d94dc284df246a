"""A process that has used S3 ends with its intended exit code."""

import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROCESSES = 64
SAVE_AND_END = """
import asyncio

from event_backbone.model import StreamName
from event_backbone.storage import S3Storage, StorageScope
from tests.support.records import record_of

scope = StorageScope(StreamName.of("parcels", "test"))
asyncio.run(S3Storage().save(scope, record_of({"weight": b"1"})))
"""


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_process_that_ends_right_after_s3_answered_is_not_aborted(s3_environment: dict[str, str]) -> None:
    """Threads of obstore still run then. Without care they abort some processes on a busy machine."""
    environment = os.environ | s3_environment | {"PYTHONPATH": f"{ROOT / 'template/src'}{os.pathsep}{ROOT}"}

    def end(_number: int) -> int:
        return subprocess.run([sys.executable, "-c", SAVE_AND_END], env=environment, check=False).returncode

    with ThreadPoolExecutor(max_workers=4) as together:
        assert Counter(together.map(end, range(PROCESSES))) == {0: PROCESSES}
