"""How far a command is: a bar on the standard error of a terminal, else a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_EVERY = timedelta(seconds=10).total_seconds()


class ProgressBar:
    """Shows one step after another. Steps are told apart by their names."""

    def __init__(self, progress: Progress | None) -> None:
        """Show steps in ``progress``, or without one as lines."""
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._written_at = monotonic()

    def show(self, step: str, done: int, total: int | None = None, *, place: str = "") -> None:
        """Show that ``done`` of ``total`` (None: unknown) are done in this step, and at which place it is."""
        text = f"{step}, at {place}" if place else step
        if self._progress is not None:
            if step not in self._tasks:
                self._tasks[step] = self._progress.add_task(text, total=total)
            self._progress.update(self._tasks[step], description=text, completed=done, total=total)
        elif monotonic() - self._written_at > _LINE_EVERY:
            self._written_at = monotonic()
            sys.stderr.write(f"{text}: {done:,}{'' if total is None else f' of {total:,}'}\n")


@contextmanager
def progress_bar() -> Generator[ProgressBar]:
    """Show progress on the standard error within this context."""
    if not sys.stderr.isatty():
        yield ProgressBar(None)
        return
    from rich.console import Console  # noqa: PLC0415 - costs more to import than most commands take
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # The standard output is left alone: Progress would write to the terminal what is meant for a file.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        yield ProgressBar(progress)
