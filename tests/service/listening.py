"""Test support for shippers' protocols: sources that learn, behind a real socket for clients with their own HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import uvicorn

from service.api.app import create_app
from tests.golden import blocks
from tests.service.serving import Replica, running, until

P = ParamSpec("P")
T = TypeVar("T")


RAW = {"header": {"kind": "raw"}}
GOOD = "240501 000010 21 INFO store.Names: allocate blk_1 for /jobs/3/part-4"
"""A line of source ``blocks``, whose session it names."""


@asynccontextmanager
async def learning(redis_url: str, folder: Path, **settings: Any) -> AsyncIterator[Replica]:
    """A replica whose sources have no model: ``blocks`` with a format and sessions, ``app`` that takes any text."""
    async with running(redis_url, folder / "bundles", **settings) as replica:
        for name, config in {"blocks": blocks.source().to_dict(), "app": RAW}.items():
            assert (await replica.http.put(f"/sources/{name}", json=config)).status_code == 200
        yield replica


async def session_events(replica: Replica, source: str, session: str) -> int:
    """Ends a session and says how many events it had."""
    record = {"session": session, "end": True}
    assert (await replica.http.post("/ingest", json={"source": source, "records": [record]})).status_code == 200
    ends: list[dict[str, Any]] = [dict(end) for end in await replica.ends(source)]
    return sum(end["events"] for end in ends if end["session"] == session)


@asynccontextmanager
async def listening(replica: Replica) -> AsyncIterator[str]:
    """The address of a replica that runs already."""
    app = create_app(replica.core)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started, "the server listens")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await serving


async def beside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """A client's blocking call, in a thread beside the service's loop."""
    return await asyncio.to_thread(work, *args, **kwargs)
