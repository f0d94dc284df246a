"""Runs moto's S3 over HTTP on a socket inherited from `s3_server.py`; a script, never imported."""

import sys
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any

from moto.moto_server import werkzeug_app as moto  # pyright: ignore[reportMissingTypeStubs]
from werkzeug.serving import make_server

_Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def one_write_at_a_time(application: _Application) -> _Application:
    """Make conditional writes atomic: moto looks whether an object exists, and writes it, in two steps."""
    lock = Lock()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "PUT":
            return application(environ, start_response)
        with lock:
            return application(environ, start_response)

    return answer


def main() -> None:
    """Serve until ended."""
    host, port, listener = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    application = one_write_at_a_time(moto.DomainDispatcherApplication(moto.create_backend_app))
    server = make_server(host, port, application, threaded=True, request_handler=moto.MotoRequestHandler, fd=listener)
    server.serve_forever()


if __name__ == "__main__":
    main()
