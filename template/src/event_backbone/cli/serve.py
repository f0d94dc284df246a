"""`serve`: run the web API."""

from __future__ import annotations

import contextlib
import functools
import logging
import runpy
import signal
import sys
from http import HTTPStatus
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from event_backbone.cli.errors import fail
from event_backbone.cli.logs import LogLevel
from event_backbone.cli.project import project_of, required
from event_backbone.errors import ConfigurationError
from event_backbone.web.startup import StartupErrors

if TYPE_CHECKING:
    from socket import socket

    from event_backbone.web.startup import Application


def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Restart when a file under src changes.")] = False,
    log_level: Annotated[LogLevel, typer.Option(help="The least severe level that is logged.")] = LogLevel.INFO,
) -> None:
    """Run the web API until Ctrl-C; its OpenAPI page is at /docs."""
    project = project_of(ctx)
    project.configure_logging(log_level.number)
    if find_spec("uvicorn") is None:
        raise ConfigurationError("Install uvicorn to serve the web API: the Python package uvicorn.")
    if host is None or port is None:
        default = project.api_address(project.load_settings())
        host, port = host or default[0], default[1] if port is None else port
    if reload:
        _reload(project.module, required(project.api), (host, port), log_level)
    else:
        _serve(required(project.api), host, port)


def _serve(api: str, host: str, port: int) -> None:
    import uvicorn  # noqa: PLC0415 - only this command pays for it

    module, _, name = api.partition(":")
    application = StartupErrors(cast("Application", getattr(import_module(module), name)))
    server = uvicorn.Server(uvicorn.Config(cast("Any", application), host=host, port=port, log_config=None))
    logging.getLogger("uvicorn.access").addFilter(_is_worth_logging)
    # After its graceful stop uvicorn raises the signal again, which would end the process before its last traces and
    # metrics are sent. With this handler it exits normally.
    signal.signal(signal.SIGTERM, _exit)
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        server.run()
    if not server.started:
        fail(application.problem or f"The web API cannot listen on {host}:{port}; choose another --port or --host.")


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Return whether a request is more than a probe, or an autoscaler, that got its answer: they come often."""
    match record.args:
        case (_, _, str(path), _, HTTPStatus.OK):
            return not path.startswith(("/health/", "/lag"))
        case _:
            return True


def _exit(number: int, frame: object) -> None:  # noqa: ARG001 - a signal handler takes both
    raise SystemExit(0)


def _reload(module: str, api: str, address: tuple[str, int], log_level: LogLevel) -> None:
    """Run ``serve`` in a process that uvicorn's reloader starts again when a file has changed."""
    from uvicorn import Config  # noqa: PLC0415 - only this option pays for it
    from uvicorn.supervisors import ChangeReload  # noqa: PLC0415

    host, port = address
    arguments = ["serve", "--host", host, "--port", str(port), "--log-level", log_level.value]
    config = Config(api, reload=True, reload_dirs=[str(_source_of(api))], log_config=None)
    ChangeReload(config, functools.partial(_run_again, module, arguments), []).run()


def _run_again(module: str, arguments: list[str], sockets: list[socket] | None) -> None:  # noqa: ARG001 - of uvicorn
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__")


def _source_of(api: str) -> Path:
    """Return the folder to watch: ``src``, or that of the package if it is elsewhere, such as in site-packages."""
    module = api.partition(":")[0]
    spec = find_spec(module.partition(".")[0])
    package = Path((spec and spec.origin) or ".").resolve().parent
    return package.parent if package.parent.name == "src" else package
