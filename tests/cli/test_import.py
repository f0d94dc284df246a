"""A contract or a handler that cannot work is found on import; every command says so in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import REPOSITORY

MODULE = """from event_backbone import Consumer, Context, Contract, event


class Shop(Contract):
    @event
    def packed(self, {argument}) -> None: ...


consumer = Consumer(Shop)


@consumer.on(Shop.packed)
async def packed(ctx: Context, number: int) -> None: ...
"""
RUN = "from event_backbone.cli import run; run('shop:cli')"


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("count: int", "The handler packed of Shop.packed must take (ctx, count), the argument names of the event."),
        ("number", "Argument 'number' of event 'packed' needs a type"),
    ],
)
def test_what_an_import_finds_wrong_is_one_sentence_with_its_place(
    argument: str, sentence: str, tmp_path: Path
) -> None:
    """Also for --help, since the command line is made of the project's contract."""
    (tmp_path / "shop.py").write_text(MODULE.format(argument=argument))
    path = os.pathsep.join((str(REPOSITORY / "template" / "src"), str(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-c", RUN, "--help"],
        env=os.environ | {"PYTHONPATH": path},
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
    assert "See shop.py:" in done.stderr
