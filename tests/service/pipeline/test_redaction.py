"""Nothing that a source redacts is in Redis, in the spool, in an answer or in the log after a run; sessions form."""

import hashlib
import logging
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from redis.asyncio import Redis

from models.bundle import Bundle
from models.source.config import Source
from models.source.redaction import Redactor
from service.state.compression import unpack
from tests.golden import blocks
from tests.service.serving import NOW, WITHOUT_NETWORK, Replica, running, stored, until
from training.train import Input, TrainSettings, train

KEY = "a key of these tests"
KINDS = ["email", "ipv4", "card", {"name": "CUSTOMER", "pattern": "cust-[0-9]+"}]
PLANTED = ("eve@evil.example", "203.0.113.9", "4111 1111 1111 1111", "cust-90125")
LEAKY = f"mail of {PLANTED[0]} from {PLANTED[1]} paid by {PLANTED[2]} for {PLANTED[3]}"


def source(name: str, *redact: object) -> Source:
    return Source.from_dict({**blocks.source(name).to_dict(), "redact": list(redact)})


@cache
def bundle(name: str, redacting: bool) -> Bundle:
    """Trained as ``tocsin train`` does it."""
    trained = source(name, *(KINDS if redacting else ()))
    lines = Redactor(trained, KEY.encode()).lines(blocks.normal_log())
    settings = TrainSettings(detectors=WITHOUT_NETWORK)
    return train(trained, Input(lines, {}, None, NOW), settings, version="1", tree_id=f"{name}-tree", created=NOW)


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    """One replica that serves ``quiet``, which redacts, and ``open``, which does not."""
    await redis.ping()
    bundles = stored(tmp_path / "bundles", bundle("quiet", True), bundle("open", False))
    async with running(redis_url, bundles, redaction_key=KEY) as replica:
        yield replica


def lines(number: int) -> list[str]:
    """A block's normal life with a strange event in it."""
    said = ["allocate blk_{0} for /jobs/3/part-4", "receiving blk_{0} from 203.0.113.9:5001", "blk_{0} " + LEAKY]
    return [f"240501 0000{at:02d} 21 INFO store.Names: {text.format(number)}" for at, text in enumerate(said)]


async def send(replica: Replica, name: str) -> list[str]:
    """Lines by every way in which values can come; bodies of the answers."""
    records: list[Any] = [{"line": line, "session": f"job of {PLANTED[0]}"} for line in lines(9001)]
    records += [
        {"line": lines(9002)[2], "fields": {"user": PLANTED[3]}},
        {"session": f"job of {PLANTED[0]}", "end": True},
    ]
    records += [{"line": lines(9003)[2], "timestamp": PLANTED[0]}, {"line": f"no header but {LEAKY}"}]
    bodies = [
        {"source": name, "lines": lines(9000) * 10},
        {"source": name, "records": records},
        {"source": name, "lines": [f"240501 000300 21 INFO store.Names: deleted blk_9000 of {PLANTED[0]}"]},
    ]
    told = []
    for number, body in enumerate(bodies):
        response = await replica.http.post("/ingest", json=body, headers={"Idempotency-Key": f"{name}-{number}"})
        assert response.status_code == 200, response.text
        told.append(response.text)
    later = await replica.http.post("/ingest?wait=false", json={"source": name, "lines": lines(9004)})
    assert later.status_code == 202, later.text
    told.append((await everything(replica.core.redis)).decode("utf-8", "replace"))

    async def judged() -> bool:
        return bool((await replica.get("/verdicts", batch=later.json()["batch"]))["state"] == "done")

    await until(judged, "what was accepted is judged")
    await replica.core.sweep()
    await replica.core.spool.flush()
    pages = (f"/incidents?source={name}", f"/sources/{name}/templates", f"/verdicts?source={name}")
    told += [(await replica.http.get(path)).text for path in pages]
    for incident in orjson.loads(told[4])["incidents"]:
        told.append((await replica.http.get(f"/incidents/{incident['id']}")).text)
        told.append((await replica.http.get(f"/page/incidents/{incident['id']}")).text)
    return told


async def everything(redis: Redis) -> bytes:
    """All keys and values of Redis."""
    found: list[bytes] = []
    async for key in redis.scan_iter("*"):
        kind = await redis.type(key)
        value: Any = {
            b"string": lambda key=key: redis.get(key),
            b"hash": lambda key=key: redis.hgetall(key),
            b"list": lambda key=key: redis.lrange(key, 0, -1),
            b"set": lambda key=key: redis.smembers(key),
            b"zset": lambda key=key: redis.zrange(key, 0, -1),
            b"stream": lambda key=key: redis.xrange(key),
        }[kind]()
        found.append(key)
        found += leaves(await value)
    return b"\n".join(found)


