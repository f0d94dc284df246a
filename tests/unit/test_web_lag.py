"""How far groups are behind over HTTP: the number that an autoscaler goes by, from the API and from a worker."""

import asyncio
import http.client
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import Any, cast

import pytest
from fastapi import FastAPI, HTTPException
from httpx import AsyncClient

from event_backbone import Backbone, Consumer, Context, Retry, Worker
from event_backbone.testing import memory_backbone
from event_backbone.testing.servers import RedisServer
from event_backbone.web import lag_routes, serve_worker_health
from event_backbone.web.worker_health import serve_routes
from tests.support.eventually import eventually
from tests.support.frozen import frozen
from tests.support.parcels import GROUP, URI, Parcels, Remembering, Stuck, pack, run_to_the_end, stopped_within
from tests.support.serving import serving

PROMPT = timedelta(milliseconds=500)
NOT_NOW = timedelta(hours=1)
OWN = f"/lag?group={GROUP}"


@pytest.fixture(params=["redis", "memory"])
async def backbone(request: pytest.FixtureRequest) -> AsyncGenerator[Backbone]:
    """On a real server, and in memory."""
    if request.param == "memory":
        async with memory_backbone() as opened:
            yield opened
    else:
        async with Backbone(request.getfixturevalue("redis_url"), environment="test") as opened:
            yield opened


@asynccontextmanager
async def lag_of(backbone: Backbone, *uris: str) -> AsyncGenerator[AsyncClient]:
    """A client of an application that serves the lag of these streams."""
    app = FastAPI()
    app.include_router(lag_routes(uris or URI, timeout=PROMPT))
    async with serving(app) as client:
        app.state.backbone = backbone
        yield client


async def answered(client: AsyncClient, path: str = OWN) -> dict[str, Any]:
    """Return what the API answers."""
    response = await client.get(path)
    assert response.status_code == 200, response.text
    return cast("dict[str, Any]", response.json())


async def test_the_first_event_starts_the_first_worker(backbone: Backbone) -> None:
    """A group that no worker has made yet has a backlog as soon as there is an event, and none before."""
    async with lag_of(backbone) as client:
        assert (await answered(client))["backlog"] == 0
        await pack(backbone, 1)
        body = await answered(client)
        (group,) = body["groups"]
        assert (body["backlog"], group["group"], group["exists"], group["unread"]) == (1, GROUP, False, 1)
        assert 0 <= group["oldest_unread_seconds"] < 30
        assert await answered(client, "/lag") == {"backlog": 0, "groups": []}
        await run_to_the_end(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP, until="empty"))
        body = await answered(client)
        assert (body["backlog"], body["groups"][0]["exists"]) == (0, True)
        assert await answered(client, "/lag") == body


async def test_what_runs_counts_and_what_waits_for_a_later_attempt_does_not(backbone: Backbone) -> None:
    """So no worker is removed in the middle of an event, and none is kept waiting for an hour."""
    stuck = Stuck()
    await pack(backbone, 1, 2)
    async with lag_of(backbone) as client:
        subscription = backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, concurrency=1)
        async with stopped_within(subscription):
            await stuck.running.wait()
            (group,) = (await answered(client))["groups"]
            assert (group["backlog"], group["pending"] + group["unread"], group["consumers"]) == (2, 2, 1)
            stuck.release.set()
            await subscription.until_idle()
        failing = Consumer(Parcels)

        @failing.on(Parcels.packed)
        async def packed(ctx: Context, number: int) -> None:
            raise Retry(after=NOT_NOW)

        async with stopped_within(backbone.subscribe(failing, uri=URI, group=GROUP)):
            await pack(backbone, 3)

            async def parked() -> bool:
                return bool((await answered(client))["groups"][0]["parked"] == 1)

            await eventually(parked)
        (group,) = (await answered(client))["groups"]
        assert (group["backlog"], group["pending"], group["due"], group["oldest_unread_seconds"]) == (0, 1, 0, None)
        assert 0 <= group["oldest_pending_seconds"] < 30


async def test_several_streams_and_groups_are_added_up(backbone: Backbone) -> None:
    """All groups, or those that are named, of each stream, whatever characters a name has."""
    odd = "mail/v1.2 @eu#*"
    for uri, events in (("north", 2), ("south", 3)):
        for number in range(events):
            await backbone.producer(Parcels, uri=uri).packed(number)
    subscription = backbone.subscribe(Remembering().consumer, uri="north", group=odd, max_events=1, concurrency=1)
    await run_to_the_end(subscription)
    async with lag_of(backbone, "north", "south") as client:
        named = await client.get("/lag", params=[("group", odd), ("group", GROUP)])
        assert {(each["uri"], each["group"], each["unread"]) for each in named.json()["groups"]} == {
            *(("north", odd, 1), ("north", GROUP, 2), ("south", odd, 3), ("south", GROUP, 3)),
        }
        assert named.json()["backlog"] == 9
        assert [(each["uri"], each["backlog"]) for each in (await answered(client, "/lag"))["groups"]] == [("north", 1)]


