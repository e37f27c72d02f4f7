"""Kill -9 while a version goes live: the pointer has moved, and the service dies before, while or after it loads it."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from models.bundle import Bundle
from models.bundles import BundleStore
from service.state import keys, sources, watermark, windows
from service.state.connection import claim_schema
from service.state.script import Script
from tests.golden import blocks
from tests.service.serving import NOW, Child, blocks_bundle, running, stored, until

LINES = blocks.golden_log()
PASSED = {"passed": True, "reasons": [], "figures": {}}
REJECTED = {"passed": False, "reasons": ["it forgets"], "figures": {}}
ROUNDS: tuple[tuple[Script | None, bool, bool], ...] = (
    (None, False, False),
    (watermark.BEGIN, True, True),
    (windows.APPEND, False, False),
    (windows.APPEND, True, False),
    (None, False, False),
)
"""Of each batch: the command at which the service is killed (None: it lives), whether Redis sees it, and whether the
service sees the answer. It was told of the version and loads it; has loaded it; has loaded it and stored its lines."""
STARTED_WITHIN_S = 120.0
"""A busy machine takes its time, and nothing here asks for less."""


class Hold:
    """A way to Redis on which a chosen command, or its answer, can be held up with all that follows it."""

    def __init__(self, redis_url: str) -> None:
        self._path = redis_url.removeprefix("unix://")
        self._word: bytes | None = None
        self._seen = False
        self._answer: tuple[asyncio.StreamWriter, bytes] | None = None
        self.url = ""
        self.held = asyncio.Event()

    def hold_once(self, script: Script, *, seen_by_redis: bool) -> None:
        """Hold up the next call of ``script``: on its way, or once Redis has answered."""
        self._word, self._seen, self._answer = script.sha.encode(), seen_by_redis, None
        self.held.clear()

    def release(self) -> None:
        """Let the answer go on."""
        assert self._answer is not None
        writer, data = self._answer
        writer.write(data)

    async def __aenter__(self) -> "Hold":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_unix_connection(self._path)
        holding = asyncio.Event()
        back = asyncio.create_task(self._carry_back(from_redis, writer, holding))
        try:
            while data := await reader.read(1 << 20):
                if self._word is not None and self._word in data:
                    self._word = None
                    holding.set()
                    if not self._seen:
                        self.held.set()
                if not holding.is_set() or (self._seen and not self.held.is_set()):
                    to_redis.write(data)
                    await to_redis.drain()
        except ConnectionError:
            pass
        finally:
            back.cancel()
            for end in (writer, to_redis):
                end.close()

    async def _carry_back(
        self, from_redis: asyncio.StreamReader, writer: asyncio.StreamWriter, holding: asyncio.Event
    ) -> None:
        try:
            while data := await from_redis.read(1 << 20):
                if holding.is_set():
                    self._answer = writer, data
                    self.held.set()
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return


def versions() -> list[Bundle]:
    """The block store's, one that does not know an event that every block has, and a newer one that was rejected."""
    live = blocks_bundle()
    known = orjson.loads(live.files["new_event.json"])["known"]
    made = [live]
    for version, gate, own in (("2", PASSED, known[1:]), ("3", REJECTED, [])):
        manifest = replace(live.manifest, version=version, parent="1", metrics={**live.manifest.metrics, "gate": gate})
        made.append(Bundle.seal(manifest, {**live.files, "new_event.json": orjson.dumps({"known": own})}))
    return made


def parts() -> list[list[str]]:
    size = len(LINES) // len(ROUNDS) + 1
    return [LINES[start : start + size] for start in range(0, len(LINES), size)]


def version_of(number: int) -> str:
    """Which version a batch is judged by: another one than the batch before it."""
    return "12"[number % 2]


async def swapped(redis: Redis, number: int) -> None:
    """Move the pointer, as a learner does."""
    if number:
        live, version = version_of(number - 1), version_of(number)
        assert await sources.activate(
            redis, "blocks", version, at=NOW, by="tocsin learner", how="learned", instead_of=live
        )


