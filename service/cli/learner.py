"""``tocsin learner``: train first versions, learn from what people say, and publish what passes the gate."""

import asyncio
import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from models.bundles import BundleStore
from models.errors import ConfigError, TocsinError
from service import logs
from service.settings import Settings, load_settings
from service.state import connection
from service.state.embedded import attach

if TYPE_CHECKING:
    from service.learner.learner import Learner

NICENESS = 10
"""Scoring comes first: the learner takes what the machine has left."""

CANCEL_EVERY_S = 1.0

log = logging.getLogger("tocsin.learner")


def learner(
    once: Annotated[bool, typer.Option("--once", help="Learn what waits, then stop")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print every outcome as a line of JSON")] = False,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings; the environment wins over it")] = None,
) -> None:
    """Learn from feedback: fine-tune the detectors that were wrong, and make live what passes the gate.

    A source that nothing judges yet gets its first version as soon as enough of its lines came in.
    Runs beside `tocsin serve` with the same settings; one learner works on a source at a time. Needs the extra `train`.
    """
    settings = load_settings(config)
    logs.begin()
    os.nice(NICENESS)
    url = settings.redis_url or attach(settings.data_dir)
    asyncio.run(_run(settings, url, once, json))


async def _run(settings: Settings, url: str, once: bool, json: bool) -> None:
    try:
        from service.learner.learner import Learner
    except ModuleNotFoundError as error:
        raise ConfigError(f"the learner needs {error.name}: pip install 'tocsin[cpu,train]'") from error
    redis = await connection.connect(url) if once else connection.open_client(url)
    learner = Learner(
        redis, BundleStore(settings.bundles), settings.spool, time.time, settings.learner_gather_s,
        keep=settings.versions_kept, first_lines=settings.learning_lines, first_sessions=settings.learning_sessions,
    )  # fmt: skip
    log.info("learning; %g s after a click at the earliest", settings.learner_gather_s)
    work = asyncio.create_task(_work(learner, json, None if once else settings.learner_every_s))
    loop = asyncio.get_running_loop()
    stopping: set[asyncio.Task[None]] = set()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: stopping.add(asyncio.create_task(_stop(work))))
    try:
        await work
    except asyncio.CancelledError:
        # The lease is given back by now. Gradient steps in their thread cannot be stopped, and need not be waited for:
        # what was not published is learned again.
        log.info("stopped")
        os._exit(0)
    finally:
        await redis.aclose()


async def _stop(work: "asyncio.Task[None]") -> None:
    """Again and again: a cancellation that meets the end of a reply's time limit can be lost in the client."""
    while not work.done():
        work.cancel()
        await asyncio.wait({work}, timeout=CANCEL_EVERY_S)


async def _work(learner: "Learner", json: bool, every_s: float | None) -> None:
    """Round after round, ``every_s`` seconds apart; one round where that is None."""
    while True:
        await _round(learner, json, raises=every_s is None)
        if every_s is None:
            return
        await asyncio.sleep(every_s)


async def _round(learner: "Learner", json: bool, raises: bool) -> None:
    try:
        outcomes = await learner.rounds()
    except TocsinError as error:
        if raises:
            raise
        log.warning("%s; trying again", error)
        return
    for outcome in outcomes:
        if json and outcome.state != "idle":
            typer.echo(orjson.dumps(outcome.to_dict()))
