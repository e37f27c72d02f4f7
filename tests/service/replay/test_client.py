import gzip
import socket

import orjson
import pytest

from service.replay.client import Limits, ReplayError, ServiceClient
from tests.service.replay.conftest import Peer, ingested

BODY = b'{"source":"shop","lines":["a"]}'


class Pauses:
    """Remembers how long a client would have waited."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


async def test_busy_service_is_asked_again_when_it_said_under_the_same_key(peer: Peer, pauses: Pauses) -> None:
    peer.answer(429, {"error": "too many lines wait"}, retry_after="3")
    peer.answer(503, {"error": "Redis is away"}, retry_after="2")
    peer.answer(409, {"error": "under way"}, retry_after="1")
    peer.answer(200, ingested())
    async with ServiceClient(peer.url, "run", sleep=pauses) as client:
        reply = await client.ingest(BODY)
    assert pauses.taken == [3.0, 2.0, 1.0]
    assert reply.retries == 3
    assert [request.body for request in peer.seen] == [BODY] * 4
    assert len({request.headers["idempotency-key"] for request in peer.seen}) == 1


async def test_batches_of_the_same_content_have_their_own_keys(peer: Peer) -> None:
    peer.answer(200, ingested())
    async with ServiceClient(peer.url, "run") as client:
        await client.ingest(BODY)
        await client.ingest(BODY)
    assert len({request.headers["idempotency-key"] for request in peer.seen}) == 2


async def test_service_that_stays_busy_fails_after_the_limit(peer: Peer, pauses: Pauses) -> None:
    peer.answer(503, {"error": "Redis is away"}, retry_after="20")
    async with ServiceClient(peer.url, "run", sleep=pauses, limits=Limits(retry_s=50)) as client:
        with pytest.raises(ReplayError, match="Redis is away"):
            await client.ingest(BODY)
    assert pauses.taken == [20.0, 20.0]


async def test_absent_service_is_named(pauses: Pauses) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        async with ServiceClient(url, "run", sleep=pauses, limits=Limits(retry_s=0)) as client:
            with pytest.raises(ReplayError, match=f"{url} did not take POST /ingest"):
                await client.ingest(BODY)


async def test_refused_batch_is_not_sent_again_and_its_reason_cannot_drive_a_terminal(peer: Peer) -> None:
    peer.answer(404, {"error": "no source \x1b[31mshop"})
    async with ServiceClient(peer.url, "run") as client:
        with pytest.raises(ReplayError) as refused:
            await client.ingest(BODY)
    assert len(peer.seen) == 1
    assert r"no source \x1b[31mshop" in str(refused.value)


async def test_batch_of_rejected_lines_is_an_answer(peer: Peer) -> None:
    peer.answer(422, ingested(rejected=[{"index": 0, "error": "not in the format"}]))
    async with ServiceClient(peer.url, "run") as client:
        reply = await client.ingest(BODY)
    assert reply.body["rejected"][0]["error"] == "not in the format"


async def test_compressed_batches_unpack_to_the_body(peer: Peer) -> None:
    peer.answer(200, ingested())
    async with ServiceClient(peer.url, "run", compress=True) as client:
        await client.ingest(BODY)
    assert peer.seen[0].headers["content-encoding"] == "gzip"
    assert gzip.decompress(peer.seen[0].body) == BODY


@pytest.mark.parametrize(("backfill", "mode"), [(False, "mode=live"), (True, "mode=backfill")])
async def test_history_is_sent_as_such(peer: Peer, backfill: bool, mode: str) -> None:
    peer.answer(200, ingested())
    async with ServiceClient(peer.url, "run", backfill=backfill) as client:
        await client.ingest(BODY)
    assert mode in peer.seen[0].path.partition("?")[2].split("&")


async def test_ends_follow_next_until_nothing_is_left(peer: Peer) -> None:
    peer.answer(200, {"verdicts": [{"session": "a"}], "next": "5-0"})
    peer.answer(200, {"verdicts": [{"session": "b"}], "next": "5-1"})
    peer.answer(200, {"verdicts": [], "next": "5-1"})
    async with ServiceClient(peer.url, "run") as client:
        found, place = await client.ends("shop", "4-0")
    assert [verdict["session"] for verdict in found] == ["a", "b"]
    assert place == "5-1"
    assert [request.path.split("since=")[1].split("&")[0] for request in peer.seen] == ["4-0", "5-0", "5-1"]


async def test_answer_that_is_no_json_is_refused(peer: Peer) -> None:
    peer.answer(200, b"<html>a proxy</html>")
    async with ServiceClient(peer.url, "run") as client:
        with pytest.raises(ReplayError, match="a proxy"):
            await client.ingest(BODY)
        with pytest.raises(ReplayError, match="a proxy"):
            await client.source("shop")


async def test_unknown_source_says_which_there_are(peer: Peer) -> None:
    peer.answer(200, {"sources": [{"name": "hdfs"}]})
    async with ServiceClient(peer.url, "run") as client:
        assert orjson.dumps(await client.source("hdfs"))
        with pytest.raises(ReplayError, match="it has: hdfs"):
            await client.source("shop")


@pytest.mark.parametrize("url", ["nowhere", "ftp://127.0.0.1/", "http://", "http://[::1"])
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ReplayError, match="no address of a service"):
        ServiceClient(url, "run")