def leaves(value: Any) -> list[bytes]:
    """All bytes in a value of Redis, unpacked where they are packed."""
    if isinstance(value, bytes):
        return [unpack(value)]
    if isinstance(value, dict):
        value = [*value.items()]
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, list | set | tuple) else []


def spooled(replica: Replica) -> str:
    """All that the spool holds, as text."""
    files = sorted(replica.core.settings.spool.rglob("*.parquet"))
    assert files
    return "".join(str(pl.read_parquet(file).to_dicts()) for file in files)


async def test_nothing_planted_is_kept_shown_or_logged(
    replica: Replica, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = await send(replica, "quiet")
    assert orjson.loads(told[4])["incidents"], "nothing rang"
    kept = await everything(redis)
    assert b"<CARD>" in kept
    texts = [*told, kept.decode("utf-8", "replace"), spooled(replica), caplog.text]
    for value in PLANTED:
        for text in texts:
            assert value not in text
    # The same run without redaction: the search would have found them.
    await send(replica, "open")
    kept = await everything(redis)
    assert PLANTED[0].encode() in kept
    assert PLANTED[2].encode() in kept


async def test_what_redis_keeps_of_a_request_is_keyed(replica: Replica, redis: Redis) -> None:
    """Who reads Redis tries values against every hash that a client or the service makes of a body."""
    body = orjson.dumps({"source": "quiet", "lines": lines(9001)})
    plain = hashlib.sha256(body + b"all").hexdigest()
    key = hashlib.sha256(body).hexdigest()
    headers = {"content-type": "application/json", "idempotency-key": key}
    first = await replica.http.post("/ingest", content=body, headers=headers)
    assert first.status_code == 200
    assert (await replica.http.post("/ingest", content=body, headers=headers)).content == first.content
    other = body.replace(b"9001", b"9002")
    assert (await replica.http.post("/ingest", content=other, headers=headers)).status_code == 422
    names = [name.decode() async for name in redis.scan_iter()]
    kept = [await redis.hget(name, "body") for name in names if ":answer:" in name]
    assert len(kept) == 1
    assert plain.encode() not in kept
    assert not [name for name in names if plain in name or key in name]
    mixed = b"\n".join(
        line for name in ("quiet", "open")
        for line in (b'{"create":{"_index":"%s"}}' % name.encode(), orjson.dumps({"message": lines(9003)[0]}))
    ) + b"\n"  # fmt: skip
    answer = await replica.http.post("/_bulk", content=mixed, headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 200
    digest = hashlib.sha256(mixed).hexdigest()
    assert not [name async for name in redis.scan_iter() if b"s:quiet" in name and digest.encode() in name]


async def test_sessions_of_redacted_ids_form_and_end(replica: Replica) -> None:
    by_user = source("users", "email").to_dict() | {"session": {"pattern": r"user=(\S+)"}, "ends_on": ["^bye"]}
    response = await replica.http.put("/sources/users", json=by_user)
    assert response.status_code == 200, response.text
    said = ["hello user=ada@example.com", "hello user=bob@example.com", "bye user=ada@example.com"]
    stamped = [f"240501 0000{at:02d} 21 INFO app: {text}" for at, text in enumerate(said)]
    verdicts = (await replica.ingest("users", stamped))["verdicts"]
    sessions = [verdict["session"] for verdict in verdicts if verdict["index"] is not None]
    assert sessions[0] == sessions[2] != sessions[1]
    assert "ada" not in sessions[0]
    given = {"source": "users", "records": [{"session": "ada@example.com", "line": stamped[0]}]}
    [verdict] = (await replica.http.post("/ingest", json=given)).json()["verdicts"]
    assert verdict["session"] == sessions[0]


async def test_without_a_key_lines_wait_and_the_reason_is_told(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    async with running(redis_url, stored(tmp_path / "bundles", bundle("quiet", True))) as replica:
        response = await replica.http.post("/ingest", json={"source": "quiet", "lines": lines(1)})
        assert response.status_code == 503
        assert "retry-after" in response.headers
        assert "TOCSIN_REDACTION_KEY" in response.json()["error"]
        assert "TOCSIN_REDACTION_KEY" in (await replica.get("/readyz"))["sources"]["quiet"]["problem"]
        response = await replica.http.put("/sources/other", json={"header": {"kind": "raw"}, "redact": ["email"]})
        assert response.status_code == 422
        assert "TOCSIN_REDACTION_KEY" in response.json()["error"]
    assert b"evil" not in await everything(redis)
