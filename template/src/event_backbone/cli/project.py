"""What a command line knows about its project."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from typing_extensions import TypeVar as TypeVarWithDefault

from event_backbone.cli.logs import configure_logging
from event_backbone.connection.server import SERVER_LOGGER
from event_backbone.errors import ConfigurationError

if TYPE_CHECKING:
    import typer

    from event_backbone.backbone import Backbone
    from event_backbone.consumer import Consumer
    from event_backbone.contract import Contract
    from event_backbone.interceptors import HandleInterceptor
    from event_backbone.storage import S3Options
    from event_backbone.worker import Worker

T = TypeVar("T")
SettingsType = TypeVarWithDefault("SettingsType", default=Any)
SettingsType_contra = TypeVar("SettingsType_contra", contravariant=True)


class OpenBackbone(Protocol[SettingsType_contra]):
    """Makes the project's backbone; nothing is connected before it is entered."""

    def __call__(
        self, settings: SettingsType_contra, /, *, handle_interceptors: Sequence[HandleInterceptor] = ()
    ) -> AbstractAsyncContextManager[Backbone]:
        """Make a backbone that also runs these interceptors; raise ConfigurationError when a setting is wrong."""
        ...


class OpenWorker(Protocol[SettingsType_contra]):
    """Opens what the handlers need, and runs all subscriptions of a project without an archive."""

    def __call__(self, settings: SettingsType_contra, backbone: Backbone, /) -> AbstractAsyncContextManager[Worker]:
        """Start the worker on entering, and stop it on leaving."""
        ...


class OpenArchivingWorker(Protocol[SettingsType_contra]):
    """The same for a project with an archive: an archiver runs beside the subscriptions."""

    def __call__(
        self, settings: SettingsType_contra, backbone: Backbone, /, *, archive: bool = True
    ) -> AbstractAsyncContextManager[Worker]:
        """Start the worker on entering, with ``archive=False`` without archivers, and stop it on leaving."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Project(Generic[SettingsType]):
    """The parts of a project that its commands work with. None or False: the project does not have it.

    Attributes:
        name: what the command is called, such as ``shipment-tracking``.
        module: the module that runs this command line under ``python -m``, such as ``shipment_tracking``; the demo
            starts worker and producer as processes with it.
        contract: the contract class.
        uri: the URI of the contract's stream.
        load_settings: reads the project's own settings; every command does so once, and gives them to what follows.
        open_backbone: opens the backbone with these settings.
        produces: whether the project produces events (``role`` is not consumer).
        group: the consumer group, when the project consumes.
        open_worker: opens what the handlers need, and runs all subscriptions of the project; one of a project that
            archives takes ``archive``.
        consumer: the handlers, when the project consumes.
        open_services: opens what the handlers need with these settings and the backbone, if they need anything.
        archives: whether the backbone has an archive.
        api: the web API as ``module:name``, such as ``shipment_tracking.api:app``.
        s3_options: the options of the S3 storage, when payloads go to S3.
        api_address: where the web API listens.
        worker_health_address: where a worker, or an archiver, serves its health; without a port it serves none.
        worker_processes: how many processes ``worker`` runs; an option overrides it.
        configure_logging: configures logging for a command that runs until it is stopped; takes the least severe level
            that is to be logged, such as ``logging.INFO``.
    """

    name: str
    module: str
    contract: type[Contract]
    uri: str
    load_settings: Callable[[], SettingsType]
    open_backbone: OpenBackbone[SettingsType]
    produces: bool = True
    group: str | None = None
    open_worker: OpenWorker[SettingsType] | OpenArchivingWorker[SettingsType] | None = None
    consumer: Consumer[Any, Any] | None = None
    open_services: Callable[[SettingsType, Backbone], AbstractAsyncContextManager[object]] | None = None
    archives: bool = False
    api: str | None = None
    s3_options: Callable[[SettingsType], S3Options] | None = None
    api_address: Callable[[SettingsType], tuple[str, int]] = lambda _: ("127.0.0.1", 8000)
    worker_health_address: Callable[[SettingsType], tuple[str, int | None]] = lambda _: ("127.0.0.1", None)
    worker_processes: Callable[[SettingsType], int] = lambda _: 1
    configure_logging: Callable[[int], None] = configure_logging

    @property
    def has_worker_health(self) -> bool:
        """Whether the project has a process that serves a worker's health: a worker, or an archiver."""
        return self.open_worker is not None or self.archives

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Backbone, None]:
        """Load the settings and open the backbone, for a command that needs nothing else.

        Such a command runs often, so it leaves warnings about the server to `doctor` and to what runs for long.
        """
        async with without_server_warnings(), self.open_backbone(self.load_settings()) as backbone:
            yield backbone

    @asynccontextmanager
    async def open_handlers(self) -> AsyncGenerator[tuple[Backbone, object], None]:
        """Open the backbone, and with it what the handlers need, for a command that calls them: None if nothing."""
        settings = self.load_settings()
        async with without_server_warnings(), self.open_backbone(settings) as backbone:
            if self.open_services is None:
                yield backbone, None
            else:
                async with self.open_services(settings, backbone) as services:
                    yield backbone, services

    def worker(
        self, settings: SettingsType, backbone: Backbone, *, archive: bool
    ) -> AbstractAsyncContextManager[Worker]:
        """Return the project's worker, which it has; without ``archive`` it archives nothing."""
        if archive or not self.archives:
            return required(self.open_worker)(settings, backbone)
        return cast("OpenArchivingWorker[SettingsType]", required(self.open_worker))(settings, backbone, archive=False)


@asynccontextmanager
async def without_server_warnings() -> AsyncGenerator[None, None]:
    """Keep out of the log what the server's settings may lose, such as a missing append-only file."""
    logger = logging.getLogger(SERVER_LOGGER)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def project_of(ctx: typer.Context) -> Project:
    """Return the project whose command runs; ``build_cli`` put it into the context."""
    return ctx.ensure_object(Project)


def required(part: T | None) -> T:
    """Return a part of the project that its command cannot do without; ``build_cli`` adds no command that lacks one."""
    if part is None:
        raise ConfigurationError("The project does not have what this command needs.")
    return part
