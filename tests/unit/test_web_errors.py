"""The errors of the web API: one shape for all, ``{"detail": "one sentence"}``."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

import pytest
from fastapi import FastAPI, Header, Request
from pydantic import BaseModel, ConfigDict

from event_backbone.contract import Contract, event
from event_backbone.errors import (
    BackboneClosed,
    BackboneError,
    ConfigurationError,
    EventIdAhead,
    EventIdExpired,
    OutcomeUnknown,
    PayloadErased,
    PayloadForbidden,
    PayloadGone,
    StorageUnavailable,
    StreamUnavailable,
)
from event_backbone.interceptors import Outgoing
from event_backbone.model import EventKey, new_event_id
from event_backbone.testing.memory import memory_backbone
from event_backbone.web import event_routes
from tests.support.serving import serving

WEIGHT = "Argument 'weight' of event 'posted' should be a valid integer, unable to parse string as an integer."
NO_OBJECT = 'The arguments of event \'posted\' must be one JSON object, such as {"to": ..., "weight": ...}.'


class Letters(Contract):
    """What happens to a letter."""

    @event
    def posted(self, to: str, weight: int) -> None:
        """Somebody posted a letter."""


def application() -> FastAPI:
    """An application that serves the contract of letters."""
    app = FastAPI()
    app.include_router(event_routes(Letters, uri="letters"))
    return app


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("{}", "Argument 'to' of event 'posted' is missing."),
        ('{"to": "Ada", "weight": "heavy"}', WEIGHT),
        ('{"to": "Ada", "weight": 1, "more": 1}', "Event 'posted' has no argument 'more'."),
        ("[]", NO_OBJECT),
        ('"heavy"', NO_OBJECT),
        ("{heavy", NO_OBJECT),
        ("", NO_OBJECT),
    ],
)
async def test_a_body_that_does_not_fit_is_answered_422_and_sends_nothing(body: str, sentence: str) -> None:
    """With the sentence of a produce call, which names the argument and repeats no value."""
    backbone = memory_backbone()
    async with serving(application(), backbone) as client:
        response = await client.post("/events/posted", content=body, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()) == (422, {"detail": sentence})
        assert "heavy" not in response.text
        assert [each async for each in backbone.reader("letters").scan()] == []


async def test_a_body_that_is_not_declared_as_json_is_answered_422() -> None:
    """The arguments themselves are fine, so the sentence names the header."""
    async with serving(application()) as client:
        response = await client.post("/events/posted", content='{"to": "Ada", "weight": 1}')
    assert response.status_code == 422
    assert response.json() == {
        "detail": "Send the event's arguments as one JSON object, with Content-Type: application/json."
    }


async def test_a_missing_parameter_of_authorize_is_answered_in_the_same_shape() -> None:
    """On the routes for reading and for producing; a body that does not fit either does not hide it."""

    async def with_tenant(tenant: Annotated[int, Header()]) -> None:
        assert tenant

    app = FastAPI()
    app.include_router(event_routes(Letters, uri="letters", authorize=with_tenant))
    async with serving(app) as client:
        for response in (
            await client.get("/events/1-0"),
            await client.post("/events/posted", json={}, headers={"Tenant": "secret"}),
        ):
            assert response.status_code == 422
            assert response.json() == {"detail": "The header parameter 'tenant' is missing or not valid."}


def test_the_openapi_page_shows_one_shape_for_all_errors_of_events() -> None:
    """FastAPI's own list of validation errors is not among them."""
    paths = application().openapi()["paths"]
    shapes = {
        str(response["content"]["application/json"]["schema"])
        for operations in paths.values()
        for operation in operations.values()
        for status, response in operation["responses"].items()
        if status >= "400"
    }
    assert all("ErrorResponse" in shape for shape in shapes)


