"""`doctor`: check whether everything is set up, and say what to do if not."""

from __future__ import annotations

from typing import Annotated

import typer

from event_backbone.cli.doctor.examination import examine
from event_backbone.cli.errors import FAILED, run_async
from event_backbone.cli.output import print_json, print_table
from event_backbone.cli.project import project_of


def doctor(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Check settings, Redis, storage, archive, groups and the bundled runtime; exit code 1 when something fails."""
    findings = run_async(examine(project_of(ctx)))
    if as_json:
        for each in findings:
            print_json({"level": each.level, "subject": each.subject, "text": each.text})
    else:
        print_table("", ("", "Checked", "Result"), [(each.level, each.subject, each.text) for each in findings])
    if any(each.level == "fail" for each in findings):
        raise typer.Exit(FAILED)
