"""Receives what processes send by OTLP over HTTP, and reports it."""

from __future__ import annotations

import gzip
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource


class Collector:
    """An OTLP receiver on a free loopback port: what came, by path and by the name of the service that sent it."""

    def __init__(self) -> None:
        """Listen."""
        self._lock = Lock()
        self._names: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._resources: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is given
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    def names(self, path: str, service: str) -> set[str]:
        """The names of the metrics or spans that a service has sent to a path."""
        with self._lock:
            return set(self._names[path, service])

    def sent(self, path: str) -> set[str]:
        """The names of the metrics or spans that any service has sent to a path."""
        with self._lock:
            return set[str]().union(*(names for (to, _), names in self._names.items() if to == path))

    def resources(self) -> list[dict[str, str]]:
        """What each request said about its sender."""
        with self._lock:
            return list(self._resources)

    def take(self, path: str, body: bytes) -> None:
        """Record what has come."""
        if path.endswith("/metrics"):
            for each in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self._note(
                    path, each.resource, {metric.name for scope in each.scope_metrics for metric in scope.metrics}
                )
        else:
            for spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                self._note(path, spans.resource, {span.name for scope in spans.scope_spans for span in scope.spans})

    def _note(self, path: str, resource: Resource, names: set[str]) -> None:
        attributes = {each.key: each.value.string_value for each in resource.attributes}
        assert attributes["service.instance.id"], "two processes of one service would send the same series"
        with self._lock:
            self._names[path, attributes["service.name"]] |= names
            self._resources.append(attributes)
