"""A click is learned: by a version that passed the gate, in every replica, once, and until it is taken back."""

import asyncio

import numpy as np
import pytest

from models.bundle import Bundle
from service.learner import learner as learning
from service.state import lessons, rules
from tests.service.learner.conftest import Scene, forgotten, quarantined, stored_once_more
from training.learning.gate import Gate


async def test_what_was_called_normal_is_learned_and_its_rule_retired(scene: Scene) -> None:
    for incident in await scene.incidents(quarantined(1)):
        await scene.say("false_positive", incident)
    (outcome,) = [one for one in await scene.learner().rounds() if one.source == "blocks"]
    assert outcome.state == "published"
    assert outcome.version == "2"
    assert outcome.gate["passed"]
    assert await scene.live() == "2"
    assert outcome.retired == outcome.learned
    assert not (await rules.load(scene.redis, "blocks")).rules
    for replica in (scene.one, scene.other):
        (verdict,) = await scene.verdicts(replica, quarantined(2))
        assert (verdict["state"], verdict["anomalous"], verdict["novel"]) == ("scored", False, False)
    bundle = scene.store.load("blocks", "2")
    assert bundle.manifest.parent == "1"
    assert bundle.manifest.provenance["lessons"] == list(outcome.learned)
    assert bundle.manifest.metrics["learned"]["new_event"]


async def test_a_session_that_was_called_normal_is_normal_from_then_on(scene: Scene) -> None:
    found = await scene.incidents(forgotten(1))
    assert len(found) == 2  # the step, and the whole session by its counts
    for incident in found:
        await scene.say("false_positive", incident)
    (outcome,) = [one for one in await scene.learner().rounds() if one.source == "blocks"]
    assert outcome.state == "published"
    assert len(outcome.learned) == 2
    assert {verdict["state"] for verdict in await scene.verdicts(scene.other, forgotten(2))} == {"scored"}
    assert not await scene.incidents(forgotten(3))


async def test_nothing_is_learned_twice(scene: Scene) -> None:
    for incident in await scene.incidents(quarantined(1)):
        await scene.say("false_positive", incident)
    learner = scene.learner()
    states = [(await learner.round("blocks")).state for _ in range(2)]
    assert states == ["published", "idle"]
    assert scene.store.versions("blocks") == ["1", "2"]


async def test_a_learner_that_died_before_it_published_loses_nothing(scene: Scene) -> None:
    """It had read the answers, and even written its version."""
    for incident in await scene.incidents(quarantined(1)):
        await scene.say("false_positive", incident)
    assert await lessons.take(scene.redis, "blocks", "the dead one")
    assert await lessons.read(scene.redis, "blocks")
    assert (await scene.learner().round("blocks")).state == "idle"
    await lessons.leave(scene.redis, "blocks", "the dead one")
    assert (await scene.learner().round("blocks")).state == "published"


async def test_two_learners_publish_once(scene: Scene) -> None:
    for incident in await scene.incidents(quarantined(1)):
        await scene.say("false_positive", incident)
    outcomes = await asyncio.gather(scene.learner().round("blocks"), scene.learner().round("blocks"))
    assert sorted(outcome.state for outcome in outcomes) == ["idle", "published"]


async def test_who_lost_the_lease_publishes_nothing(scene: Scene) -> None:
    for incident in await scene.incidents(quarantined(1)):
        await scene.say("false_positive", incident)
    learner = scene.learner()
    publish = lessons.publish

    async def late(*given: object, **named: object) -> bool:
        await scene.redis.set("tocsin:{s:blocks}:learner", "another")
        return await publish(*given, **named)  # type: ignore[arg-type]

    lessons.publish = late  # type: ignore[assignment]
    try:
        outcome = await learner.round("blocks")
    finally:
        lessons.publish = publish
    assert outcome.state == "overtaken"
    assert await scene.live() == "1"
    await scene.redis.delete("tocsin:{s:blocks}:learner")
    assert (await scene.learner().round("blocks")).version == "3"


async def test_a_protected_case_keeps_ringing_in_what_is_learned(scene: Scene) -> None:
    (step, whole) = await scene.incidents(forgotten(1))
    await scene.say("true_positive", step)
    for incident in await scene.incidents(quarantined(2)):
        await scene.say("false_positive", incident)
    outcome = await scene.learner().round("blocks")
    assert outcome.state == "published"
    assert outcome.gate["figures"]["protected"] == 1
    assert step != whole
    assert len(await scene.incidents(forgotten(3))) == 2


async def test_taking_back_what_was_learned_brings_the_alarm_back_at_once(scene: Scene) -> None:
    given = []
    for lines in (quarantined(1), forgotten(11)):
        given += [await scene.say("false_positive", incident) for incident in await scene.incidents(lines)]
    assert (await scene.learner().round("blocks")).state == "published"
    assert not await scene.incidents(quarantined(2))
    response = await scene.one.http.delete(f"/feedback/{given[0]['id']}")
    assert response.status_code == 200
    assert await scene.live() == "1"
    (verdict,) = await scene.verdicts(scene.other, quarantined(3))
    assert verdict["anomalous"]
    # What was learned beside it is silenced by its rules again, until it is learned again.
    assert {verdict["state"] for verdict in await scene.verdicts(scene.other, forgotten(4))} >= {"silenced"}
    outcome = await scene.learner().round("blocks")
    assert outcome.state == "published"
    assert set(outcome.learned) == {item["id"] for item in given[1:]}
    assert not await scene.incidents(forgotten(5))
    assert await scene.incidents(quarantined(6))


