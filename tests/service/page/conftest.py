"""The page over a small source without a network, and a browser to look at it."""

from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright
from redis.asyncio import Redis

from models.bundle import Bundle
from tests.golden import blocks
from tests.service.listening import listening
from tests.service.serving import NOW, Replica, running, stored
from training.train import Input, TrainSettings, train

PATIENCE_MS = 60_000
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""For a machine without a screen, where everything runs as root, and no call of Chromium's own."""


@cache
def small_bundle() -> Bundle:
    """The invented block store: new events and counts ring, nothing has to be fitted by steps."""
    settings = TrainSettings(detectors=("new_event", "count_vector"))
    given = Input(blocks.normal_log(), {}, None, NOW)
    return train(blocks.source(), given, settings, version="1", tree_id="blocks-tree", created=NOW)


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    """One replica that serves ``blocks`` and the shipped ``postgres``."""
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", small_bundle())) as replica:
        yield replica


@pytest.fixture
async def address(replica: Replica) -> AsyncIterator[str]:
    """Where the replica listens."""
    async with listening(replica) as address:
        yield address


@pytest.fixture
async def browser(require_program: Callable[[str], str]) -> AsyncIterator[Browser]:
    """A real Chromium."""
    path = require_program("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(FLAGS), timeout=PATIENCE_MS)
        yield browser
        await browser.close()
