"""A contract over HTTP, on a backbone in memory: the response to each request."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from fastapi import FastAPI, Header, HTTPException
from httpx import AsyncClient
from pydantic import BaseModel

from event_backbone.contract import Contract, event
from event_backbone.model import new_event_id
from event_backbone.storage import MemoryStorage, SplitStorage
from event_backbone.testing.memory import memory_backbone
from event_backbone.web import allow_everyone, event_routes, operation_id, project_version
from tests.support.serving import serving


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


def application(*, payloads: bool = True, erasing: bool = False) -> FastAPI:
    """An application that serves the contract of orders."""
    app = FastAPI()
    app.include_router(event_routes(Orders, uri="orders", payloads=payloads, erasing=erasing))
    return app


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    """A client of the orders' application."""
    async with serving(application()) as opened:
        yield opened


async def test_a_post_produces_the_event_and_its_location_reads_it(client: AsyncClient) -> None:
    """201 with the key; its Location has metadata and payload as they were sent."""
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
    assert event["locations"] == []


async def test_a_payload_can_be_erased_in_part_and_whole_where_that_is_switched_on() -> None:
    """The event is still there, and the response has the state of its payload, and what is there of it."""
    storage = SplitStorage(MemoryStorage(), {"amount": MemoryStorage("amounts")})
    async with serving(application(erasing=True), backbone=memory_backbone(storage)) as client:
        place = (await client.post("/events/order-placed", json=BODY)).headers["Location"]
        missing = await client.delete(f"{place}/payload", params={"part": "s3"})
        assert (missing.status_code, "in 'memory' and 'amounts'" in missing.json()["detail"]) == (404, True)
        states: list[tuple[str, object]] = []
        for parameters in ({"part": "amounts"}, {}, {}):
            assert (await client.delete(f"{place}/payload", params=parameters)).status_code == 204
            answer = (await client.get(place)).json()
            states.append((answer["payload"], answer["arguments"]))
            assert len(answer["locations"]) == 2
        assert states == [("partial", {"user": BODY["user"]}), ("erased", None), ("erased", None)]
        assert (await client.delete("/events/1-0/payload")).status_code == 404
        assert (await client.delete("/events/17/payload")).status_code == 400
    async with serving(application()) as client:
        place = (await client.post("/events/order-placed", json=BODY)).headers["Location"]
        assert (await client.delete(f"{place}/payload")).status_code == 404
        assert (await client.get(place)).json()["payload"] == "present"


async def test_every_event_route_is_guarded_by_the_one_authorize_dependency() -> None:
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
    """Each under its own prefix, even with events of one name; the OpenAPI page shows both with their own bodies."""
    app = FastAPI()
    app.include_router(event_routes(Orders, uri="orders"), prefix="/orders")
    app.include_router(event_routes(Returns, uri="returns", erasing=True), prefix="/returns")
    async with serving(app) as client:
        posted = await client.post("/returns/events/order-placed", json={"user": BODY["user"], "reason": "too big"})
        assert posted.headers["Location"] == f"/returns/events/{posted.json()['key']}"
        assert (await client.get(posted.headers["Location"])).json()["uri"] == "returns"
        assert (await client.get(f"/orders/events/{posted.json()['key']}")).status_code == 404
        paths = (await client.get("/openapi.json")).json()["paths"]
    identities = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert sorted(identities) == [
        *("get_liveness", "get_readiness", "orders_get_event", "orders_produce_closed", "orders_produce_order_placed"),
        *("returns_erase_payload", "returns_get_event", "returns_produce_order_placed"),
    ]


async def test_the_openapi_page_shows_docstrings_and_types(client: AsyncClient) -> None:
    """It has what the contract says about its events."""
    page = (await client.get("/openapi.json")).json()
    operation = page["paths"]["/events/order-placed"]["post"]
    assert operation["description"] == "A customer placed an order."
    assert operation["tags"] == ["Orders"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = page["components"]["schemas"][reference.rsplit("/", 1)[-1]]
    assert schema["required"] == ["user"]
    assert schema["properties"]["amount"]["type"] == "integer"
    assert [each["name"] for each in operation["parameters"]] == ["Idempotency-Key"]
    assert set(operation["responses"]["201"]["headers"]) == {"Location"}
    assert set(operation["responses"]["503"]["headers"]) == {"Retry-After"}


async def test_generated_clients_get_names_that_do_not_change() -> None:
    """An operation id is the event's name, or for routes of the application that of the function."""
    app = FastAPI(generate_unique_id_function=operation_id, version=project_version("not-installed"))
    app.include_router(event_routes(Orders, uri="orders"))

    @app.get("/stock")
    async def list_stock() -> None: ...

    async with serving(app) as client:
        page = (await client.get("/openapi.json")).json()
    assert {path: [each["operationId"] for each in page["paths"][path].values()] for path in page["paths"]} == {
        "/events/order-placed": ["produce_order_placed"],
        "/events/closed": ["produce_closed"],
        "/events/{key}": ["get_event"],
        "/stock": ["list_stock"],
        "/health/live": ["get_liveness"],
        "/health/ready": ["get_readiness"],
    }
    assert page["info"]["version"] == "0.0.0"


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
