"""`demo`: the whole way of every event, on servers and processes of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.errors import run_async

if TYPE_CHECKING:
    from event_backbone.cli.project import Project


def add_to(cli: typer.Typer, project: Project) -> None:
    """Add the command, and the hidden one that is its producer process."""

    @cli.command()
    def demo() -> None:
        """Start servers, a worker and a producer, send every event, and show what arrived."""
        from event_backbone.cli.demo.run import run_demo  # noqa: PLC0415 - brings the servers, which may be missing

        run_async(run_demo(project))

    @cli.command("_send-every-event", hidden=True)
    def send(journal: Annotated[int, typer.Option()]) -> None:
        """Send every event of the contract once, and tell the demo."""
        from event_backbone.cli.demo.producer import send_every_event  # noqa: PLC0415 - as above

        run_async(send_every_event(project, journal))

    del demo, send
