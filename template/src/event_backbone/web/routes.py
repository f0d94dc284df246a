"""Produce and read the events of a contract over HTTP."""

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Header, HTTPException, Query, Request, Response
from pydantic import BaseModel

from event_backbone.backbone import Backbone
from event_backbone.contract import Contract, EventDefinition, check, events_of, send_of
from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey
from event_backbone.web.error_texts import IDEMPOTENCY_KEY_LENGTH, IDEMPOTENCY_KEY_REUSED, LONGEST_IDEMPOTENCY_KEY
from event_backbone.web.openapi import UNAVAILABLE, Responses, error_response, header, operation_id
from event_backbone.web.schemas import ErrorResponse, EventResponse, OutcomeUnknownResponse, ProducedResponse
from event_backbone.web.validation import validated_route

_PRODUCE_RESPONSES: Responses = {
    201: {"headers": header("Location", "Where the event can be read.", type="string", format="uri-reference")},
    **error_response(400, "The Idempotency-Key has a wrong length."),
    **error_response(409, "The Idempotency-Key is too old; use a new one."),
    **error_response(422, "The arguments do not fit, or the Idempotency-Key was used for another event or body."),
    503: {**UNAVAILABLE, "model": OutcomeUnknownResponse | ErrorResponse},
}
_READ_ERRORS: Responses = {
    **error_response(400, "The event key has a wrong form."),
    **error_response(404, "The stream has no event with this key."),
    **error_response(422, "A parameter of the request is missing or not valid."),
    503: {**UNAVAILABLE, "model": ErrorResponse},
}


_ERASE_ERRORS: Responses = {
    **_READ_ERRORS,
    **error_response(404, "The stream has no event with this key, or the event has no such part."),
    **error_response(410, "A part was not there to be erased; the others were."),
}


async def allow_everyone() -> None:
    """Let every request pass. An application replaces it with ``authorize=`` or ``app.dependency_overrides``."""


def event_routes(
    contract: type[Contract],
    *,
    uri: str,
    payloads: bool = True,
    erasing: bool = False,
    authorize: Callable[..., object] = allow_everyone,
) -> APIRouter:
    """Make the routes of a contract; they use the open backbone at ``app.state.backbone``.

    ``POST /events/<event-name>`` (the method's name with hyphens) produces an event and answers 201 with its key and
    its ``Location``; the body is a JSON object of the arguments. ``GET /events/{key}`` answers metadata and payload of
    any event in the stream. An application with several contracts gives each router its own ``prefix``.

    A request that may have failed is repeated safely with the same ``Idempotency-Key`` header, any text that the
    client chooses: it makes one event. The server keeps the key for as long as duplicates of an event are recognised
    (10 minutes by default), together with a digest of the request, and answers 422 to another body with that key.

    Args:
        contract: the contract whose events are produced; it is checked here.
        uri: names the stream.
        payloads: whether the read route returns arguments; without them it returns metadata alone.
        erasing: whether there is ``DELETE /events/{key}/payload``, which erases a payload permanently, and with
            ``?part=<storage>`` a part of it.
        authorize: a FastAPI dependency that guards all these routes; it raises HTTPException to refuse.

    Raises:
        ContractError: the contract cannot work.
    """
    check(contract)
    router = APIRouter(prefix="/events", tags=[contract.__name__], dependencies=[Depends(authorize)])
    for definition in events_of(contract):
        _add_produce_route(router, contract, definition, uri)
    _add_read_route(router, uri, payloads=payloads)
    if erasing:
        _add_erase_route(router, uri)
    return router


def _add_produce_route(router: APIRouter, contract: type[Contract], definition: EventDefinition, uri: str) -> None:
    router.add_api_route(
        f"/{definition.attribute.replace('_', '-')}",
        _produce_endpoint(contract, definition, uri),
        methods=["POST"],
        status_code=HTTPStatus.CREATED,
        response_model=ProducedResponse,
        response_description="The event is in the stream.",
        responses=_PRODUCE_RESPONSES,
        summary=definition.attribute.replace("_", " ").capitalize(),
        description=definition.doc,
        deprecated=definition.deprecated is not None or None,
        name=f"produce_{definition.attribute}",
        generate_unique_id_function=operation_id,
        route_class_override=validated_route(definition),
    )


