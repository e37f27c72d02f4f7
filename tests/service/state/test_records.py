"""The small stores: feedback with its audit trail, rules with their version, configured sources."""

from redis.asyncio import Redis

from service.state import feedback, keys, rules, sources


async def test_feedback_is_listed_newest_first_undone_and_audited(redis: Redis) -> None:
    assert await feedback.put(redis, "f1", {"source": "s", "label": "missed"}, 1.5, {"by": "ann", "did": "gave f1"})
    assert await feedback.put(redis, "f2", {"source": "t"}, 2.5, {"did": "gave f2"})
    assert not await feedback.put(redis, "f1", {"source": "x"}, 9.0, {"did": "never"})
    assert await feedback.newest(redis) == [{"source": "t"}, {"source": "s", "label": "missed"}]
    assert await feedback.newest(redis, limit=1) == [{"source": "t"}]
    assert await feedback.newest(redis, source="s", limit=1) == [{"source": "s", "label": "missed"}]
    assert await feedback.delete(redis, "f1", {"did": "undid f1"}) == {"source": "s", "label": "missed"}
    assert await feedback.delete(redis, "f1", {"did": "never"}) is None
    assert await feedback.get(redis, "f1") is None
    assert await feedback.newest(redis) == [{"source": "t"}]
    assert [entry["did"] for entry in await feedback.audit_trail(redis)] == ["undid f1", "gave f2", "gave f1"]


async def test_feedback_can_be_rewritten_in_its_place_but_not_once_undone(redis: Redis) -> None:
    await feedback.put(redis, "f1", {"n": 1}, 1.0, {})
    assert await feedback.replace(redis, "f1", {"n": 2})
    assert await feedback.newest(redis) == [{"n": 2}]
    await feedback.delete(redis, "f1", {})
    assert not await feedback.replace(redis, "f1", {"n": 3})
    assert await feedback.get(redis, "f1") is None


async def test_each_change_of_rules_moves_their_version(redis: Redis) -> None:
    assert await rules.load(redis, "s") == rules.StoredRules(0, {})
    assert await rules.put(redis, "s", "r1", {"scope": "window"}) == 1
    assert await rules.put(redis, "s", "r2", {"scope": "text"}) == 2
    assert not await rules.remove(redis, "s", "r9")
    assert await rules.remove(redis, "s", "r1")
    assert await rules.load(redis, "s") == rules.StoredRules(3, {"r2": {"scope": "text"}})


async def test_rule_hits_count_once_for_a_retried_batch(redis: Redis) -> None:
    assert await rules.hit(redis, "s", {"r1": 2, "r2": 1}, "batch", "lines")
    assert not await rules.hit(redis, "s", {"r1": 2, "r2": 1}, "batch", "lines")
    assert await rules.hit(redis, "s", {"r1": 1})
    assert not await rules.hit(redis, "s", {})
    assert await rules.hits(redis, "s") == {"r1": 3, "r2": 1}
    assert 0 < await redis.ttl(keys.applied("s", "hits", "batch", "lines")) <= keys.BATCH_TTL_S


async def test_sources_are_stored_by_name_and_pointers_set_once_or_anew(redis: Redis) -> None:
    assert await sources.put(redis, "b", {"n": 1})
    assert not await sources.put(redis, "b", {"n": 2})
    assert not await sources.add(redis, "b", {"n": 3})
    assert await sources.add(redis, "a", {"n": 4})
    assert list((await sources.everyone(redis)).items()) == [("a", {"n": 4}), ("b", {"n": 2})]
    assert await sources.get(redis, "c") is None
    assert await sources.live_bundle(redis, "a") is None
    assert await sources.activate_first(redis, "a", "v1")
    assert not await sources.activate_first(redis, "a", "v2")
    assert await sources.live_bundle(redis, "a") == "v1"
    await sources.activate(redis, "a", "v2")
    assert await sources.live_bundle(redis, "a") == "v2"
