"""From requests to records, in their turn or ahead of it."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from models.parser import Parser
from models.record import Records
from models.source.config import Source
from service.metrics import Metrics
from service.pipeline.live import LiveSource
from service.pipeline.reading import Reading
from service.pipeline.request import IngestRequest
from service.pipeline.worker import Job
from tests.golden import blocks
from tests.service.serving import NOW, blocks_bundle


@pytest.fixture
def live() -> LiveSource:
    bundle = blocks_bundle()
    return LiveSource(bundle.source, bundle.tree(), bundle, "cpu", 1)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def jobs_of(start: int, stop: int) -> list[Job]:
    lines = blocks.golden_log()[start:stop]
    request = IngestRequest("blocks", len(lines), lines, list(range(len(lines))))
    return [Job(request, "all", NOW, asyncio.get_running_loop().create_future())]


def told(records: Records) -> list[object]:
    return [records.masked.to_list(), records.session.to_list(), records.time.tolist(), records.rejected]


async def test_what_was_read_ahead_is_what_is_read_in_turn(live: LiveSource, executor: ThreadPoolExecutor) -> None:
    first, second = jobs_of(0, 100), jobs_of(100, 200)
    reading = Reading(live, executor, Metrics(CollectorRegistry()))
    in_turn = [await reading.read(jobs) for jobs in (first, second)]
    reading.read_ahead(second)
    reading.read_ahead(first)  # one at most
    ahead = reading._ahead
    batch, records = await reading.read(second)
    assert ahead is not None
    assert batch is ahead.batch
    assert told(records) == told(in_turn[1][1]) != told(in_turn[0][1])


async def test_other_jobs_than_those_are_read_in_their_turn(live: LiveSource, executor: ThreadPoolExecutor) -> None:
    first, second = jobs_of(0, 100), jobs_of(100, 200)
    reading = Reading(live, executor, Metrics(CollectorRegistry()))
    reading.read_ahead(None)
    reading.read_ahead(second)
    batch, records = await reading.read(first)
    assert batch.jobs == first
    assert told(records) == told((await reading.read(first))[1])


async def test_what_was_read_by_another_configuration_is_read_again(
    live: LiveSource, executor: ThreadPoolExecutor
) -> None:
    jobs = jobs_of(0, 100)
    reading = Reading(live, executor, Metrics(CollectorRegistry()))
    _, before = await reading.read(jobs)
    reading.read_ahead(jobs)
    live.parser = Parser(Source.from_dict({**replace(live.source).to_dict(), "masks": []}), live.tree)
    _, after = await reading.read(jobs)
    assert after.masked.to_list() != before.masked.to_list()
    assert after.session.to_list() == before.session.to_list()
