"""A contract over HTTP, on a backbone in memory: what each request is answered."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import pytest
from fastapi import FastAPI, Header, HTTPException
from httpx import ASGITransport, AsyncClient
from pydantic import BaseModel

from event_backbone.backbone import Backbone
from event_backbone.contract import Contract, event
from event_backbone.errors import (
    BackboneClosed,
    BackboneError,
    ConfigurationError,
    EventIdExpired,
    OutcomeUnknown,
    PayloadErased,
    PayloadGone,
    StorageUnavailable,
    StreamUnavailable,
)
from event_backbone.model import EventKey, new_event_id
from event_backbone.testing.memory import memory_backbone
from event_backbone.web import allow_everyone, event_routes, health_routes, install_error_answers


class User(BaseModel):
    """Who orders."""

    name: str
    email: str


class Orders(Contract):
    """What happens to an order."""

    @event
    def order_placed(self, user: User, amount: int = 1) -> None:
        """A customer placed an order."""

    @event
    def closed(self) -> None:
        """The shop closed."""


class Returns(Contract):
    """Another contract with an event of the same name."""

    @event
    def order_placed(self, user: User, reason: str) -> None:
        """A customer sends something back."""


BODY = {"user": {"name": "Ada", "email": "ada@example.com"}, "amount": 2}


@asynccontextmanager
async def serving(app: FastAPI, backbone: Backbone | None = None) -> AsyncGenerator[AsyncClient, None]:
    """A client of an application, with an open backbone in memory."""
    install_error_answers(app)
    app.include_router(health_routes())
    async with backbone or memory_backbone() as opened:
        app.state.backbone = opened
        transport = ASGITransport(app=app, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


def application(*, payloads: bool = True) -> FastAPI:
    """An application that serves the contract of orders."""
    app = FastAPI()
    app.include_router(event_routes(Orders, uri="orders", payloads=payloads))
    return app


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    """A client of the orders' application."""
    async with serving(application()) as opened:
        yield opened


async def test_a_post_produces_the_event_and_its_location_reads_it(client: AsyncClient) -> None:
    """201 with the key; under its Location stand metadata and payload as they were sent."""
    posted = await client.post("/events/order-placed", json=BODY)
    assert posted.status_code == 201
    key = posted.json()["key"]
    assert posted.headers["Location"] == f"/events/{key}"
    read = await client.get(posted.headers["Location"])
    assert read.status_code == 200
    event = read.json()
    assert event["arguments"] == BODY
    assert (event["key"], event["event"], event["version"], event["payload"]) == (key, "order_placed", 1, "present")
    assert (event["uri"], event["environment"], event["correlation_id"]) == ("orders", "test", event["event_id"])


async def test_defaults_may_be_left_out_and_an_event_without_arguments_needs_no_body(client: AsyncClient) -> None:
    """What the signature has a default for is optional in the body, too."""
    posted = await client.post("/events/order-placed", json={"user": BODY["user"]})
    assert (await client.get(posted.headers["Location"])).json()["arguments"]["amount"] == 1
    assert (await client.post("/events/closed")).status_code == 201
    assert (await client.post("/events/closed", json={})).status_code == 201


