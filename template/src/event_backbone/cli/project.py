"""What a command line knows about its project."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from event_backbone.errors import ConfigurationError

if TYPE_CHECKING:
    import typer

    from event_backbone.backbone import Backbone
    from event_backbone.contract import Contract
    from event_backbone.interceptors import HandleInterceptor
    from event_backbone.storage import S3Options
    from event_backbone.subscription import Subscription

T = TypeVar("T")


class OpenBackbone(Protocol):
    """Loads the settings and makes the project's backbone; nothing is connected before it is entered."""

    def __call__(
        self, *, handle_interceptors: Sequence[HandleInterceptor] = ()
    ) -> AbstractAsyncContextManager[Backbone]:
        """Make a backbone that also runs these interceptors; raise ConfigurationError when a setting is wrong."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The parts of a project that its commands work with. None or False: the project does not have it.

    Attributes:
        name: what the command is called, such as ``shipment-tracking``.
        module: the module that runs this command line under ``python -m``, such as ``shipment_tracking.cli``; the
            demo starts worker and producer as processes with it.
        contract: the contract class.
        uri: the URI of the contract's stream.
        open_backbone: opens the backbone from the project's own settings.
        produces: whether the project produces events (``role`` is not consumer).
        group: the consumer group, when the project consumes.
        subscribe: subscribes the project's handlers under ``group``, with the project's own options.
        api: the web API as ``module:function``, a function without arguments that makes the application.
        s3: the options of the S3 storage, when payloads go to S3.
        health_port: reads the port of the worker's own health endpoints from the settings; None serves none.
    """

    name: str
    module: str
    contract: type[Contract]
    uri: str
    open_backbone: OpenBackbone
    produces: bool = True
    group: str | None = None
    subscribe: Callable[[Backbone], AbstractAsyncContextManager[Subscription]] | None = None
    api: str | None = None
    s3: Callable[[], S3Options] | None = None
    health_port: Callable[[], int | None] | None = None


def project_of(ctx: typer.Context) -> Project:
    """Return the project whose command runs; ``build_cli`` put it into the context."""
    return ctx.ensure_object(Project)


def required(part: T | None) -> T:
    """Return a part of the project that its command cannot do without; ``build_cli`` adds no command that lacks one."""
    if part is None:
        raise ConfigurationError("The project does not have what this command needs.")
    return part
