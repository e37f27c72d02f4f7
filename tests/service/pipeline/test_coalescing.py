"""Requests that arrive together become one batch, and each is answered as if it had come alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from models.errors import StateError
from service.pipeline import worker
from service.pipeline.reading import Reading
from service.pipeline.report import Reporter
from tests.golden import blocks
from tests.service.serving import Replica, blocks_bundle, later_shop_lines, running, shop_bundle, stored, until


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle(), shop_bundle())) as replica:
        yield replica


async def together(
    replica: Replica, source: str, bodies: Sequence[dict[str, Any]], keys: Sequence[str] | None = None
) -> list[httpx.Response]:
    """Answers of requests that all wait while the source is busy, in the order in which they were sent, each under its
    Idempotency-Key where ``keys`` are given."""
    queue = replica.core._workers[source]
    async with replica.core.sources.live[source].lock:
        tasks = []
        for number, body in enumerate(bodies):
            headers = {} if keys is None else {"idempotency-key": keys[number]}
            sent = replica.http.post("/ingest", json={"source": source, **body}, headers=headers)
            tasks.append(asyncio.create_task(sent))
            # The first one is the worker's own batch already; the others wait.
            waiting = max(0, number)
            await until(lambda n=waiting: len(queue._waiting) == n and queue._arrived.is_set(), "it waits")  # type: ignore[misc]
    return list(await asyncio.gather(*tasks))


def comparable(response: httpx.Response) -> dict[str, Any]:
    """An answer without what differs by when it was made: a template that widens later reads wider then."""
    answer = response.json()
    versions = {name: value for name, value in answer.pop("versions").items() if name != "tree_version"}
    # A session that silence ended goes to whichever request moved the clock or swept it.
    lines = [{**v, "template": None} for v in answer.pop("verdicts") if v["index"] is not None]
    for verdict in lines:
        verdict["reasons"] = [reason["detector"] for reason in verdict["reasons"]]
    return {"status": response.status_code, **answer, "verdicts": lines, "versions": versions}


async def alone(redis: Redis, redis_url: str, tmp_path: Path, source: str, bodies: Sequence[dict[str, Any]]) -> Any:
    """Comparable answers and session ends of the requests sent one after the other to a fresh service."""
    await redis.flushall()
    async with running(redis_url, stored(tmp_path / "fresh", blocks_bundle(), shop_bundle())) as replica:
        found = [await replica.http.post("/ingest", json={"source": source, **body}) for body in bodies]
        return [comparable(response) for response in found], await ends_of(replica, source)


async def ends_of(replica: Replica, source: str) -> list[str]:
    await replica.core.sweep()
    return sorted(str({**end, "incident": None, "reasons": None}) for end in await replica.ends(source))


@pytest.mark.parametrize("size", [1, 4])
async def test_waiting_requests_are_answered_as_if_each_had_come_alone(
    replica: Replica, redis: Redis, redis_url: str, tmp_path: Path, size: int
) -> None:
    lines = blocks.golden_log()[210:360]
    bodies = [{"lines": lines[start : start + size]} for start in range(0, len(lines), size)]
    before = (await replica.metrics()).get('tocsin_batch_lines_count{source="blocks"}', 0)
    found = [comparable(response) for response in await together(replica, "blocks", bodies)]
    batches = (await replica.metrics())['tocsin_batch_lines_count{source="blocks"}'] - before
    assert batches == 2, "the first alone, then all that waited"
    ends = await ends_of(replica, "blocks")
    assert (found, ends) == await alone(redis, redis_url, tmp_path, "blocks", bodies)
    assert any(answer["rejected"] for answer in found)
    assert {answer["status"] for answer in found} == ({200, 422} if size == 1 else {200})


async def test_waiting_requests_under_keys_are_one_batch_and_each_is_answered_and_repeated_as_its_own(
    replica: Replica, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    lines = blocks.golden_log()
    bodies = [{"lines": lines[start : start + 40]} for start in range(0, len(lines), 40)]
    keys = [f"request {number}" for number in range(len(bodies))]
    before = (await replica.metrics()).get('tocsin_batch_lines_count{source="blocks"}', 0)
    responses = await together(replica, "blocks", bodies, keys)
    found = [comparable(response) for response in responses]
    assert (await replica.metrics())['tocsin_batch_lines_count{source="blocks"}'] - before == 2
    incidents = {item["id"]: item["count"] for item in (await replica.get("/incidents"))["incidents"]}
    for number, body in enumerate(bodies):
        again = await replica.http.post(
            "/ingest", json={"source": "blocks", **body}, headers={"idempotency-key": keys[number]}
        )
        assert again.content == responses[number].content
    assert incidents
    assert {item["id"]: item["count"] for item in (await replica.get("/incidents"))["incidents"]} == incidents
    ends = await ends_of(replica, "blocks")
    assert (found, ends) == await alone(redis, redis_url, tmp_path, "blocks", bodies)


async def test_batches_read_ahead_are_answered_as_if_each_request_had_come_alone(
    redis: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request is a batch by itself, and known while the one before it is still on its way."""
    monkeypatch.setattr(worker, "AHEAD_LINES", 1)
    lines = blocks.golden_log()
    bodies = [{"lines": lines[start : start + 30]} for start in range(0, len(lines), 30)]
    expected = await alone(redis, redis_url, tmp_path, "blocks", bodies)
    ahead: list[bool] = []

    def noting(reading: Reading, jobs: list[worker.Job] | None) -> None:
        ahead.append(jobs is not None)
        begin(reading, jobs)

    begin = Reading.read_ahead
    monkeypatch.setattr(Reading, "read_ahead", noting)
    await redis.flushall()
    bundles = stored(tmp_path / "bundles", blocks_bundle(), shop_bundle())
    async with running(redis_url, bundles, batch_lines=30) as replica:
        found = [comparable(response) for response in await together(replica, "blocks", bodies)]
        assert (found, await ends_of(replica, "blocks")) == expected
    assert ahead == [True] * (len(bodies) - 1) + [False]


