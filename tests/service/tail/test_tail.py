"""``tocsin tail`` as a process of its own, against a service on a real socket: nothing lost, nothing twice."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from service.cli.app import app
from tests.service.listening import learning, listening, session_events
from tests.service.serving import Replica, until

PATIENCE_S = 180.0
"""Each command is a process that imports much, and there may be others on the machine."""


def lines(start: int, stop: int) -> list[str]:
    return [
        f"240501 0000{n % 60:02d} 21 INFO store.Names: allocate blk_1 for /jobs/3/part-{n}" for n in range(start, stop)
    ]


def append(path: Path, *texts: str) -> None:
    with path.open("a") as file:
        file.write("".join(f"{text}\n" for text in texts))


class Tail:
    """A running command."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ended(self) -> tuple[int, str, str]:
        """Exit code, standard output and error."""
        out, err = await asyncio.wait_for(self.process.communicate(), PATIENCE_S)
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()

    async def stopped(self) -> tuple[int, str, str]:
        """The same after SIGTERM."""
        self.process.terminate()
        return await self.ended()


@asynccontextmanager
async def tailing(*arguments: object) -> AsyncIterator[Tail]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "tail", *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")},
    )  # fmt: skip
    try:
        yield Tail(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    await redis.ping()
    async with learning(redis_url, tmp_path) as replica:
        yield replica


async def until_lines(replica: Replica, number: int) -> None:
    async def reached() -> bool:
        return (await replica.metrics()).get('tocsin_lines_total{source="blocks"}', 0) >= number

    await until(reached, f"{number} lines have come", PATIENCE_S)


def sending(state: Path) -> bool:
    """Whether a piece is on its way, by the file of places."""
    return state.exists() and any(log["until"] for log in orjson.loads(state.read_bytes())["logs"].values())


async def test_a_log_is_followed_over_rotation_and_restart(replica: Replica, tmp_path: Path) -> None:
    log, state = tmp_path / "blocks.log", tmp_path / "state" / "places.json"
    append(log, *lines(0, 2500))
    async with listening(replica) as url:
        how = (log, "--source", "blocks", "--url", url, "--state", state)
        async with tailing(*how, "--json", "--gzip") as tail:
            await until_lines(replica, 2500)
            append(log, *lines(2500, 2510))
            log.rename(log.with_name("blocks.log.1"))
            append(log, *lines(2510, 2520))
            await until_lines(replica, 2520)
            code, out, err = await tail.stopped()
        assert (code, err) == (0, "")
        told = orjson.loads(out)
        # What was under way when it was stopped is not in its figures.
        assert told["lines"] in (2510, 2520)
        assert told["rejected"] == 0
        append(log, *lines(2520, 2530))
        async with tailing(*how, "--once") as tail:
            code, out, err = await tail.ended()
            assert (code, out) == (0, ""), err
        assert "lines sent" in err
        async with tailing(*how, "--once", "--json") as tail:
            assert orjson.loads((await tail.ended())[1])["lines"] == 0
    assert await session_events(replica, "blocks", "blk_1") == 2530


async def test_without_waiting_lines_count_as_sent_once_they_are_accepted(replica: Replica, tmp_path: Path) -> None:
    log, state = tmp_path / "blocks.log", tmp_path / "places.json"
    append(log, *lines(0, 1500))
    async with listening(replica) as url:
        how = (log, "--source", "blocks", "--url", url, "--state", state, "--no-wait", "--once", "--json")
        async with replica.core.sources.live["blocks"].lock, tailing(*how) as tail:
            # Nothing can be judged meanwhile.
            code, out, err = await tail.ended()
        assert (code, orjson.loads(out)["lines"]) == (0, 1500), err
        await until_lines(replica, 1500)
        async with tailing(*how) as tail:
            assert orjson.loads((await tail.ended())[1])["lines"] == 0
    await until(lambda: counted(replica, 1500), "all are in their session", PATIENCE_S)


async def counted(replica: Replica, number: int) -> bool:
    return await session_events(replica, "blocks", "blk_1") == number


async def test_killed_while_it_sends_it_sends_the_same_again_and_it_counts_once(
    replica: Replica, tmp_path: Path
) -> None:
    log, state = tmp_path / "blocks.log", tmp_path / "places.json"
    append(log, *lines(0, 30))
    async with listening(replica) as url:
        how = (log, "--source", "blocks", "--url", url, "--state", state)
        async with replica.core.sources.live["blocks"].lock, tailing(*how) as tail:
            await until(lambda: sending(state), "a piece is on its way", PATIENCE_S)
            worker = replica.core._workers["blocks"]
            await until(lambda: worker._arrived.is_set(), "it has arrived", PATIENCE_S)
            tail.process.kill()
            await tail.ended()
        append(log, *lines(30, 50))
        async with tailing(*how, "--once", "--json") as tail:
            code, out, _ = await tail.ended()
        assert code == 0
        assert orjson.loads(out)["lines"] == 50
    assert await session_events(replica, "blocks", "blk_1") == 50


async def test_a_service_that_is_away_is_waited_for(replica: Replica, tmp_path: Path) -> None:
    log, state = tmp_path / "blocks.log", tmp_path / "places.json"
    append(log, *lines(0, 30))
    async with listening(replica) as url:
        pass
    # Nothing listens there now.
    how = (log, "--source", "blocks", "--url", url, "--state", state)
    async with tailing(*how, "--once", "--retry", "0.2") as tail:
        code, _, err = await tail.ended()
    assert code == 1
    assert "did not take" in err
    replica.core._lost("Redis is away, says a test")
    async with (
        listening(replica) as url,
        tailing(log, "--source", "blocks", "--url", url, "--state", state) as tail,
    ):
        # 503 until the core finds that Redis is there.
        await until_lines(replica, 30)
        assert (await tail.stopped())[0] == 0
    assert await session_events(replica, "blocks", "blk_1") == 30


async def test_from_the_end_what_was_there_is_not_sent(replica: Replica, tmp_path: Path) -> None:
    log, state = tmp_path / "blocks.log", tmp_path / "places.json"
    append(log, *lines(0, 30))
    async with listening(replica) as url:
        how = (log, "--source", "blocks", "--url", url, "--state", state, "--from-end")
        async with tailing(*how) as tail:
            await until(state.exists, "it has begun", PATIENCE_S)
            assert (await tail.stopped())[0] == 0
        append(log, *lines(30, 40))
        async with tailing(*how, "--once") as tail:
            assert (await tail.ended())[0] == 0
    assert await session_events(replica, "blocks", "blk_1") == 10


async def test_two_at_one_file_of_places_are_told(replica: Replica, tmp_path: Path) -> None:
    log, state = tmp_path / "blocks.log", tmp_path / "places.json"
    append(log, "")
    async with listening(replica) as url:
        how = (log, "--source", "blocks", "--url", url, "--state", state)
        async with tailing(*how):
            await until(state.exists, "it has begun", PATIENCE_S)
            async with tailing(*how, "--once") as second:
                code, _, err = await second.ended()
    assert code == 1
    assert "another `tocsin tail`" in err


async def test_what_the_service_refuses_ends_it(replica: Replica, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, "hello", "\x1b[31m not its format")
    async with listening(replica) as url:
        async with tailing(log, "--source", "nobody", "--url", url, "--state", tmp_path / "p.json", "--once") as tail:
            code, _, err = await tail.ended()
        assert code == 1
        assert "no source 'nobody'" in err
        async with tailing(
            log, "--source", "blocks", "--url", url, "--state", tmp_path / "q.json", "--once", "--json"
        ) as tail:
            code, out, _ = await tail.ended()
        # Lines that are rejected are answered too.
        assert code == 0
        assert orjson.loads(out)["rejected"] == 2


@pytest.mark.parametrize(
    "kept", ["{", "[]", '{"version": 2, "logs": {}}', '{"version": 1, "logs": {"a": {"place": 1}}}']
)
def test_places_that_do_not_read_are_told(tmp_path: Path, kept: str) -> None:
    (tmp_path / "places.json").write_text(kept)
    (tmp_path / "a.log").write_text("")
    told = CliRunner().invoke(
        app, ["tail", str(tmp_path / "a.log"), "--source", "blocks", "--state", str(tmp_path / "places.json")]
    )
    assert told.exit_code == 1
    assert "move it away to begin anew" in str(told.exception)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{folder}/none.log", "--source", "a", "--once"], "there is no file"),
        (["{folder}", "--source", "a"], "there is no file"),
        (["{folder}/none/a.log", "--source", "a"], "there is no folder"),
        (["{folder}/a.log", "--source", "../a"], "no name of a source"),
        (["{folder}/a.log"], "--source"),
    ],
)
def test_wrong_usage_is_told(tmp_path: Path, arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(
        app, ["tail", *(one.format(folder=tmp_path) for one in arguments)], env={"COLUMNS": "300"}
    )
    assert done.exit_code == 2
    assert told in done.output
