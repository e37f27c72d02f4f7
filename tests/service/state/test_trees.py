"""Replicas change a tree in one order: whoever built on an older version learns again."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from models.errors import StateError
from service.state import keys, trees


def change(version: int, kind: str = "new") -> dict[str, Any]:
    return {
        "version": version,
        "kind": kind,
        "id": version,
        "tokens": ["a", "<*>"],
        "origin": ["a", "b"],
        "exemplar": "é",
    }


SNAPSHOT = {"tree_id": "t1", "version": 2, "templates": [{"id": 1}]}


async def test_seed_stores_once(redis: Redis) -> None:
    assert await trees.load(redis, "s") is None
    assert await trees.seed(redis, "s", SNAPSHOT)
    assert not await trees.seed(redis, "s", {"tree_id": "t2", "version": 0})
    assert await trees.load(redis, "s") == trees.StoredTree(SNAPSHOT, [])


async def test_published_changes_are_read_in_order_from_any_version(redis: Redis) -> None:
    await trees.seed(redis, "s", SNAPSHOT)
    assert await trees.publish(redis, "s", "t1", 2, [change(3), change(4, "widened")], minute=7)
    assert await trees.publish(redis, "s", "t1", 4, [change(5)], minute=7)
    assert await trees.load(redis, "s") == trees.StoredTree(SNAPSHOT, [change(3), change(4, "widened"), change(5)])
    assert await trees.changes_since(redis, "s", "t1", 3) == [change(4, "widened"), change(5)]
    assert await trees.changes_since(redis, "s", "t1", 5) == []
    assert await trees.changes_since(redis, "s", "t1", 1) is None
    assert await trees.changes_since(redis, "s", "t1", 6) is None
    assert await trees.changes_since(redis, "s", "other", 3) is None
    assert await trees.changes_since(redis, "unknown", "t1", 0) is None


async def test_publishing_on_an_older_version_or_another_tree_changes_nothing(redis: Redis) -> None:
    await trees.seed(redis, "s", SNAPSHOT)
    assert await trees.publish(redis, "s", "t1", 2, [change(3)], minute=7)
    assert not await trees.publish(redis, "s", "t1", 2, [change(3)], minute=7)
    assert not await trees.publish(redis, "s", "t2", 3, [change(4)], minute=7)
    assert not await trees.publish(redis, "none", "t1", 0, [change(1)], minute=7)
    assert await trees.changes_since(redis, "s", "t1", 2) == [change(3)]
    assert await trees.new_templates(redis, "s", 7) == 1
    with pytest.raises(ValueError):
        await trees.publish(redis, "s", "t1", 3, [change(5)], minute=7)


async def test_only_new_templates_count_against_their_minute(redis: Redis) -> None:
    await trees.seed(redis, "s", SNAPSHOT)
    await trees.publish(redis, "s", "t1", 2, [change(3), change(4, "widened"), change(5)], minute=7)
    await trees.publish(redis, "s", "t1", 5, [change(6)], minute=8)
    assert [await trees.new_templates(redis, "s", minute) for minute in (6, 7, 8)] == [0, 2, 1]
    assert 0 < await redis.ttl(keys.new_templates("s", 7)) <= keys.NEW_TEMPLATES_TTL_S


async def test_compaction_keeps_what_comes_after_the_snapshot(redis: Redis) -> None:
    await trees.seed(redis, "s", SNAPSHOT)
    await trees.publish(redis, "s", "t1", 2, [change(3), change(4), change(5)], minute=7)
    later = {"tree_id": "t1", "version": 4, "templates": []}
    assert await trees.compact(redis, "s", later)
    assert not await trees.compact(redis, "s", {**later, "version": 6})
    assert not await trees.compact(redis, "s", {**later, "version": 3})
    assert await trees.load(redis, "s") == trees.StoredTree(later, [change(5)])
    assert await trees.changes_since(redis, "s", "t1", 4) == [change(5)]
    assert await trees.changes_since(redis, "s", "t1", 3) is None
    assert await trees.publish(redis, "s", "t1", 5, [change(6)], minute=7)


async def test_replacing_drops_the_old_tree_with_its_changes(redis: Redis) -> None:
    await trees.seed(redis, "s", SNAPSHOT)
    await trees.publish(redis, "s", "t1", 2, [change(3)], minute=7)
    other = {"tree_id": "t9", "version": 0}
    await trees.replace(redis, "s", other)
    assert await trees.load(redis, "s") == trees.StoredTree(other, [])


async def test_concurrent_publishers_leave_one_unbroken_log(redis: Redis) -> None:
    await trees.seed(redis, "s", {"tree_id": "t1", "version": 0})

    async def learn(times: int) -> None:
        done = 0
        while done < times:
            known = await trees.load(redis, "s")
            assert known is not None
            done += await trees.publish(
                redis, "s", "t1", len(known.changes), [change(len(known.changes) + 1)], minute=7
            )

    await asyncio.gather(*(learn(10) for _ in range(5)))
    stored = await trees.load(redis, "s")
    assert stored is not None
    assert [c["version"] for c in stored.changes] == list(range(1, 51))


async def test_lock_lets_one_in_and_is_given_back_by_its_holder_only(redis: Redis) -> None:
    async with trees.locked(redis, "s", "one"):
        assert 0 < await redis.ttl(keys.tree_lock("s")) <= keys.TREE_LOCK_TTL_S
        with pytest.raises(StateError, match="another replica"):
            async with trees.locked(redis, "s", "two", wait_s=0.03):
                pytest.fail("two replicas hold the lock")
        await redis.set(keys.tree_lock("s"), "two")
    assert await redis.get(keys.tree_lock("s")) == b"two"
    await redis.delete(keys.tree_lock("s"))
    with pytest.raises(RuntimeError):
        async with trees.locked(redis, "s", "one"):
            raise RuntimeError
    assert await redis.get(keys.tree_lock("s")) is None
