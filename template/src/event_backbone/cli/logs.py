"""Logs of the commands that run until they are stopped, for projects that do not configure their own."""

from __future__ import annotations

import logging
import time
from enum import StrEnum

from event_backbone.logs import worker_number


class LogLevel(StrEnum):
    """The least severe level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        """The level as ``logging`` counts it."""
        return logging.getLevelNamesMapping()[self.upper()]


def configure_logging(level: int) -> None:
    """Log one line an entry to the standard error, times in UTC; what was configured before stays as it is."""
    number = worker_number()
    which = "" if number is None else f" [worker {number}]"
    formatter = logging.Formatter(f"%(asctime)s %(levelname)s %(name)s: %(message)s{which}")
    formatter.converter = time.gmtime
    formatter.default_time_format, formatter.default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"
    output = logging.StreamHandler()
    output.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[output])
