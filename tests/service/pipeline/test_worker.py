"""Which waiting requests become one batch."""

import asyncio

from service.pipeline.answer import Answer
from service.pipeline.request import IngestRequest
from service.pipeline.worker import Job, Worker


async def test_history_and_news_are_never_one_batch_and_keep_their_order() -> None:
    batches: list[list[str]] = []
    go = asyncio.Event()

    async def process(jobs: list[Job]) -> list[Answer]:
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

    async def process(jobs: list[Job]) -> list[Answer]:
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
