"""One line a request at a steady pace, beside an endpoint that does nothing on the same server.

Requests leave by the clock and not when the last one is back (open loop), so that a service that falls behind shows it:
each is timed from when it was due. The empty endpoint is a FastAPI application under the same uvicorn, loop and parser.
"""

import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson

from tests.bench import material
from tests.bench.bundle import bundle
from tests.bench.measure import Report, Row
from tests.bench.server import serving, wait_ready

PACE = 500
"""Requests a second."""
SECONDS = 8.0
WARM_UP = 500
CONNECTIONS = 32
P50, P99 = 3.0, 4.0

EMPTY = """
import sys, uvicorn
from fastapi import FastAPI
app = FastAPI()

@app.get("/readyz")
async def ready() -> dict[str, bool]:
    return {"ready": True}

@app.post("/ingest")
async def nothing() -> dict[str, int]:
    return {}

uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
"""


def run(settings: material.Settings) -> Report:
    """p50 and p99 of both in milliseconds, medians over the turns."""
    data = material.hdfs(settings)
    count = WARM_UP + int(PACE * SECONDS)
    lines = (data.lines * (count // len(data.lines) + 1))[:count]
    bodies = [orjson.dumps({"source": "hdfs", "lines": [line]}) for line in lines]
    found: dict[str, list[tuple[float, float]]] = {"empty endpoint": [], "one line through Tocsin": []}
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        trained = bundle(settings, data, Path(folder))
        for _ in range(settings.repeats):
            with _empty() as port:
                found["empty endpoint"].append(_percentiles(port, bodies))
            with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as state:
                shutil.copytree(trained.bundles, Path(state) / "bundles")
                with serving(Path(state)) as service:
                    found["one line through Tocsin"].append(_percentiles(service.port, bodies))
    medians = {name: np.median(np.array(values), axis=0) for name, values in found.items()}
    base = medians["empty endpoint"]
    rows = []
    for name, (p50, p99) in medians.items():
        for label, value, to, target in (("p50", p50, base[0], P50), ("p99", p99, base[1], P99)):
            aimed = name != "empty endpoint"
            ratio = float(value / to)
            rows.append(
                Row(
                    f"{name}, {label}", float(value), "ms", ratio, f"at most {target:g} x" if aimed else "",
                    ratio <= target if aimed else None,
                )
            )  # fmt: skip
    note = f"{PACE} requests a second for {SECONDS:g} s over {CONNECTIONS} connections, after {WARM_UP} to warm up"
    return Report(f"One line a request ({', '.join(trained.detectors)})", rows, [note])


def _percentiles(port: int, bodies: Sequence[bytes]) -> tuple[float, float]:
    """p50 and p99 in milliseconds of the requests after the warm-up."""
    taken = asyncio.run(_paced(port, bodies))[WARM_UP:]
    return float(np.percentile(taken, 50)), float(np.percentile(taken, 99))


async def _paced(port: int, bodies: Sequence[bytes]) -> list[float]:
    """Milliseconds from when each request was due until its answer was read."""
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    taken = [0.0] * len(bodies)

    async def send(number: int, due: float) -> None:
        reader, writer = await free.get()
        body = bodies[number]
        head = (
            f"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the server answered {answer[:80]!r}")
        length = next(line for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        taken[number] = 1000.0 * (time.perf_counter() - due)
        free.put_nowait((reader, writer))

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(len(bodies)):
            due = began + number / PACE
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(send(number, due))
    while not free.empty():
        free.get_nowait()[1].close()
    return taken


@contextmanager
def _empty() -> Iterator[int]:
    """The port of an application that does nothing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-c", EMPTY, str(port)])
    try:
        wait_ready(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()
