"""What the standard ``OTEL_*`` variables say about sending spans and metrics."""

from __future__ import annotations

import logging
import os

from event_backbone.errors import ConfigurationError

_log = logging.getLogger(__name__)


def configure_otlp(service_name: str) -> None:
    """Send spans and metrics to the collectors that the environment names; without one nothing is recorded.

    Spans go to OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, metrics to OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, and both otherwise
    to OTEL_EXPORTER_OTLP_ENDPOINT. OTEL_TRACES_EXPORTER or OTEL_METRICS_EXPORTER ``none`` leaves one of them out,
    OTEL_SDK_DISABLED ``true`` both. All other OTEL_* variables have their standard meaning.

    They are sent from threads, and once more when the process exits. A collector that does not answer delays that exit
    by a tenth of the time since this call, by 0.5 s at least and 1.5 s at most, and nothing else at any time. Call it
    once in a process, before anything is recorded. A forked process sends its own.

    Args:
        service_name: the service's name, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES has one.

    Raises:
        ConfigurationError: a collector is named, but the SDK is not installed.
    """
    traces, metrics = _wanted("TRACES"), _wanted("METRICS")
    if not traces and not metrics:
        return
    try:
        from event_backbone.otlp.export import start  # noqa: PLC0415 - a tenth of a second, for those who send
    except ImportError as error:
        raise ConfigurationError(
            "Install the Python packages opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http, "
            "or unset OTEL_EXPORTER_OTLP_ENDPOINT."
        ) from error
    start(service_name, traces=traces, metrics=metrics)


def _wanted(signal: str) -> bool:
    """Return whether a signal has a collector and is not switched off."""
    if _variable("OTEL_SDK_DISABLED").lower() == "true":
        return False
    if not (_variable(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or _variable("OTEL_EXPORTER_OTLP_ENDPOINT")):
        return False
    name = f"OTEL_{signal}_EXPORTER"
    exporters = {each.strip().lower() for each in (_variable(name) or "otlp").split(",")}
    if other := exporters - {"otlp", "none"}:
        _log.warning("%s has %s, which is ignored here: use otlp or none.", name, ", ".join(sorted(other)))
    return "otlp" in exporters


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip()
