"""The web API while its servers are down: 503 with a sentence, in bounded time, and recovery afterwards."""

import os
import signal
from datetime import timedelta
from time import monotonic

from fastapi import FastAPI

from event_backbone.backbone import Backbone
from event_backbone.contract import Contract, event
from event_backbone.storage import S3Options, S3Storage
from event_backbone.testing.servers import RedisServer, S3Server
from event_backbone.web import event_routes
from tests.support.eventually import eventually
from tests.support.serving import serving

PROMPT = timedelta(milliseconds=400)


class Doors(Contract):
    """What a door does."""

    @event
    def opened(self, by: str) -> None:
        """Somebody opened the door."""


def application() -> FastAPI:
    """An application that serves the contract of doors."""
    app = FastAPI()
    app.include_router(event_routes(Doors, uri="doors"))
    return app


async def test_while_redis_is_down_every_route_answers_503(own_redis: RedisServer) -> None:
    """One sentence without the server's address; live stays 200; all is well once Redis is back."""
    headers = {"Idempotency-Key": "one"}
    async with serving(application(), Backbone(own_redis.url, produce_timeout=PROMPT)) as client:
        posted = await client.post("/events/opened", json={"by": "Ada"}, headers=headers)
        assert posted.status_code == 201
        own_redis.kill()
        for answer in (
            await client.post("/events/opened", json={"by": "Ada"}),
            await client.post("/events/opened", json={"by": "Ada"}, headers=headers),
            await client.get(posted.headers["Location"]),
            await client.get("/health/ready"),
        ):
            assert answer.status_code == 503
            assert answer.json()["detail"].endswith((".", "try again.", "twice."))
            assert str(own_redis.port) not in answer.text
        assert (await client.get("/health/live")).status_code == 200
        own_redis.start()

        async def ready() -> bool:
            return (await client.get("/health/ready")).status_code == 200

        await eventually(ready)
        again = await client.post("/events/opened", json={"by": "Ada"}, headers=headers)
        assert (again.status_code, again.json()) == (201, posted.json())


async def test_readiness_is_bounded_when_redis_hangs(own_redis: RedisServer) -> None:
    """A server that accepts connections and never answers is reported within the time-out."""
    async with serving(application(), Backbone(own_redis.url)) as client:
        assert (await client.get("/health/ready")).status_code == 200
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            begin = monotonic()
            answer = await client.get("/health/ready")
            assert monotonic() - begin < 3
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
    assert answer.status_code == 503
    assert answer.json()["detail"] == "Redis and the payload storage did not answer within 1 seconds."


async def test_while_s3_is_down_producing_answers_503(redis_url: str) -> None:
    """The response contains neither endpoint nor credentials."""
    with S3Server() as s3:
        s3.create_bucket("doors")
        named = s3.environment("doors")
        options = S3Options(
            bucket="doors",
            region=named["S3_EVENT_SOURCE_REGION"],
            access_key=named["S3_EVENT_SOURCE_ACCESS_KEY"],
            secret_key=named["S3_EVENT_SOURCE_SECRET"],
            endpoint=s3.endpoint,
            retries=0,
        )
        async with serving(application(), Backbone(redis_url, storage=S3Storage(options))) as client:
            posted = await client.post("/events/opened", json={"by": "Ada"})
            assert posted.status_code == 201
            assert (await client.get(posted.headers["Location"])).json()["arguments"] == {"by": "Ada"}
            assert (await client.get("/health/ready")).status_code == 200
            s3.kill()
            for answer in (
                await client.post("/events/opened", json={"by": "Ada"}),
                await client.get(posted.headers["Location"]),
                await client.get("/health/ready"),
            ):
                assert answer.status_code == 503
                assert "storage" in answer.json()["detail"]
                assert str(s3.port) not in answer.text
                assert named["S3_EVENT_SOURCE_SECRET"] not in answer.text
