"""What the doctor finds: one line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, how it is, and, unless it is well, what to do."""

    level: Level
    subject: str
    text: str


def ok(subject: str, text: str) -> Finding:
    """Find something well."""
    return Finding("ok", subject, text)


def warn(subject: str, text: str) -> Finding:
    """Find something that works today and may fail one day."""
    return Finding("warn", subject, text)


def fail(subject: str, text: str) -> Finding:
    """Find something that does not work, or loses events."""
    return Finding("fail", subject, text)
