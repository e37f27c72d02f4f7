"""Test support: small trained bundles, and the service over them, in this process or in a child."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import orjson
from fastapi import FastAPI

import training.sample
from models.bundle import Bundle
from models.bundles import BundleStore
from models.source.config import Source
from models.verdict import Verdict
from service.api.app import create_app
from service.core import Core
from service.settings import Settings
from tests.golden import blocks
from training.corpus import chunks, split_log
from training.deeplog import DeepLogSettings
from training.logs import Labels, read_lines
from training.train import Input, TrainSettings, train

NOW = 1_800_000_000.0
"""The clock of most tests: after every line's own time, and standing still."""
WITHOUT_NETWORK = ("new_event", "length", "count_vector")
PATIENCE_S = 60.0
PROCESS_PATIENCE_S = 180.0
"""A process starts in a second or two, and in far more on a machine that is busy with others."""


@cache
def sample_lines() -> list[str]:
    """The recorded PostgreSQL log."""
    return read_lines([Path(training.sample.__file__).parent / "postgres.log.gz"])


@cache
def shop_source() -> Source:
    """The PostgreSQL preset under another name than the shipped bundle's."""
    return Source.from_dict({**Source.load("postgres").to_dict(), "name": "shop"})


@cache
def shop_bundle(version: str = "1", tree_id: str = "shop-tree", lines: int = 8_000) -> Bundle:
    """Trained on the first lines of the sample, without a network."""
    given = Input(sample_lines()[:lines], {}, None, NOW)
    settings = TrainSettings(detectors=WITHOUT_NETWORK)
    return train(shop_source(), given, settings, version=version, tree_id=tree_id, created=NOW)


@cache
def blocks_bundle() -> Bundle:
    """Trained on the invented block store, with a small DeepLog."""
    deeplog = DeepLogSettings(
        h=6, epochs=2, hidden=16, embedding=8, layers=1, weight_powers=(0.5,), folds=2, screened=1
    )
    given = Input(blocks.normal_log(), {}, None, NOW)
    return train(
        blocks.source(),
        given,
        TrainSettings(members={"deeplog": deeplog.to_dict()}),
        version="1",
        tree_id="blocks-tree",
        created=NOW,
    )


@cache
def every_kind_bundle() -> Bundle:
    """Trained on the invented block store with one detector for each thing that a detector may read of a log."""
    lines = blocks.normal_log()
    names = dict.fromkeys(split_log(blocks.source(), lines, NOW).session.to_list())
    labels = Labels({name: number % 9 == 4 for number, name in enumerate(names)}, {})
    small = {
        "keyvalue": {"epochs": 1, "steps": 20, "folds": 2, "hidden": 8, "embedding": 8},
        "deeplog_values": {"steps": 60},
        "autolog": {"chunk_s": 20.0, "steps": 20, "wide": 8, "narrow": 4, "false_alarm_rate": 0.05},
    }
    names_of = ("timing", "deeplog_values", "keyvalue", "ngram", "edit_distance", "count_vector_idf", "autolog")
    settings = TrainSettings(detectors=names_of, members=small)
    given = Input(lines, {}, labels, NOW)
    return train(blocks.source(), given, settings, version="1", tree_id="blocks-tree", created=NOW)


def stored(root: Path, *bundles: Bundle) -> Path:
    """A bundles directory that holds ``bundles``."""
    store = BundleStore(root, shipped=None)
    for bundle in bundles:
        store.save(bundle.source.name, bundle)
    return root


def later_shop_lines(count: int, start: int = 16_000) -> list[str]:
    """Lines of the sample's later part, whole records only."""
    lines = sample_lines()
    begins = [i for i in range(start, start + count) if not lines[i].startswith("\t")]
    return lines[begins[0] : begins[-1]]


def batches_of(source: Source, lines: Sequence[str], size: int) -> list[list[str]]:
    """Consecutive batches of about ``size`` lines; no record is cut in two."""
    return [list(lines[start:stop]) for start, stop in chunks(source, lines, size)]


@dataclass(frozen=True, slots=True)
class Replica:
    """One composed process of the service and a client of it."""

    core: Core
    http: httpx.AsyncClient
    app: FastAPI

    async def ingest(self, source: str, lines: Sequence[str], **how: Any) -> dict[str, Any]:
        """Verdicts of a batch of lines that must be taken."""
        response = await self.http.post("/ingest", json={"source": source, "lines": list(lines)}, **how)
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        """A JSON answer that must be there."""
        response = await self.http.get(path, params=query)
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def metrics(self) -> dict[str, float]:
        """Samples of the exposition by ``name{labels}``."""
        text = (await self.http.get("/metrics")).text
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    async def ends(self, source: str) -> list[Verdict]:
        """Every verdict of an ended session, read in small pages."""
        found: list[Verdict] = []
        query: dict[str, Any] = {"source": source, "limit": 50}
        while True:
            page = await self.get("/verdicts", **query)
            if not page["verdicts"]:
                return found
            found += page["verdicts"]
            query["since"] = page["next"]

    async def texts(self, source: str) -> dict[int, str]:
        """Template texts by id, as they are now."""
        listed = (await self.get(f"/sources/{source}/templates"))["templates"]
        return {template["id"]: template["template"] for template in listed}