def heard(answer: dict[str, Any]) -> tuple[str, Sequence[Any]]:
    """By which version, and what was said of each line. Ends are left to ``ends_of``: whether a batch closes a silent
    session or a sweep comes first is a matter of time."""
    verdicts = [verdict for verdict in answer["verdicts"] if verdict["kind"] == "line"]
    told = [(v["index"], v["session"], v["state"], v["anomalous"], v["score"]) for v in verdicts]
    return answer["versions"]["bundle"], told


async def ends_of(http: httpx.AsyncClient, url: str = "") -> list[tuple[str, float, float, int]]:
    """Every session that ended: its name, when it began and ended, and its events."""
    page = await http.get(f"{url}/verdicts", params={"source": "blocks", "limit": 1_000})
    assert page.status_code == 200, page.text
    return sorted((v["session"], v["started"], v["last"], v["events"]) for v in page.json()["verdicts"])


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=STARTED_WITHIN_S) as http:
        yield http


async def ready(child: Child, http: httpx.AsyncClient) -> None:
    """Wait until it can judge, however long it takes."""

    async def answers() -> bool:
        try:
            return (await http.get(f"{child.url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    await until(answers, "the service is ready", STARTED_WITHIN_S)


async def undisturbed(
    redis: Redis, redis_url: str, bundles: Path
) -> tuple[list[tuple[str, Sequence[Any]]], list[tuple[str, float, float, int]]]:
    """What a service says that nobody kills, and which sessions ended."""
    found = []
    async with running(redis_url, bundles, time.time) as replica:
        await sources.activate(redis, "blocks", "1")
        for number, lines in enumerate(parts()):
            await swapped(redis, number)
            found.append(heard(await replica.ingest("blocks", lines)))
        await replica.core.sweep()
        ends = await ends_of(replica.http)
    await redis.flushall()
    await claim_schema(redis)
    return found, ends


async def test_a_service_killed_while_a_version_goes_live_loses_and_repeats_nothing(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    bundles = stored(tmp_path / "bundles", *versions())
    assert BundleStore(bundles, shipped=None).versions("blocks") == ["1", "2", "3"]
    expected, ends = await undisturbed(redis, redis_url, bundles)
    assert [version for version, _ in expected] == ["1", "2", "1", "2", "1"]
    assert sum(anomalous for *_, anomalous, _ in expected[1][1]) > sum(anomalous for *_, anomalous, _ in expected[0][1])

    await sources.activate(redis, "blocks", "1")
    async with Hold(redis_url) as link, client() as http:
        child = Child(link.url, bundles, spool_rows=0)
        try:
            await ready(child, http)
            for number, (lines, (script, seen, told)) in enumerate(zip(parts(), ROUNDS, strict=True)):
                await swapped(redis, number)
                key = {"Idempotency-Key": f"batch {number}"}

                async def send(url: str, lines: list[str] = lines, key: dict[str, str] = key) -> httpx.Response:
                    return await http.post(f"{url}/ingest", json={"source": "blocks", "lines": lines}, headers=key)

                if script is not None:
                    link.hold_once(script, seen_by_redis=seen)
                    lost = asyncio.create_task(send(child.url))
                    await until(link.held.is_set, "the batch is held up", STARTED_WITHIN_S)
                    if told:
                        link.release()
                    child.kill()
                    with pytest.raises(httpx.TransportError):
                        await lost
                    assert await sources.live_bundle(redis, "blocks") == version_of(number)
                    child = Child(link.url, bundles, spool_rows=0)
                    await ready(child, http)
                    await redis.delete(keys.answer("blocks", key["Idempotency-Key"]))  # as when its marker has run out
                response = await send(child.url)
                assert response.status_code == 200, response.text
                assert heard(response.json()) == expected[number]
                again = await send(child.url)
                assert again.content == response.content

            async def closed() -> bool:
                return len(await ends_of(http, child.url)) >= len(ends)

            await until(closed, "silent sessions are closed", STARTED_WITHIN_S)
            assert await ends_of(http, child.url) == ends
        finally:
            child.kill()
