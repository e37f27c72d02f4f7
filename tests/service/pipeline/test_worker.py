"""Which waiting requests become one batch."""

import asyncio

from service.errors import Unavailable
from service.pipeline.answer import Answer
from service.pipeline.request import IngestRequest
from service.pipeline.worker import AHEAD_LINES, Ahead, Job, Worker


async def test_history_and_news_are_never_one_batch_and_keep_their_order() -> None:
    batches: list[list[str]] = []
    go = asyncio.Event()

    async def process(jobs: list[Job], ahead: Ahead) -> list[Answer]:
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


async def test_what_is_taken_ahead_is_the_next_batch_and_nothing_is_lost_or_overtaken() -> None:
    batches: list[list[str]] = []
    taken: list[list[Job]] = []

    async def process(jobs: list[Job], ahead: Ahead) -> list[Answer]:
        if taken and taken[-1]:
            assert taken[-1] is jobs
        batches.append([job.request.lines[0] for job in jobs])
        taken.append(ahead())
        assert ahead() is taken[-1]  # whoever asks again is told the same
        await asyncio.sleep(0)
        if batches[-1] == ["1"]:
            raise ValueError("this batch fails, and the next one goes on")
        return [Answer(200, b"") for _ in jobs]

    worker = Worker(process, AHEAD_LINES, 10_000, lambda _: None)
    sizes = [1, AHEAD_LINES, AHEAD_LINES, 2, 3]
    requests = [IngestRequest("s", size, [str(number)] * size, list(range(size))) for number, size in enumerate(sizes)]
    waiting = [asyncio.create_task(worker.submit(request, "all", 0.0)) for request in requests]
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [line for batch in batches for line in batch] == ["0", "1", "2", "3", "4"]
    assert [[job.request.lines[0] for job in jobs] for jobs in taken] == [["1"], ["2"], [], []]
    assert isinstance(answers[1], ValueError)
    assert [answer.status for answer in answers if isinstance(answer, Answer)] == [200] * 4
    await worker.drain()


async def test_who_was_taken_ahead_is_told_when_the_worker_is_stopped() -> None:
    async def process(jobs: list[Job], ahead: Ahead) -> list[Answer]:
        assert ahead()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    worker = Worker(process, AHEAD_LINES, 10_000, lambda _: None)
    request = IngestRequest("s", AHEAD_LINES, ["x"] * AHEAD_LINES, list(range(AHEAD_LINES)))
    waiting = [asyncio.create_task(worker.submit(request, "all", 0.0)) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    worker.cancel()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
