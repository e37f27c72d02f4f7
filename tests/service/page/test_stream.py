"""Incidents as they change, over a real connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from service.api import stream
from tests.service.listening import listening
from tests.service.page.markup import quarantined
from tests.service.serving import Replica

PATIENCE_S = 60.0


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        yield client


@asynccontextmanager
async def following(http: httpx.AsyncClient, url: str, **query: str) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """Events of a stream that is ready: their kind and data; comments are left out."""
    async with http.stream("GET", f"{url}/incidents/stream", params=query) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        events = parsed(response.aiter_lines())
        assert await anext(events) == ("ready", {})
        yield events


async def parsed(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Any]]:
    kind = ""
    async for line in lines:
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))


async def rang(replica: Replica, block: int) -> str:
    return str((await replica.ingest("blocks", [quarantined(block)]))["verdicts"][0]["incident"])


async def test_an_incident_is_told_when_it_is_raised_seen_again_and_answered(
    replica: Replica, address: str, http: httpx.AsyncClient
) -> None:
    before = await rang(replica, 1)
    async with asyncio.timeout(PATIENCE_S), following(http, address) as events:
        first = await rang(replica, 2)
        kind, told = await anext(events)
        assert (kind, told["id"], told["state"], told["count"]) == ("incident", first, "open", 1)
        listed = {one["id"]: one for one in (await replica.get("/incidents"))["incidents"]}
        assert told == listed[first]
        assert before in listed, "what was there before is not told"
        assert await rang(replica, 2) == first
        assert (await anext(events))[1]["count"] == 2
        await replica.http.post("/feedback", json={"incident": first, "label": "false_positive"})
        assert (await anext(events))[1]["state"] == "silenced"


async def test_a_follower_is_told_of_one_source_and_state_where_it_asks_for_them(
    replica: Replica, address: str, http: httpx.AsyncClient
) -> None:
    async with (
        asyncio.timeout(PATIENCE_S),
        following(http, address, source="blocks", state="silenced") as silenced,
        following(http, address, source="postgres") as other,
        following(http, address) as every,
    ):
        incident = await rang(replica, 1)
        assert (await anext(every))[1]["id"] == incident
        await replica.http.post("/feedback", json={"incident": incident, "label": "false_positive"})
        assert (await anext(silenced))[1]["state"] == "silenced"
        waiting = asyncio.ensure_future(anext(other))
        assert (await anext(every))[1]["state"] == "silenced"
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
    refused = await http.get(f"{address}/incidents/stream", params={"state": "asleep"})
    assert refused.status_code == 422


async def test_a_stream_ends_when_the_server_is_told_to_stop(replica: Replica, http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as server:
        address = await server.enter_async_context(listening(replica))
        async with following(http, address) as events:
            stopping = asyncio.create_task(server.aclose())
            assert [event async for event in events] == []
        await stopping


async def test_only_so_many_may_follow_and_a_place_is_free_again_once_one_leaves(
    replica: Replica, address: str, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "FOLLOWERS", 1)
    async with asyncio.timeout(PATIENCE_S):
        async with following(http, address):
            refused = await http.get(f"{address}/incidents/stream")
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
        while True:
            async with http.stream("GET", f"{address}/incidents/stream") as response:
                if response.status_code == 200:
                    break


async def test_silence_is_filled_with_comments(
    replica: Replica, address: str, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.001)
    async with asyncio.timeout(PATIENCE_S), http.stream("GET", f"{address}/incidents/stream") as response:
        comments = (line async for line in response.aiter_lines() if line.startswith(":"))
        assert [await anext(comments) for _ in range(3)] == [": still here"] * 3


async def test_whoever_falls_behind_is_sent_away() -> None:
    follower = stream.Follower(None, None)
    for number in range(stream.WAITING + 50):
        follower.tell({"id": str(number), "source": "blocks", "state": "open"})
    told = [await follower.next() for _ in range(stream.WAITING + 1)]
    assert told[-1] is None
    assert None not in told[:-1]
