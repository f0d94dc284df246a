"""`serve`: run the web API."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, cast

import typer

from event_backbone.cli.errors import fail
from event_backbone.cli.logs import LogLevel, configure_logging
from event_backbone.errors import ConfigurationError


def add_to(cli: typer.Typer, api: str) -> None:
    """Add the command; ``api`` is the application factory as ``module:function``."""

    @cli.command()
    def serve(
        host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
        port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
        log_level: Annotated[LogLevel, typer.Option(help="How much is logged.")] = LogLevel.INFO,
    ) -> None:
        """Run the web API until Ctrl-C; its OpenAPI page is at /docs."""
        configure_logging(log_level)
        _serve(api, host, port)

    del serve


def _serve(api: str, host: str, port: int) -> None:
    try:
        import uvicorn  # noqa: PLC0415 - only this command pays for it
    except ImportError as error:
        raise ConfigurationError("Install uvicorn to serve the web API: the Python package uvicorn.") from error
    module, _, function = api.partition(":")
    # Made here and not by uvicorn, so that a wrong setting ends in one sentence.
    create = cast("Callable[[], object]", getattr(import_module(module), function))
    config = uvicorn.Config(cast("Any", create()), host=host, port=port, log_config=None)
    try:
        uvicorn.Server(config).run()
    except KeyboardInterrupt:
        sys.exit(0)
    except SystemExit as error:
        fail(f"The web API did not start on {host}:{port}; the line above says why.", cast("int", error.code) or 1)
