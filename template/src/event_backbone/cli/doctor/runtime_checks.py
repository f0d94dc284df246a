"""Is the bundled runtime unmodified, and the only one?"""

from __future__ import annotations

from importlib.metadata import packages_distributions
from pathlib import Path

import event_backbone
from event_backbone.cli.doctor.finding import Finding, ok, warn
from event_backbone.manifest import edited_files

_SHOWN = 5


def check_runtime() -> list[Finding]:
    """Compare the bundled runtime with its manifest, and look for a second one in this environment."""
    folder = Path(event_backbone.__file__).parent
    findings = [_edited(edited_files(folder))]
    owners = sorted(set(packages_distributions().get("event_backbone", [])))
    if len(owners) > 1:
        text = f"{', '.join(owners)} each bring event_backbone; install each in its own environment."
        findings.append(warn("Runtime", text))
    return findings


def _edited(edited: list[str] | None) -> Finding:
    if edited is None:
        return ok("Runtime", "event_backbone has no manifest here, so manual edits cannot be detected")
    if not edited:
        return ok("Runtime", "event_backbone is as the template rendered it")
    names = ", ".join(edited[:_SHOWN]) + (f" and {len(edited) - _SHOWN} more" if len(edited) > _SHOWN else "")
    return warn(
        "Runtime", f"Edited by hand: {names}; copier update may conflict there. Move your changes to your own files."
    )