def _add_read_route(router: APIRouter, uri: str, *, payloads: bool) -> None:
    router.add_api_route(
        "/{key}",
        _read_endpoint(uri, payloads=payloads),
        methods=["GET"],
        response_model=EventResponse,
        responses=_READ_ERRORS,
        summary="Read an event",
        name="get_event",
        generate_unique_id_function=operation_id,
        route_class_override=validated_route(),
    )


def _add_erase_route(router: APIRouter, uri: str) -> None:
    router.add_api_route(
        "/{key}/payload",
        _erase_endpoint(uri),
        methods=["DELETE"],
        status_code=HTTPStatus.NO_CONTENT,
        response_description="The payload, or the part of it, is erased.",
        responses=_ERASE_ERRORS,
        summary="Erase a payload",
        name="erase_payload",
        generate_unique_id_function=operation_id,
        route_class_override=validated_route(),
    )


def _produce_endpoint(
    contract: type[Contract], definition: EventDefinition, uri: str
) -> Callable[..., Awaitable[ProducedResponse]]:
    async def produce(
        request: Request,
        response: Response,
        body: BaseModel,
        idempotency_key: Annotated[
            str | None,
            Header(
                alias="Idempotency-Key",
                description="Any text, up to 255 characters: repeated requests with it make one event.",
            ),
        ] = None,
    ) -> ProducedResponse:
        request.state.takes_idempotency_key = True  # for the texts of errors
        backbone = _backbone(request)
        event_id = None
        if idempotency_key is not None:
            event_id = await _event_id_for(backbone, uri, definition, idempotency_key, await request.body())
        producer = backbone.producer(contract, uri=uri)
        key = await send_of(producer, definition).using(event_id=event_id)(**definition.codec.arguments_of(body))
        response.headers["Location"] = f"{request.url.path.rpartition('/')[0]}/{key}"
        return ProducedResponse(key=key)

    model = definition.codec.body_model()
    optional = all(not each.required for each in definition.codec.parameters)
    default = Body(default_factory=model) if optional else Body()
    produce.__annotations__["body"] = Annotated[model, default]
    return produce


def _read_endpoint(uri: str, *, payloads: bool) -> Callable[..., Awaitable[EventResponse]]:
    async def read(request: Request, key: str) -> EventResponse:
        """Return the metadata and the payload of an event."""
        backbone = _backbone(request)
        event = await backbone.reader(uri).get(_key_of(key))
        metadata = event.metadata
        return EventResponse(
            key=event.key,
            event_id=metadata.event_id,
            event=metadata.event,
            version=metadata.version,
            produced_at=metadata.produced_at,
            uri=metadata.uri,
            environment=metadata.environment,
            correlation_id=metadata.correlation_id,
            causation_id=metadata.causation_id,
            payload=event.payload if payloads else "withheld",
            arguments=event.arguments if payloads and event.has_arguments else None,
            locations=backbone.location(event) if payloads else [],
        )

    return read


def _erase_endpoint(uri: str) -> Callable[..., Awaitable[None]]:
    async def erase(
        request: Request,
        key: str,
        part: Annotated[
            str | None, Query(description="The name of a storage: erase only the part of the payload that it has.")
        ] = None,
    ) -> None:
        """Erase an event's payload permanently. Its metadata stays, except with an inline payload. May be repeated."""
        await _backbone(request).erase(uri, _key_of(key), part=part)

    return erase


def _key_of(text: str) -> EventKey:
    try:
        return EventKey.parse(text)
    except ConfigurationError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from error


async def _event_id_for(backbone: Backbone, uri: str, definition: EventDefinition, token: str, body: bytes) -> UUID:
    """Return the event id kept for an Idempotency-Key; refuse a key of a wrong length or of another request."""
    if not 0 < len(token.strip()) <= LONGEST_IDEMPOTENCY_KEY:
        raise HTTPException(HTTPStatus.BAD_REQUEST, IDEMPOTENCY_KEY_LENGTH)
    # Order and spacing of the body may differ when it is sent again.
    canonical = json.dumps([definition.name, definition.version, json.loads(body or b"{}")], sort_keys=True)
    reservation = await backbone.reserve_event_id(uri, token, canonical.encode())
    if not reservation.same_request:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, IDEMPOTENCY_KEY_REUSED)
    return reservation.event_id


def _backbone(request: Request) -> Backbone:
    return cast("Backbone", request.app.state.backbone)
