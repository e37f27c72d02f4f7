"""Rules that one author alone stands for: what they silenced is held against him until somebody agrees."""

from typing import Any

from redis.asyncio import Redis

from service.state import keys, lessons, rules, trials
from service.state.rules import Standing


def by(author: str, number: int = 0) -> dict[str, Any]:
    return {"n": number, "author": author}


async def test_rules_of_one_author_wait_once_they_silenced_together_what_they_may(redis: Redis) -> None:
    assert await trials.put(redis, "s", "r1", by("ada"), 0, 3) == 1
    assert await trials.put(redis, "s", "r2", by("ada"), 1, 3) == 2
    assert await trials.put(redis, "s", "r3", by("ada"), 1, 3) == 0, "weighed at an older version"
    assert await trials.put(redis, "s", "other", by("bob"), None, 3) == 3
    assert await rules.hit(redis, "s", {"r1": 2})
    assert set((await rules.read(redis, "s")).rules) == {"r1", "r2", "other"}
    assert await rules.hit(redis, "s", {"r2": 1})
    stored = await rules.load(redis, "s")
    assert (stored.version, set(stored.rules)) == (4, {"other"})
    assert stored.waiting == {"r1": by("ada"), "r2": by("ada")}
    assert stored.trial == {"r1": "ada", "r2": "ada", "other": "bob"}
    await trials.put(redis, "s", "r4", by("ada"), 4, 3)
    assert await rules.standing(redis, "s", ["r1", "r4", "other"]) == {
        "r1": Standing(2, stored=False, trial=True, waiting=True),
        "r4": Standing(0, stored=False, trial=True, waiting=True),
        "other": Standing(0, stored=True, trial=True, waiting=False),
    }


async def test_a_batch_that_is_tried_again_is_judged_by_what_waits_since_and_counts_once(redis: Redis) -> None:
    await trials.put(redis, "s", "r1", by("ada"), None, 1)
    pin = keys.sweep_rules("s", 0)
    first = await rules.read(redis, "s", pin=pin)
    assert await rules.hit(redis, "s", {"r1": 1}, "batch")
    assert not await rules.hit(redis, "s", {"r1": 1}, "batch")
    assert (await rules.read(redis, "s")).rules == {}
    assert await rules.read(redis, "s", pin=pin) == first
    assert (await rules.hits(redis, "s")) == {"r1": 1}


async def test_whoever_agrees_puts_it_before_the_learner_and_gives_its_author_his_room_back(redis: Redis) -> None:
    await trials.put(redis, "s", "r1", by("ada"), None, 3)
    await trials.put(redis, "s", "r2", by("ada"), None, 3)
    await rules.hit(redis, "s", {"r1": 3, "r2": 1})
    assert (await rules.load(redis, "s")).rules == {}
    assert await lessons.waiting(redis, "s") == 0
    assert await trials.agree(redis, "s", ["r1"], 1) == 0, "weighed at an older version"
    assert await trials.agree(redis, "s", ["r1"], 3) == 4
    stored = await rules.load(redis, "s")
    assert (set(stored.rules), stored.waiting, stored.trial) == ({"r1", "r2"}, {}, {"r2": "ada"})
    assert [one.id for one in await lessons.read(redis, "s")] == ["r1"]
    await rules.hit(redis, "s", {"r1": 100})
    assert set((await rules.load(redis, "s")).rules) == {"r1", "r2"}
    await rules.hit(redis, "s", {"r2": 2})
    assert set((await rules.load(redis, "s")).rules) == {"r1"}


async def test_whoever_agreed_may_take_it_back(redis: Redis) -> None:
    await trials.put(redis, "s", "r1", by("ada"), None, 3)
    await trials.agree(redis, "s", ["r1"], 1)
    await rules.hit(redis, "s", {"r1": 3})
    await trials.doubt(redis, "s", ["r1", "gone"], 3)
    stored = await rules.load(redis, "s")
    assert (stored.rules, set(stored.waiting), stored.trial) == ({}, {"r1"}, {"r1": "ada"})


async def test_what_is_taken_back_is_on_trial_no_more_but_what_it_silenced_stays_counted(redis: Redis) -> None:
    await trials.put(redis, "s", "r1", by("ada"), None, 2)
    await rules.hit(redis, "s", {"r1": 2})
    await rules.remove(redis, "s", ["r1"], 1.0)
    stored = await rules.load(redis, "s")
    assert (stored.rules, stored.waiting, stored.trial) == ({}, {}, {})
    await trials.put(redis, "s", "r2", by("ada"), None, 2)
    assert set((await rules.load(redis, "s")).waiting) == {"r2"}


async def test_an_account_starts_anew_after_a_week(redis: Redis) -> None:
    now = int((await redis.time())[0])
    for author, since in (("ada", now - trials.ACCOUNT_S + 600), ("bob", now - trials.ACCOUNT_S - 1)):
        await redis.hset(keys.accounts("s"), author, f"9 {since}")
        await trials.put(redis, "s", author, by(author), None, 2)
    stored = await rules.load(redis, "s")
    assert (set(stored.rules), set(stored.waiting)) == ({"bob"}, {"ada"})