SECRET = "redis://:secret@inside:6379"
RESPONSES: list[tuple[BackboneError, int, str]] = [
    (StreamUnavailable(SECRET), 503, "The event stream does not answer"),
    (StorageUnavailable(SECRET), 503, "The payload storage does not answer"),
    (BackboneClosed(SECRET), 503, "was not sent"),
    (EventIdExpired(SECRET), 409, "too old"),
    (EventIdAhead(SECRET), 500, "The service failed"),
    (PayloadGone(SECRET), 410, "missing or has expired"),
    (PayloadForbidden(SECRET), 410, "may not read it"),
    (PayloadErased(SECRET), 410, "was erased"),
    (ConfigurationError(SECRET), 500, "not configured correctly"),
    (BackboneError(SECRET), 500, "The service failed"),
]


@pytest.mark.parametrize(("error", "status", "words"), RESPONSES, ids=lambda each: type(each).__name__)
async def test_each_error_has_its_status_and_a_sentence_without_secrets(
    error: BackboneError, status: int, words: str
) -> None:
    """The log may name servers and settings; the response does not."""
    app = FastAPI()

    @app.get("/fail")
    async def fail() -> None:
        raise error

    async with serving(app) as client:
        response = await client.get("/fail")
    assert response.status_code == status
    assert words in response.json()["detail"]
    assert "secret" not in response.text
    assert ("Retry-After" in response.headers) == (status == 503)


@pytest.mark.parametrize(
    ("takes_key", "words"),
    [
        (True, "repeating the request with the same Idempotency-Key is safe"),
        (False, "repeating the request may send it"),
    ],
)
async def test_an_unknown_outcome_has_the_event_id_and_says_what_is_safe(*, takes_key: bool, words: str) -> None:
    """503, with the id of the event that may be in the stream; an own route is told of no key that it does not take."""
    event_id = new_event_id()

    async def lose_the_answer(outgoing: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]]) -> EventKey:
        raise OutcomeUnknown(event_id)

    app = application()

    @app.post("/letters")
    async def write(request: Request) -> None:
        await request.app.state.backbone.producer(Letters, uri="letters").posted("Ada", 1)

    async with serving(app, memory_backbone(produce_interceptors=[lose_the_answer])) as client:
        response = await client.post("/events/posted" if takes_key else "/letters", json={"to": "Ada", "weight": 1})
    assert response.status_code == 503
    assert UUID(response.json()["event_id"]) == event_id
    assert words in response.json()["detail"]
    assert ("Idempotency-Key" in response.json()["detail"]) == takes_key


class Stamp(BaseModel):
    """What is on a letter."""

    model_config = ConfigDict(extra="forbid")

    cents: int
    colours: dict[str, int] = {}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            '{"cents": "secret"}',
            "Field 'cents' of the body should be a valid integer, unable to parse string as an integer.",
        ),
        ('{"cents": 1, "colours": {"secret": "secret"}}', "Field 'colours' of the body should be a valid integer, "),
        ("{}", "Field 'cents' of the body is missing."),
        ('{"cents": 1, "secret": 1}', "The body has an unknown field."),
        ("{secret", "The body is not valid JSON."),
        ("[]", "The body should be "),
        ("", "The body is missing."),
    ],
)
async def test_an_own_route_answers_a_bad_body_in_the_documented_shape(body: str, sentence: str) -> None:
    """FastAPI's own answer repeats the input; this one is a sentence, as for events, and the OpenAPI page says so."""
    app = FastAPI()

    @app.post("/stamps")
    async def stick(stamp: Stamp) -> None: ...

    async with serving(app) as client:
        response = await client.post("/stamps", content=body, headers={"Content-Type": "application/json"})
        page = (await client.get("/openapi.json")).json()
    assert response.status_code == 422
    assert set(response.json()) == {"detail"}
    assert response.json()["detail"].startswith(sentence)
    assert "secret" not in response.text
    documented = page["paths"]["/stamps"]["post"]["responses"]["422"]["content"]["application/json"]["schema"]
    assert documented == {"$ref": "#/components/schemas/ErrorResponse"}
    assert page["components"]["schemas"]["ErrorResponse"]["required"] == ["detail"]
    assert "ValidationError" not in str(page)
