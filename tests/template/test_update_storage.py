"""A switch of storage leaves no event behind: what was produced before it is read and handled after it."""

from pathlib import Path

import pytest

from event_backbone.testing.servers import RedisServer, S3Server
from tests.template.rendering import commit, run_in
from tests.template.updating import NEWEST_START, NEXT, SHOP, History, conflicts, edit, update

HANDLER = "async def packing(ctx: Context[Services], id: int) -> None:\n"
HANDLE = """
import asyncio
import sys

from shop.bootstrap import open_backbone
from shop.settings import load_settings
from shop.worker import open_worker


async def handle(count: int) -> None:
    handled = asyncio.Queue()

    async def note(ctx, call_next):
        await call_next(ctx)
        handled.put_nowait(ctx.metadata.key)

    settings = load_settings()
    async with asyncio.timeout(30), open_backbone(settings, handle_interceptors=[note]) as backbone:
        async with open_worker(settings, backbone):
            for _ in range(count):
                print("handled", await handled.get())


asyncio.run(handle(int(sys.argv[1])))
"""


@NEWEST_START
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("redis-hash", "s3"),
        pytest.param("redis-hash", "s3-cached", marks=pytest.mark.long),
        pytest.param("s3", "s3-cached", marks=pytest.mark.long),
        pytest.param("s3-cached", "s3", marks=pytest.mark.long),
    ],
)
def test_events_from_before_a_switch_are_read_and_handled(
    history: History,
    redis_server: RedisServer,
    s3_server: S3Server,
    s3_bucket: str,
    start: str,
    before: str,
    after: str,
    tmp_path: Path,
) -> None:
    """Produced by the old project into its storage; read and handled by the new one, and so is what it produces."""
    redis_server.flush()
    variables = redis_server.environment() | s3_server.environment(s3_bucket) | {"EVENT_SOURCE_ENVIRONMENT": "test"}
    variables |= {"AWS_EC2_METADATA_DISABLED": "true"}
    project = history.project(tmp_path / "project", start, SHOP | {"storage": before})
    handlers = project / "src" / "shop" / "handlers.py"
    edit(handlers, (HANDLER, f'{HANDLER}    print("packing", id)  # noqa: T201\n'))
    commit(project, "Ours")
    old = _produce(project, 7, variables)

    update(project, NEXT, storage=after)
    assert not conflicts(project)
    new = _produce(project, 8, variables)

    read = run_in(project, "-m", "shop", "tail", "--no-follow", "--json", variables=variables)
    assert read.returncode == 0, read.stderr
    assert '"id":7' in read.stdout.replace(" ", "")
    script = tmp_path / "handle.py"
    script.write_text(HANDLE, encoding="utf-8")
    done = run_in(project, str(script), "2", variables=variables)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [f"handled {old}", f"handled {new}", "packing 7", "packing 8"]


def _produce(project: Path, number: int, variables: dict[str, str]) -> str:
    arguments = ("produce", "packing", "--json", f'{{"id": {number}}}')
    done = run_in(project, "-m", "shop", *arguments, variables=variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
