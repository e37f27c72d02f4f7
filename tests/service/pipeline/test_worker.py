"""Which waiting requests become one batch."""

import asyncio

import pytest

from service.errors import Unavailable
from service.pipeline import worker as workers
from service.pipeline.answer import Answer
from service.pipeline.request import IngestRequest
from service.pipeline.worker import Job, Upcoming, Worker


async def test_history_and_news_are_never_one_batch_and_keep_their_order() -> None:
    batches: list[list[str]] = []
    go = asyncio.Event()

    async def process(jobs: list[Job], _: Upcoming) -> list[Answer]:
        await go.wait()
        batches.append([job.request.lines[0] for job in jobs])
        return [Answer(200, b"") for _ in jobs]

    worker = Worker(process, 1000, 1000, lambda _: None)
    requests = [
        IngestRequest("s", 1, [f"{number}{'h' if history else 'n'}"], [0], backfill=history)
        for number, history in enumerate([False, False, True, True, False, True])
    ]
    answers = [asyncio.create_task(worker.submit(request, "all", 0.0)) for request in requests]
    for _ in range(len(requests)):  # all are in the queue once each task has run
        await asyncio.sleep(0)
    go.set()
    assert [answer.status for answer in await asyncio.gather(*answers)] == [200] * 6
    assert [line for batch in batches for line in batch] == ["0n", "1n", "2h", "3h", "4n", "5h"]
    assert all(len({line[-1] for line in batch}) == 1 for batch in batches)
    assert ["2h", "3h"] in batches
    await worker.drain()


async def test_requests_with_and_without_a_key_and_two_under_one_key_are_never_one_batch() -> None:
    batches: list[list[str]] = []
    go = asyncio.Event()

    async def process(jobs: list[Job], _: Upcoming) -> list[Answer]:
        await go.wait()
        batches.append([str(job.request.batch_id) for job in jobs])
        return [Answer(200, b"") for _ in jobs]

    worker = Worker(process, 1000, 1000, lambda _: None)
    ids = [None, "a", "b", "a", "c", None, None, "d"]
    answers = [
        asyncio.create_task(worker.submit(IngestRequest("s", 1, ["line"], [0], batch_id=batch_id), "all", 0.0))
        for batch_id in ids
    ]
    for _ in ids:  # all are in the queue once each task has run
        await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*answers)
    assert batches == [["None"], ["a", "b"], ["a", "c"], ["None", "None"], ["d"]]
    await worker.drain()


def requests(count: int) -> list[IngestRequest]:
    return [IngestRequest("s", 1, [str(number)], [0]) for number in range(count)]


async def test_the_next_batch_is_known_once_enough_waits_and_is_then_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "AHEAD_LINES", 2)
    batches: list[list[str]] = []
    foreseen: list[list[str] | None] = []
    go, more = asyncio.Event(), asyncio.Event()

    def lines(jobs: list[Job] | None) -> list[str] | None:
        return None if jobs is None else [job.request.lines[0] for job in jobs]

    async def process(jobs: list[Job], upcoming: Upcoming) -> list[Answer]:
        await go.wait()
        foreseen.append(lines(upcoming()))
        if len(foreseen) == 1:
            await more.wait()
            foreseen.append(lines(upcoming()))
        batches.append(lines(jobs) or [])
        return [Answer(200, b"") for _ in jobs]

    worker = Worker(process, 1000, 1000, lambda _: None)
    first, *others = requests(5)
    answers = [asyncio.create_task(worker.submit(first, "all", 0.0))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the first one is a batch by itself
    answers += [asyncio.create_task(worker.submit(request, "all", 0.0)) for request in others[:2]]
    await asyncio.sleep(0)
    go.set()
    await asyncio.sleep(0)
    answers += [asyncio.create_task(worker.submit(request, "all", 0.0)) for request in others[2:]]
    await asyncio.sleep(0)
    more.set()
    await worker.drain()
    assert [answer.status for answer in await asyncio.gather(*answers)] == [200] * 5
    assert batches == [["0"], ["1", "2"], ["3", "4"]]
    assert foreseen == [["1", "2"], ["1", "2"], ["3", "4"], None]


async def test_what_was_to_be_next_is_given_up_with_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "AHEAD_LINES", 1)
    foreseen = asyncio.Event()

    async def process(jobs: list[Job], upcoming: Upcoming) -> list[Answer]:
        await asyncio.sleep(0)
        assert upcoming() is not None
        foreseen.set()
        await asyncio.Event().wait()
        return []

    worker = Worker(process, 1, 1000, lambda _: None)
    answers = [asyncio.create_task(worker.submit(request, "all", 0.0)) for request in requests(4)]
    await foreseen.wait()
    worker.cancel()
    for answer in await asyncio.gather(*answers, return_exceptions=True):
        assert isinstance(answer, Unavailable)