@asynccontextmanager
async def running(
    redis_url: str, bundles: Path, clock: Callable[[], float] = lambda: NOW, **settings: Any
) -> AsyncIterator[Replica]:
    """The service in this process, started and drained as uvicorn would."""
    core = Core(Settings(data_dir=bundles.parent, bundles_dir=str(bundles), **settings), redis_url, clock, clock)
    app = create_app(core)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://tocsin", timeout=PATIENCE_S) as http,
    ):
        yield Replica(core, http, app)


async def until(happened: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until ``happened()`` (or what it awaits to) is true; fails after ``patience_s``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    while True:
        found = happened()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert loop.time() < deadline, f"still not: {what}"
        await asyncio.sleep(0.01)


class Child:
    """``tocsin serve`` in a process of its own."""

    def __init__(self, redis_url: str, bundles: Path, **settings: object) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        given = {"redis_url": redis_url, "bundles_dir": bundles, "data_dir": bundles.parent, "port": port, **settings}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        environment = {**inherited, **{f"TOCSIN_{name.upper()}": str(value) for name, value in given.items()}}
        self._process = subprocess.Popen([sys.executable, "-m", "service", "serve"], env=environment)

    async def ready(self, http: httpx.AsyncClient) -> None:
        """Wait until it can judge."""

        async def answers() -> bool:
            assert self._process.poll() is None, "tocsin serve ended"
            try:
                return (await http.get(f"{self.url}/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        await until(answers, "tocsin serve is ready", PROCESS_PATIENCE_S)

    @property
    def pid(self) -> int:
        """Of the process that was started, which has worker processes as its children or none."""
        return self._process.pid

    def terminate(self) -> None:
        """SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Its exit status, once it is gone."""
        await until(lambda: self._process.poll() is not None, "tocsin serve ended", PROCESS_PATIENCE_S)
        return int(self._process.returncode)

    def kill(self) -> None:
        """The end of a test: whatever it was doing."""
        self._process.kill()
        self._process.wait()


class Link:
    """A network link to Redis that can break at a chosen command: before Redis sees it, or before its reply is back."""

    def __init__(self, redis_url: str) -> None:
        self._path = redis_url.removeprefix("unix://")
        self._break: tuple[bytes, bool] | None = None
        self._then: Callable[[], object] = bool
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""

    def break_once(self, word: str, *, seen_by_redis: bool, then: Callable[[], object] = bool) -> None:
        """Cut the connection that next sends ``word``, and call ``then`` before who sent it can notice."""
        self._break, self._then = (word.encode(), seen_by_redis), then

    def spare(self) -> None:
        """Cut nothing any more."""
        self._break = None

    @property
    def broke(self) -> bool:
        """Whether the chosen command came."""
        return self._break is None

    @property
    def used(self) -> bool:
        """Whether somebody is connected."""
        return bool(self._writers)

    async def __aenter__(self) -> "Link":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_unix_connection(self._path)
        self._writers |= {writer, to_redis}
        muted = asyncio.Event()
        back = asyncio.create_task(self._carry_back(from_redis, writer, muted))
        try:
            while data := await reader.read(1 << 20):
                if self._break is not None and self._break[0] in data:
                    seen, self._break = self._break[1], None
                    if not seen:
                        self._then()
                        break
                    muted.set()
                    to_redis.write(data)
                    await to_redis.drain()
                    await back
                    self._then()
                    break
                to_redis.write(data)
                await to_redis.drain()
        except ConnectionError:
            pass
        finally:
            back.cancel()
            for end in (writer, to_redis):
                end.close()
            self._writers -= {writer, to_redis}

    @staticmethod
    async def _carry_back(from_redis: asyncio.StreamReader, writer: asyncio.StreamWriter, muted: asyncio.Event) -> None:
        try:
            while data := await from_redis.read(1 << 20):
                if muted.is_set():
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return


def ndjson(records: Iterable[Mapping[str, Any]]) -> bytes:
    """Records as NDJSON."""
    return b"".join(orjson.dumps(record) + b"\n" for record in records)