async def test_what_was_appended_before_is_judged_alone_and_as_it_was_then(
    replica: Replica, redis: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two requests are appended and fail; others come between; their retries wait together with a new one."""
    lines = [line for line in blocks.golden_log() if line[:1].isdigit()]
    bodies = [{"lines": lines[start : start + 60]} for start in range(0, 240, 60)]
    keys = [f"request {number}" for number in range(len(bodies))]

    async def away(*_given: Any, **_named: Any) -> None:
        raise StateError("Redis is away")

    with monkeypatch.context() as broken:
        broken.setattr(Reporter, "report_each", away)
        failed = await together(replica, "blocks", bodies[:2], keys[:2])
        assert [response.status_code for response in failed] == [503, 503]
    [between] = await together(replica, "blocks", bodies[2:3], keys[2:3])
    nothing = {"lines": ["no header"]}
    later = await together(replica, "blocks", [nothing, *bodies[:2], bodies[3]], ["nothing", *keys[:2], keys[3]])
    found = [comparable(response) for response in (*later[1:3], between, later[3])]
    ends = await ends_of(replica, "blocks")
    assert (found, ends) == await alone(redis, redis_url, tmp_path, "blocks", bodies)


async def test_what_came_between_a_request_and_its_retry_stands_before_what_waits_with_the_retry(
    replica: Replica, redis: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One session in three requests: the first is appended and fails, the second is answered, then the first's retry
    waits together with the third, which would ring if it did not follow on the second."""
    life = [line for line in blocks.normal_log(2) if line.endswith("blk_1") or "blk_1 " in line]
    first, between, last = [{"lines": part} for part in (life[:1], life[1:5], life[5:])]

    async def away(*_given: Any, **_named: Any) -> None:
        raise StateError("Redis is away")

    with monkeypatch.context() as broken:
        broken.setattr(Reporter, "report_each", away)
        [failed] = await together(replica, "blocks", [first], ["first"])
        assert failed.status_code == 503
    [answered] = await together(replica, "blocks", [between], ["between"])
    _, retried, followed = await together(
        replica, "blocks", [{"lines": ["no header"]}, first, last], ["nothing", "first", "last"]
    )
    found = [comparable(response) for response in (retried, answered, followed)]
    expected, _ = await alone(redis, redis_url, tmp_path, "blocks", [first, between, last])
    without, _ = await alone(redis, redis_url, tmp_path / "without", "blocks", [first, last])
    assert found == expected
    assert without[-1] != expected[-1], "what came between makes no difference"


async def test_a_request_never_carries_on_another_ones_record(
    replica: Replica, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """Records of several lines, cut anywhere: a request that begins within one gets errors for those lines."""
    lines = later_shop_lines(200)
    cuts = [0, 3, 4, 5, 6, 7, 9, 30, 31, 32, 33, 90, 91, 150, len(lines)]
    bodies = [{"lines": lines[start:stop]} for start, stop in pairwise(cuts)]
    bodies += [{"lines": ["\tcarries on", "\tcarries on", lines[0]]}, {"lines": ["\tcarries on"]}, {"lines": [7, "\t"]}]
    found = [comparable(response) for response in await together(replica, "shop", bodies)]
    ends = await ends_of(replica, "shop")
    assert (found, ends) == await alone(redis, redis_url, tmp_path, "shop", bodies)
    assert [error["index"] for error in found[-3]["rejected"]] == [0, 1]
    assert [verdict["index"] for verdict in found[-3]["verdicts"]] == [2]
    assert [answer["status"] for answer in found[-3:]] == [200, 422, 422]


async def test_records_lines_ends_and_errors_of_waiting_requests_keep_apart(
    replica: Replica, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    line = "240501 000010 21 INFO store.Names: allocate blk_1 for /jobs/3/part-4"
    bodies: list[dict[str, Any]] = [
        {"lines": [line]},
        {"records": [{"line": line, "session": "own", "timestamp": 1714521700}, {"session": "own", "end": True}]},
        {"lines": [5, "no header", line]},
        {"records": [{"session": "own", "end": True}]},
        {"records": [{"end": True}, {"line": line}, {"line": line, "session": "own", "end": True}]},
        {"lines": [line, line]},
    ]
    responses = await together(replica, "blocks", bodies)
    ended = [[v["session"] for v in r.json()["verdicts"] if v["index"] is None] for r in responses]
    assert ended == [[], ["own"], [], [], ["own"], []]
    found = [comparable(response) for response in responses]
    ends = await ends_of(replica, "blocks")
    assert (found, ends) == await alone(redis, redis_url, tmp_path, "blocks", bodies)


async def test_two_sources_are_worked_on_side_by_side(replica: Replica) -> None:
    async with replica.core.sources.live["blocks"].lock:
        held = asyncio.create_task(replica.ingest("blocks", blocks.golden_log()))
        answer = await replica.ingest("shop", later_shop_lines(500))
        assert answer["source"] == "shop"
        assert not held.done()
    assert (await held)["source"] == "blocks"


async def test_a_full_queue_refuses_before_it_decodes_until_a_tenth_is_free(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    lines = [line for line in blocks.golden_log() if line[:1].isdigit()]
    damaged = b'{"source": "blocks", "lines": ["never '
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle()), queue_lines=10) as replica:
        worker = replica.core._workers["blocks"]
        async with replica.core.sources.live["blocks"].lock:
            at_work = asyncio.create_task(replica.ingest("blocks", lines[:6]))
            await until(lambda: worker._arrived.is_set() and not worker._waiting, "the first is at work")
            waits = asyncio.create_task(replica.ingest("blocks", lines[6:16]))
            await until(lambda: len(worker._waiting) == 1, "the second waits")
            # Nobody was refused yet, so this one is decoded.
            assert (await replica.http.post("/ingest", content=damaged)).status_code == 400
            refused = await replica.http.post("/ingest", json={"source": "blocks", "lines": lines[16:17]})
            assert refused.status_code == 429
            unread = await replica.http.post("/ingest", content=damaged)
            assert (unread.status_code, unread.json()) == (429, refused.json())
            text = {"content": b"\xff", "headers": {"content-type": "text/plain"}, "params": {"source": "blocks"}}
            assert (await replica.http.post("/ingest", **text)).status_code == 429
            elsewhere = await replica.http.post("/ingest", content=damaged.replace(b"blocks", b"nowhere"))
            assert elsewhere.status_code == 400
        for task in (at_work, waits):
            assert not (await task)["rejected"]
        assert (await replica.http.post("/ingest", content=damaged)).status_code == 400
        assert (await replica.http.post("/ingest", json={"source": "blocks", "lines": lines[16:17]})).status_code == 200


async def test_a_full_queue_refuses_and_what_was_taken_is_answered(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    lines = [line for line in blocks.golden_log() if line[:1].isdigit()]
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle()), queue_lines=10) as replica:
        worker = replica.core._workers["blocks"]
        async with replica.core.sources.live["blocks"].lock:
            at_work = asyncio.create_task(replica.ingest("blocks", lines[:6]))
            await until(lambda: worker._arrived.is_set() and not worker._waiting, "the first is at work")
            waits = asyncio.create_task(replica.ingest("blocks", lines[6:12]))
            await until(lambda: len(worker._waiting) == 1, "the second waits")
            assert (await replica.metrics())['tocsin_queue_lines{source="blocks"}'] == 6
            refused = await replica.http.post("/ingest", json={"source": "blocks", "lines": lines[12:18]})
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) >= 1
            assert "slow down" in refused.json()["error"]
            fits = asyncio.create_task(replica.ingest("blocks", lines[12:16]))
            await until(lambda: len(worker._waiting) == 2, "the smaller one waits")
        for task in (at_work, waits, fits):
            assert not (await task)["rejected"]
        again = await replica.http.post("/ingest", json={"source": "blocks", "lines": lines[12:18]})
        assert again.status_code == 200
        assert (await replica.metrics())['tocsin_queue_lines{source="blocks"}'] == 0
