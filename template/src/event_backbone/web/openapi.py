"""The OpenAPI document: operation ids that generated clients can build on, and one shape for every error."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import JsonValue

from event_backbone.web.schemas import ErrorResponse

Responses = dict[int | str, dict[str, Any]]
"""What FastAPI takes to document the responses of a route, by status."""

_SCHEMAS = "#/components/schemas/"
_OURS = ErrorResponse.__name__
_FASTAPIS = "HTTPValidationError"


def error_response(code: int, description: str) -> Responses:
    """Document an error whose body is one sentence."""
    return {code: {"model": ErrorResponse, "description": description}}


def header(name: str, description: str, **schema: str) -> dict[str, object]:
    """Document a header of a response."""
    return {name: {"description": description, "schema": schema}}


UNAVAILABLE = {
    "description": "Redis or the payload storage does not answer.",
    "headers": header("Retry-After", "After how many seconds to repeat the request.", type="integer"),
}


def operation_id(route: APIRoute) -> str:
    """Return the id of an operation, which names the method of a generated client.

    It is ``produce_packing`` for an event's route, ``get_event``, ``erase_payload``, ``get_liveness``,
    ``get_readiness``, and the name of the function for other routes. Event routes with a prefix have its words in
    front: ``orders_produce_packing``.

        app = FastAPI(generate_unique_id_function=operation_id)
    """
    prefix = route.path_format.rpartition("/events/")[0]
    return "_".join([*re.findall(r"\w+", prefix), route.name])


def project_version(distribution: str) -> str:
    """Return the version of an installed project, for ``FastAPI(version=...)``; 0.0.0 where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "0.0.0"


def document_errors(app: FastAPI) -> None:
    """Document ``{"detail": "one sentence"}`` where FastAPI would document its list of validation errors."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()  # the same object until a route is added
        schemas: dict[str, Any] = document.get("components", {}).get("schemas", {})
        if schemas.pop(_FASTAPIS, None) is not None:
            schemas.pop("ValidationError", None)
            schemas.setdefault(_OURS, ErrorResponse.model_json_schema())
            _replace(document["paths"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to change the document


def _replace(part: JsonValue) -> None:
    """Let every reference to FastAPI's shape refer to ours."""
    if isinstance(part, dict):
        if part.get("$ref") == _SCHEMAS + _FASTAPIS:
            part["$ref"] = _SCHEMAS + _OURS
        for each in part.values():
            _replace(each)
    elif isinstance(part, list):
        for each in part:
            _replace(each)