@pytest.mark.parametrize("body", [{}, {**BODY, "amount": "many"}, {**BODY, "more": 1}, [], "text"])
async def test_a_body_that_does_not_fit_is_answered_422_and_sends_nothing(client: AsyncClient, body: object) -> None:
    """The answer has FastAPI's own form, which names the place."""
    answer = await client.post("/events/order-placed", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "body"


async def test_reading_what_is_not_there_is_404_and_a_malformed_key_400(client: AsyncClient) -> None:
    """Both in one sentence."""
    missing = await client.get("/events/1-0")
    assert (missing.status_code, missing.json()) == (404, {"detail": "Stream test:orders has no event 1-0."})
    malformed = await client.get("/events/order-placed")
    assert malformed.status_code == 400
    assert malformed.json()["detail"] == "'order-placed' is not a valid event key; one looks like 1764041094123-0."


@pytest.mark.parametrize(
    "token", ["order 17, first try", str(new_event_id()), "x" * 255], ids=["words", "a UUID", "long"]
)
async def test_a_repeated_request_with_its_idempotency_key_is_one_event(client: AsyncClient, token: str) -> None:
    """The same key is answered again, also when the body's members come in another order."""
    first = await client.post("/events/order-placed", json=BODY, headers={"Idempotency-Key": token})
    turned = dict(reversed(BODY.items()))
    second = await client.post("/events/order-placed", json=turned, headers={"Idempotency-Key": token})
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    other = await client.post("/events/order-placed", json=BODY, headers={"Idempotency-Key": "another"})
    assert other.json() != first.json()


async def test_an_idempotency_key_with_another_request_is_refused(client: AsyncClient) -> None:
    """Another body, or another event, under a used key is answered 422 and sends nothing."""
    headers = {"Idempotency-Key": "seventeen"}
    await client.post("/events/order-placed", json=BODY, headers=headers)
    for path, body in (("/events/order-placed", {**BODY, "amount": 3}), ("/events/closed", {})):
        answer = await client.post(path, json=body, headers=headers)
        assert answer.status_code == 422
        assert "was used for another event or body" in answer.json()["detail"]


@pytest.mark.parametrize("token", ["", "   ", "x" * 256])
async def test_an_idempotency_key_of_a_wrong_length_is_answered_400(client: AsyncClient, token: str) -> None:
    """Neither empty nor endless."""
    answer = await client.post("/events/order-placed", json=BODY, headers={"Idempotency-Key": token})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "The Idempotency-Key header must have 1 to 255 characters."


async def test_payloads_can_be_withheld() -> None:
    """Then the read route answers metadata alone, and says so."""
    async with serving(application(payloads=False)) as client:
        posted = await client.post("/events/order-placed", json=BODY)
        event = (await client.get(posted.headers["Location"])).json()
    assert (event["payload"], event["arguments"], event["event"]) == ("withheld", None, "order_placed")


async def test_an_erased_payload_is_told_apart() -> None:
    """The event is still there, and its payload's state is a word."""
    backbone = memory_backbone()
    async with serving(application(), backbone=backbone) as client:
        posted = await client.post("/events/order-placed", json=BODY)
        await backbone.erase("orders", EventKey.parse(posted.json()["key"]))
        answer = await client.get(posted.headers["Location"])
    assert answer.status_code == 200
    assert (answer.json()["payload"], answer.json()["arguments"]) == ("erased", None)


async def test_every_event_route_stands_behind_the_one_authorize_dependency() -> None:
    """Without the token nothing is produced or read; health and OpenAPI stay open."""

    async def require_token(authorization: str = Header("")) -> None:
        if authorization != "Bearer right":
            raise HTTPException(401, "Show a token.")

    app = FastAPI()
    app.include_router(event_routes(Orders, uri="orders", authorize=require_token))
    async with serving(app) as client:
        assert (await client.post("/events/order-placed", json=BODY)).status_code == 401
        assert (await client.get("/events/1-0")).status_code == 401
        assert (await client.get("/health/ready")).status_code == 200
        right = {"Authorization": "Bearer right"}
        assert (await client.post("/events/order-placed", json=BODY, headers=right)).status_code == 201


async def test_the_default_authorize_is_replaced_by_an_override() -> None:
    """An application that did not give one can put it there later."""

    async def nobody() -> None:
        raise HTTPException(403, "Nobody may.")

    app = application()
    app.dependency_overrides[allow_everyone] = nobody
    async with serving(app) as client:
        assert (await client.get("/events/1-0")).status_code == 403


async def test_several_contracts_in_one_application_do_not_disturb_each_other() -> None:
    """Under prefixes of their own, also with events of one name; the OpenAPI page shows both with their own bodies."""
    app = FastAPI()
    app.include_router(event_routes(Orders, uri="orders"), prefix="/orders")
    app.include_router(event_routes(Returns, uri="returns"), prefix="/returns")
    async with serving(app) as client:
        posted = await client.post("/returns/events/order-placed", json={"user": BODY["user"], "reason": "too big"})
        assert posted.headers["Location"] == f"/returns/events/{posted.json()['key']}"
        assert (await client.get(posted.headers["Location"])).json()["uri"] == "returns"
        assert (await client.get(f"/orders/events/{posted.json()['key']}")).status_code == 404
        paths = (await client.get("/openapi.json")).json()["paths"]
    identities = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(set(identities)) == len(identities) == 7


async def test_the_openapi_page_shows_docstrings_and_types(client: AsyncClient) -> None:
    """What the contract says of its events stands there."""
    page = (await client.get("/openapi.json")).json()
    operation = page["paths"]["/events/order-placed"]["post"]
    assert operation["description"] == "A customer placed an order."
    assert operation["tags"] == ["Orders"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = page["components"]["schemas"][reference.rsplit("/", 1)[-1]]
    assert schema["required"] == ["user"]
    assert schema["properties"]["amount"]["type"] == "integer"
    assert "Idempotency-Key" in str(operation["parameters"])


SECRET = "redis://:secret@inside:6379"
ANSWERS: list[tuple[BackboneError, int, str]] = [
    (StreamUnavailable(SECRET), 503, "The event stream does not answer"),
    (StorageUnavailable(SECRET), 503, "The payload storage does not answer"),
    (BackboneClosed(SECRET), 503, "was not sent"),
    (EventIdExpired(SECRET), 409, "too old"),
    (PayloadGone(SECRET), 410, "missing or has expired"),
    (PayloadErased(SECRET), 410, "was erased"),
    (ConfigurationError(SECRET), 500, "not configured correctly"),
    (BackboneError(SECRET), 500, "The service failed"),
]


@pytest.mark.parametrize(("error", "status", "words"), ANSWERS, ids=lambda each: type(each).__name__)
async def test_each_error_has_its_status_and_a_sentence_without_secrets(
    error: BackboneError, status: int, words: str
) -> None:
    """What the log may know of servers and settings, the client does not."""
    app = FastAPI()

    @app.get("/fail")
    async def fail() -> None:
        raise error

    async with serving(app) as client:
        answer = await client.get("/fail")
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert "secret" not in answer.text
    assert ("Retry-After" in answer.headers) == (status == 503)


async def test_an_unknown_outcome_tells_the_event_id_and_what_is_safe() -> None:
    """503, with the id under which the event may stand in the stream."""
    event_id = new_event_id()
    app = FastAPI()

    @app.get("/fail")
    async def fail() -> None:
        raise OutcomeUnknown(event_id)

    async with serving(app) as client:
        answer = await client.get("/fail")
    assert answer.status_code == 503
    assert UUID(answer.json()["event_id"]) == event_id
    assert "same Idempotency-Key is safe" in answer.json()["detail"]


async def test_health_is_ok_while_redis_and_the_storage_answer(client: AsyncClient) -> None:
    """Live and ready answer 200 with one word."""
    assert (await client.get("/health/live")).json() == {"status": "ok"}
    assert (await client.get("/health/ready")).json() == {"status": "ok"}


async def test_times_in_bodies_come_back_as_they_went_in() -> None:
    """An aware time of the body is the event's own."""

    class Times(Contract):
        """Moments."""

        @event
        def passed(self, at: datetime) -> None:
            """A moment passed."""

    app = FastAPI()
    app.include_router(event_routes(Times, uri="times"))
    moment = datetime(2025, 1, 31, 12, 30, 15, 123456, UTC)
    async with serving(app) as client:
        posted = await client.post("/events/passed", json={"at": moment.isoformat()})
        read = (await client.get(posted.headers["Location"])).json()["arguments"]["at"]
    assert datetime.fromisoformat(read) == moment
