"""Runs moto's S3 over HTTP on a socket inherited from `s3_server.py`; a script, never imported."""

import sys

from moto.moto_server import werkzeug_app as moto  # pyright: ignore[reportMissingTypeStubs]
from werkzeug.serving import make_server


def main() -> None:
    """Serve until ended."""
    host, port, listener = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    application = moto.DomainDispatcherApplication(moto.create_backend_app)
    server = make_server(host, port, application, threaded=True, request_handler=moto.MotoRequestHandler, fd=listener)
    server.serve_forever()


if __name__ == "__main__":
    main()
