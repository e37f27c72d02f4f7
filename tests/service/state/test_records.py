"""The small stores: feedback with its audit trail, rules with their version, configured sources."""

import pytest
from redis.asyncio import Redis

from service.state import feedback, keys, rules, sources
from service.state.rules import Standing, StoredRules


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


async def test_items_are_undone_together_and_an_author_finds_all_of_theirs(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback, "READ_AT_ONCE", 2)
    for i in range(7):
        await feedback.put(redis, f"f{i}", {"id": f"f{i}", "author": "ann" if i % 2 else "bob"}, float(i), {})
    mine = [item["id"] for item in await feedback.by_author(redis, "ann")]
    assert mine == ["f1", "f3", "f5"]
    audit = {name: {"undid": name} for name in [*mine, "f9"]}
    assert [item["id"] for item in await feedback.undo(redis, list(audit), audit)] == mine
    assert await feedback.by_author(redis, "ann") == []
    assert len(await feedback.newest(redis)) == 4
    assert [entry["undid"] for entry in (await feedback.audit_trail(redis))[:3]] == ["f5", "f3", "f1"]


async def test_an_author_gets_so_many_tokens_a_minute_and_another_one_their_own(redis: Redis) -> None:
    assert [await feedback.draw(redis, "ann", 100.0, 3) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert await feedback.draw(redis, "ann", 100.0, 3) == 20.0
    assert await feedback.draw(redis, "bob", 100.0, 3) == 0.0
    assert await feedback.draw(redis, "ann", 110.0, 3) == pytest.approx(10.0)
    assert await feedback.draw(redis, "ann", 90.0, 3) == pytest.approx(10.0), "a clock behind gives nothing"
    assert await feedback.draw(redis, "ann", 120.5, 3) == 0.0
    assert await feedback.draw(redis, "ann", 120.5, 3) > 19.0
    assert [await feedback.draw(redis, "ann", 9_999.0, 3) for _ in range(4)] == [0.0, 0.0, 0.0, 20.0]
    assert 0 < await redis.ttl((await redis.keys("*bucket*"))[0]) <= keys.BUCKET_TTL_S


async def test_each_change_of_rules_and_cases_moves_their_version(redis: Redis) -> None:
    assert await rules.load(redis, "s") == StoredRules(0, {})
    assert await rules.put(redis, "s", "r1", {"scope": "window"}) == 1
    assert await rules.put(redis, "s", "r2", {"scope": "text"}) == 2
    assert await rules.protect(redis, "s", "c1", {"why": "real"}) == 3
    assert await rules.remove(redis, "s", ["r9"], 1.0) == 0
    assert await rules.remove(redis, "s", [], 1.0) == 0
    assert await rules.remove(redis, "s", ["r1"], 1.0) == 1
    assert await rules.load(redis, "s") == StoredRules(4, {"r2": {"scope": "text"}}, {"c1": {"why": "real"}})
    assert await rules.remove(redis, "s", ["r2", "c1", "r9"], 2.0) == 2
    assert await rules.load(redis, "s") == StoredRules(5, {})


async def test_a_rule_is_added_only_at_the_version_that_it_was_weighed_at(redis: Redis) -> None:
    assert await rules.put(redis, "s", "r1", {}, 0) == 1
    assert await rules.put(redis, "s", "r2", {}, 0) == 0
    assert await rules.protect(redis, "s", "c1", {}, 0) == 0
    assert await rules.protect(redis, "s", "c1", {}, 1) == 2
    assert await rules.load(redis, "s") == StoredRules(2, {"r1": {}}, {"c1": {}})


async def test_rules_are_read_only_where_they_changed(redis: Redis) -> None:
    known = await rules.read(redis, "s")
    assert await rules.read(redis, "s", known) is known
    await rules.put(redis, "s", "r1", {"n": 1})
    known = await rules.read(redis, "s", known)
    assert known == StoredRules(1, {"r1": {"n": 1}})
    assert await rules.read(redis, "s", known) is known
    await redis.flushall()
    assert await rules.read(redis, "s", known) == StoredRules(0, {})


async def test_pinned_rules_stay_while_others_come_and_they_go(redis: Redis) -> None:
    await rules.put(redis, "s", "r1", {"n": 1})
    await rules.put(redis, "s", "r2", {"n": 2})
    pin = keys.sweep_rules("s", 0)
    first = await rules.read(redis, "s", pin=pin)
    assert first == StoredRules(2, {"r1": {"n": 1}, "r2": {"n": 2}})
    await rules.put(redis, "s", "r3", {"n": 3})
    await rules.remove(redis, "s", ["r1", "r3"], 5.0)
    newest = await rules.read(redis, "s")
    assert newest == StoredRules(4, {"r2": {"n": 2}})
    assert await rules.read(redis, "s", newest, pin) == first
    assert 0 < await redis.ttl(pin) <= keys.BATCH_TTL_S
    await rules.unpin(redis, pin)
    assert await rules.read(redis, "s", newest, pin) is newest


async def test_what_went_is_forgotten_once_no_batch_can_ask_for_it(redis: Redis) -> None:
    for at in (0.0, 10.0, keys.BATCH_TTL_S + 5.0):
        await rules.put(redis, "s", f"r{at}", {})
        await rules.remove(redis, "s", [f"r{at}"], at)
    assert sorted(await redis.hkeys(keys.removed_rules("s"))) == [b"r10.0", b"r905.0"]
    assert 0 < await redis.ttl(keys.removed_rules("s")) <= keys.BATCH_TTL_S


async def test_rule_hits_count_once_for_a_retried_batch_and_only_of_rules_that_are_there(redis: Redis) -> None:
    for name in ("r1", "r2"):
        await rules.put(redis, "s", name, {})
    assert await rules.hit(redis, "s", {"r1": 2, "r2": 1, "gone": 5}, "batch", "lines")
    assert not await rules.hit(redis, "s", {"r1": 2, "r2": 1}, "batch", "lines")
    assert await rules.hit(redis, "s", {"r1": 1})
    assert not await rules.hit(redis, "s", {})
    assert await rules.hits(redis, "s") == {"r1": 3, "r2": 1}
    await rules.remove(redis, "s", ["r2"], 1.0)
    assert await rules.standing(redis, "s", ["r1", "r2", "gone"]) == {
        "r1": Standing(3, True), "r2": Standing(1, False), "gone": Standing(0, False),
    }  # fmt: skip
    await rules.forget_hits(redis, "s", ["r2"])
    assert await rules.hits(redis, "s") == {"r1": 3}
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