@pytest.mark.parametrize("query", ["group=", f"group={'&group='.join(map(str, range(101)))}"], ids=["empty", "many"])
async def test_a_wrong_group_is_refused_in_a_sentence(query: str) -> None:
    """Without asking Redis."""
    async with memory_backbone() as backbone, lag_of(backbone) as client:
        answer = await client.get(f"/lag?{query}")
    assert (answer.status_code, answer.json()) == (
        422,
        {"detail": "The query parameter 'group' is missing or not valid."},
    )


async def test_the_lag_is_guarded_and_documented() -> None:
    """By the dependency that it is given; generated clients have a method for it."""

    async def nobody() -> None:
        raise HTTPException(403, "Nobody may.")

    app = FastAPI()
    app.include_router(lag_routes(URI, authorize=nobody))
    async with serving(app) as client:
        assert (await client.get(OWN)).status_code == 403
        operation = (await client.get("/openapi.json")).json()["paths"]["/lag"]["get"]
    assert (operation["operationId"], set(operation["responses"])) == ("get_lag", {"200", "422", "503"})
    assert [each["name"] for each in operation["parameters"]] == ["group"]


async def test_a_redis_that_does_not_answer_is_503_in_bounded_time(own_redis: RedisServer) -> None:
    """From the API and from a worker, with a sentence that names no server; both go on when it answers again."""
    async with Backbone(own_redis.url) as backbone:
        worker = Worker(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP))
        served = serve_worker_health(worker, backbone, port=0, timeout=PROMPT)
        async with worker, served as port, lag_of(backbone) as client:
            assert (await answered(client))["backlog"] == 0
            with frozen(own_redis.pid):
                begun = monotonic()
                answer = await client.get(OWN)
                status, body = await asyncio.to_thread(get, port, "/lag")
                assert monotonic() - begun < 4 * PROMPT.total_seconds()
            assert (answer.status_code, answer.headers["Retry-After"], status) == (503, "1", 503)
            assert answer.json() == body == {"detail": "The event stream does not answer at the moment; try again."}
            own_redis.kill()
            assert (await client.get(OWN)).status_code == 503
            own_redis.start()

            async def answers() -> bool:
                return (await client.get(OWN)).status_code == 200

            await eventually(answers)


def test_a_stop_while_a_connection_asks_nothing_logs_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """The event loop ends with the worker."""

    async def stop() -> None:
        async with serve_routes({}, host="127.0.0.1", port=0) as port:
            _, silent = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.to_thread(get, port, "/health/live")
        silent.transport.abort()

    asyncio.run(stop())
    assert caplog.messages == []


async def test_a_connection_that_asks_nothing_does_not_delay_the_stop(backbone: Backbone) -> None:
    """As load balancers and browsers open some."""
    worker = Worker(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP))
    async with worker:
        async with serve_worker_health(worker, backbone, port=0) as port:
            _, silent = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.to_thread(get, port, "/health/live")
            begun = monotonic()
        assert monotonic() - begun < 2
        silent.close()


async def test_a_worker_answers_for_the_groups_of_its_subscriptions(backbone: Backbone) -> None:
    """All of them, or those that are named; another group is one sentence."""
    stuck, quick = Stuck(), Remembering()
    await pack(backbone, 1)
    for number in range(3):
        await backbone.producer(Parcels, uri="others").packed(number)
    worker = Worker(
        backbone.subscribe(stuck.consumer, uri=URI, group=GROUP),
        backbone.subscribe(quick.consumer, uri=URI, group="mailer"),
        backbone.subscribe(quick.consumer, uri="others", group="mailer"),
    )
    async with worker, serve_worker_health(worker, backbone, port=0) as port:
        await stuck.running.wait()

        async def settled() -> bool:
            return bool((await asyncio.to_thread(get, port, "/lag"))[1]["backlog"] == 1)

        await eventually(settled)
        _, body = await asyncio.to_thread(get, port, "/lag")
        assert [(each["uri"], each["group"], each["backlog"]) for each in body["groups"]] == [
            *((URI, "mailer", 0), (URI, GROUP, 1), ("others", "mailer", 0)),
        ]
        _, body = await asyncio.to_thread(get, port, "/lag?group=mailer")
        assert ([each["uri"] for each in body["groups"]], body["backlog"]) == ([URI, "others"], 0)
        assert await asyncio.to_thread(get, port, "/lag?group=mail") == (
            404,
            {"detail": f"Ask for a group of this worker: mailer, {GROUP}."},
        )
        assert (await asyncio.to_thread(get, port, "/metrics"))[0] == 404
        stuck.release.set()


def get(port: int, path: str) -> tuple[int, dict[str, Any]]:
    """Ask a worker's port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, json.loads(response.read())