async def test_an_answer_taken_back_while_it_is_learned_does_not_go_live(scene: Scene) -> None:
    (incident,) = await scene.incidents(quarantined(1))
    item = await scene.say("false_positive", incident)
    publish = lessons.publish

    async def meanwhile(*given: object, **named: object) -> bool:
        assert (await scene.one.http.delete(f"/feedback/{item['id']}")).status_code == 200
        return await publish(*given, **named)  # type: ignore[arg-type]

    lessons.publish = meanwhile  # type: ignore[assignment]
    try:
        assert (await scene.learner().round("blocks")).state == "overtaken"
    finally:
        lessons.publish = publish
    assert await scene.live() == "1"
    assert await scene.incidents(quarantined(2))
    assert (await scene.learner().round("blocks")).state == "settled"


async def test_live_traffic_is_judged_alike_but_for_what_was_learned(scene: Scene) -> None:
    before = await scene.verdicts(scene.one, [*forgotten(1), *quarantined(2)])
    for incident in await scene.incidents(quarantined(3)):
        await scene.say("false_positive", incident)
    assert (await scene.learner().round("blocks")).state == "published"
    after = await scene.verdicts(scene.one, [*forgotten(4), *quarantined(5)])
    rang = [np.array([verdict["anomalous"] for verdict in found]) for found in (before, after)]
    assert (rang[0] != rang[1]).sum() == 1


async def test_a_rejected_candidate_stays_with_its_reasons_and_cannot_be_activated(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate itself has its own tests."""
    (incident,) = await scene.incidents(quarantined(1))
    item = await scene.say("false_positive", incident)
    monkeypatch.setattr(learning, "judge_candidate", lambda *_: Gate(False, ("it forgets",)))
    learner = scene.learner()
    outcome = await learner.round("blocks")
    assert (outcome.state, outcome.version, outcome.gate["reasons"]) == ("rejected", "2", ["it forgets"])
    assert await scene.live() == "1"
    assert scene.store.load("blocks", "2").manifest.metrics["gate"]["reasons"] == ["it forgets"]
    response = await scene.one.http.post("/models/blocks/activate", json={"version": "2"})
    assert response.status_code == 409
    assert "it forgets" in response.text
    # Its rule is what keeps it quiet; the same answer is not tried again and again.
    assert {verdict["state"] for verdict in await scene.verdicts(scene.other, quarantined(2))} == {"silenced"}
    assert (await learner.round("blocks")).state == "idle"
    (listed,) = (await scene.one.get("/feedback"))["feedback"]
    assert listed["id"] == item["id"]
    assert "rejected" in listed["learner"]


async def test_what_the_gate_turns_back_is_tried_once_more_without_the_networks(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unless_taught_by_steps(_live: Bundle, candidate: Bundle, *_: object) -> Gate:
        return Gate("deeplog" not in candidate.manifest.metrics["learned"], ("a network moved",))

    (by_counts,) = await scene.incidents(stored_once_more(1))
    (by_network,) = await scene.incidents(quarantined(2))
    counted = await scene.say("false_positive", by_counts)
    sequenced = await scene.say("false_positive", by_network)
    monkeypatch.setattr(learning, "judge_candidate", unless_taught_by_steps)
    outcome = await scene.learner().round("blocks")
    assert (outcome.state, outcome.version) == ("published", "3")
    assert (outcome.learned, outcome.left, outcome.retired) == ((counted["id"],), (sequenced["id"],), (counted["id"],))
    assert scene.store.load("blocks", "2").manifest.metrics["gate"]["reasons"] == ["a network moved"]
    assert await scene.live() == "3"
    # One by the model, the other by its rule, which stays.
    assert {verdict["state"] for verdict in await scene.verdicts(scene.one, stored_once_more(3))} == {"scored"}
    assert not any(verdict["anomalous"] for verdict in await scene.verdicts(scene.one, stored_once_more(4)))
    assert {verdict["state"] for verdict in await scene.verdicts(scene.one, quarantined(5))} == {"silenced"}
    assert (await scene.learner().round("blocks")).state == "idle"


async def test_no_request_is_lost_and_none_is_mixed_while_a_version_goes_live(scene: Scene) -> None:
    """Every batch is judged by one version: the old one rings on the new event, the new one does not."""
    for incident in await scene.incidents(quarantined(1)):
        await scene.say("false_positive", incident)
    done = asyncio.create_task(scene.learner().round("blocks"))
    rang, block = [], 100
    while not done.done() or len(rang) < 20:
        replica = (scene.one, scene.other)[block % 2]
        found = await scene.verdicts(replica, quarantined(block) + quarantined(block + 1))
        states = {verdict["state"] for verdict in found}
        assert len(found) == 2
        assert len(states) == 1
        rang.append(states.pop())
        block += 2
    assert (await done).state == "published"
    assert set(rang) == {"silenced", "scored"}
    assert rang == sorted(rang, reverse=True)  # silenced by the rule, then known to the model, and never back
