"""Mute windows and deploy markers: nobody is told, everything is raised, and what was muted says so."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.state import keys
from tests.service.api.test_notifications import PATIENCE_S, notify, told, unheard
from tests.service.notify.conftest import Clock, HttpPeer
from tests.service.notify.conftest import peer as peer
from tests.service.serving import Replica, blocks_bundle, running, stored, until

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path, peer: HttpPeer, clock: Clock) -> AsyncIterator[Replica]:
    await redis.ping()
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles, clock, notify=notify(tmp_path, peer.url)) as replica:
        yield replica


async def post(replica: Replica, status: int = 201, headers: Any = None, **body: Any) -> dict[str, Any]:
    response = await replica.http.post("/sources/blocks/mutes", json=body, headers=headers)
    assert response.status_code == status, response.text
    return dict(response.json())


async def raised(replica: Replica, number: int) -> str:
    """The incident that a line raises."""
    verdict = (await replica.ingest("blocks", [unheard(number)]))["verdicts"][0]
    assert verdict["incident"]
    return str(verdict["incident"])


async def muted(replica: Replica) -> dict[str, bool]:
    return {one["id"]: one["muted"] for one in (await replica.get("/incidents"))["incidents"]}


async def test_what_is_raised_in_a_window_is_marked_and_not_told(
    replica: Replica, peer: HttpPeer, clock: Clock
) -> None:
    window = await post(replica, until=clock.now + 600, reason="we move house", headers={"X-Tocsin-Author": "ada"})
    assert (window["kind"], window["from"], window["author"], window["in_force"]) == ("mute", clock.now, "ada", True)
    quiet = await raised(replica, 7001)
    dropped = 'tocsin_notices_total{notifier="hook0",outcome="muted",source="blocks"}'

    async def counted() -> bool:
        return (await replica.metrics()).get(dropped) == 1.0

    await until(counted, "the notice was dropped", PATIENCE_S)
    clock.now += 600
    loud = await raised(replica, 7002)
    assert await told(peer, 1) == [loud]
    assert await muted(replica) == {quiet: True, loud: False}
    assert (await replica.get(f"/incidents/{quiet}"))["muted"] is True
    [listed] = (await replica.get("/sources/blocks/mutes"))["mutes"]
    assert (listed["reason"], listed["in_force"]) == ("we move house", False)


async def test_a_window_that_is_ended_keeps_what_it_muted(replica: Replica, peer: HttpPeer, clock: Clock) -> None:
    window = await post(replica, until=clock.now + 600)
    quiet = await raised(replica, 7001)
    clock.now += 10
    ended = (await replica.http.delete(f"/sources/blocks/mutes/{window['id']}")).json()
    assert (ended["until"], ended["in_force"]) == (clock.now, False)
    loud = await raised(replica, 7002)
    assert await told(peer, 1) == [loud]
    assert await muted(replica) == {quiet: True, loud: False}


async def test_a_window_ahead_is_forgotten_when_it_is_deleted(replica: Replica, clock: Clock) -> None:
    window = await post(replica, **{"from": clock.now + 100, "until": clock.now + 200})
    assert window["in_force"] is False
    path = f"/sources/blocks/mutes/{window['id']}"
    assert (await replica.http.delete(path)).status_code == 200
    assert (await replica.http.delete(path)).status_code == 404
    assert (await replica.get("/sources/blocks/mutes"))["mutes"] == []


async def test_a_deploy_is_a_mark_in_the_list_and_mutes_only_where_it_has_an_end(
    replica: Replica, peer: HttpPeer, clock: Clock
) -> None:
    before = await raised(replica, 7001)
    clock.now += 10
    deploy = await post(replica, kind="deploy", reason="release <b>42</b>")
    assert deploy["from"] == deploy["until"] == clock.now
    clock.now += 10
    after = await raised(replica, 7002)
    assert await told(peer, 2) == sorted([before, after])
    page = (await replica.http.get("/", headers=BROWSER)).text
    places = [page.index(after), page.index("Deploy of blocks: release &lt;b&gt;42&lt;/b&gt;"), page.index(before)]
    assert places == sorted(places)
    await post(replica, kind="deploy", until=clock.now + 100)
    quiet = await raised(replica, 7003)
    assert (await muted(replica))[quiet] is True


async def test_times_are_iso_or_seconds(replica: Replica) -> None:
    window = await post(replica, **{"from": "2027-01-15T08:00:00Z", "until": "2027-01-15T10:00:00+01:00"})
    assert window["from"] == datetime(2027, 1, 15, 8, tzinfo=UTC).timestamp()
    assert window["until"] == window["from"] + 3600
    assert (await post(replica, until=1_800_000_100.5))["until"] == 1_800_000_100.5


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"until": 1_700_000_000},
        {"until": 1_800_000_000},
        {"from": 1_800_000_100, "until": 1_800_000_050},
        {"until": 1_800_000_000 + 32 * 86_400},
        {"until": 1e300},
        {"until": "soon"},
        {"until": None, "kind": "mute"},
        {"until": 1_800_000_100, "kind": "holiday"},
        {"until": 1_800_000_100, "forever": True},
        {"until": 1_800_000_100, "author": "\x00"},
        {"until": 1_800_000_100, "reason": "x" * 501},
        {"until": 1_800_000_100, "reason": "\x1b[31m"},
    ],
)
async def test_what_is_no_window_is_refused(replica: Replica, body: dict[str, Any]) -> None:
    assert (await post(replica, 422, **body))["error"]
    assert (await replica.get("/sources/blocks/mutes"))["mutes"] == []


async def test_strangers_and_unknown_sources_are_refused(replica: Replica) -> None:
    body = {"until": 1_800_000_100}
    assert (await replica.http.post("/sources/nobody/mutes", json=body)).status_code == 404
    assert (await replica.http.get("/sources/nobody/mutes")).status_code == 404
    await post(replica, 403, headers={"Sec-Fetch-Site": "cross-site"}, **body)


async def test_windows_are_bounded_and_old_ones_make_room(
    replica: Replica, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MUTES_KEPT", 2)
    for _ in range(2):
        await post(replica, until=clock.now + 100)
    assert "2 windows" in (await post(replica, 409, until=clock.now + 100))["error"]
    clock.now += keys.INCIDENT_TTL_S + 101
    await post(replica, until=clock.now + 100)
    assert len((await replica.get("/sources/blocks/mutes"))["mutes"]) == 1
