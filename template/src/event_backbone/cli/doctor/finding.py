"""The result of one check: a line of the doctor's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, how it is, and, unless it is fine, what to do."""

    level: Level
    subject: str
    text: str


def ok(subject: str, text: str) -> Finding:
    """Report something that is fine."""
    return Finding("ok", subject, text)


def warn(subject: str, text: str) -> Finding:
    """Report something that works now but may fail one day."""
    return Finding("warn", subject, text)


def fail(subject: str, text: str) -> Finding:
    """Report something that does not work, or loses events."""
    return Finding("fail", subject, text)
