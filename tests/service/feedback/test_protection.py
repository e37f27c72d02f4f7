"""What is protected cannot be clicked away; each click is named, listed, limited and undone."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.state import rules
from tests.service.clicks import (
    ADA,
    Clock,
    forgotten,
    give,
    judged,
    line,
    quarantined,
    rings,
    state_of,
    undo,
    unwritten,
)
from tests.service.serving import Replica, running


async def test_what_was_called_real_cannot_be_called_false(pair: tuple[Replica, Replica]) -> None:
    one, other = pair
    real, again = await rings(one, unwritten(1)), await rings(one, unwritten(2))
    case = await give(one, incident=real["incident"], label="true_positive")
    assert await state_of(one, real["incident"]) == "acknowledged"
    for incident in (real["incident"], again["incident"]):
        for scope in (None, "template"):
            refused = await give(other, 409, incident=incident, scope=scope)
            assert f"incident {real['incident']}, session 'blk_1'" in refused["error"]
            assert f"DELETE /feedback/{case['id']}" in refused["error"]
    assert (await judged(other, unwritten(3)))[-1]["anomalous"]
    await give(other, incident=(await rings(other, forgotten(4)))["incident"])
    await undo(one, case["id"])
    assert await state_of(one, real["incident"]) == "open"
    await give(other, incident=again["incident"])
    assert (await judged(one, unwritten(5)))[-1]["state"] == "silenced"


async def test_what_is_silent_cannot_be_called_real_before_its_rule_is_gone(replica: Replica) -> None:
    incident = (await rings(replica, unwritten(1)))["incident"]
    item = await give(replica, incident=incident)
    refused = await give(replica, 409, incident=incident, label="true_positive")
    assert f"DELETE /feedback/{item['id']}" in refused["error"]
    await undo(replica, item["id"])
    await give(replica, incident=incident, label="true_positive")


async def test_a_second_click_on_what_is_silent_says_which_one_silenced_it(replica: Replica) -> None:
    first, second = await rings(replica, unwritten(1)), await rings(replica, unwritten(2))
    item = await give(replica, incident=first["incident"], expires_in_s=60)
    assert item["id"] in (await give(replica, 409, incident=second["incident"], expires_in_s=30))["error"]
    await give(replica, incident=second["incident"])


async def test_a_missed_anomaly_is_kept_with_its_window_and_protected(replica: Replica, redis: Redis) -> None:
    rang = await rings(replica, [quarantined(1), *unwritten(2)])
    given = {"label": "missed", "source": "blocks", "session": "blk_2", "at": "2024-05-02T10:00:01Z"}
    case = await give(replica, **given)
    assert (case["at"], case["session"], case["author"]) == (1714644001.0, "blk_2", "ada")
    kept = (await rules.load(redis, "blocks")).cases[case["id"]]
    assert kept["window"]["templates"] == ["allocate <BLK> for <PATH>", "replica map updated with <BLK> at <IP>"]
    assert (kept["window"]["events"], kept["version"], kept["at"]) == (2, "1", 1714644001.0)
    refused = await give(replica, 409, incident=(await rings(replica, unwritten(3)))["incident"])
    assert (
        f"(session 'blk_2'); choose a narrower scope, or take that back first: DELETE /feedback/{case['id']}"
        in (refused["error"])
    )
    await give(replica, incident=rang["incident"])


@pytest.mark.parametrize("at", ["2024-05-02T09:59:00Z", "2024-05-03T10:00:00Z"])
async def test_a_missed_anomaly_of_another_time_is_gone(replica: Replica, at: str) -> None:
    await judged(replica, unwritten(2))
    refused = await give(replica, 410, label="missed", source="blocks", session="blk_2", at=at)
    assert "not kept any more" in refused["error"]
    await give(replica, 410, label="missed", source="blocks", session="blk_77", at="2024-05-02T10:00:01Z")


async def test_one_author_may_silence_so_much_an_hour_and_all_together_so_much(
    redis: Redis, redis_url: str, bundles: Path, clock: Clock
) -> None:
    limits = {"feedback_rules_per_author": 2, "feedback_rules_per_source": 3}
    async with running(redis_url, bundles, clock, **limits) as replica:
        found = [unwritten(1), forgotten(2), [quarantined(3)], [line("store.Names: overload of blk_4 ended")]]
        causes = [(await rings(replica, lines))["incident"] for lines in found]
        await give(replica, incident=causes[0])
        clock.now += 600
        second = await give(replica, incident=causes[1])

        async def refused(by: str, incident: str | None, says: str) -> int:
            response = await replica.http.post(
                "/feedback", json={"label": "false_positive", "incident": incident}, headers={"X-Tocsin-Author": by}
            )
            assert response.status_code == 429, response.text
            assert says in response.json()["error"]
            return int(response.headers["Retry-After"])

        assert await refused("ada", causes[2], "'ada' silenced 2 causes") == 3000
        await give(replica, headers={"X-Tocsin-Author": "bob"}, incident=causes[2])
        assert await refused("eve", causes[3], "everybody together silenced 3 causes") == 3000
        assert [entry["action"] for entry in (await replica.get("/feedback/audit"))["audit"]] == [
            "refuse", "give", "refuse", "give", "give",
        ]  # fmt: skip
        await undo(replica, second["id"])
        await give(replica, incident=causes[3])
        clock.now += 3601
        await give(replica, incident=causes[1])


async def test_an_author_who_answers_too_fast_is_told_to_wait(
    redis: Redis, redis_url: str, bundles: Path, clock: Clock
) -> None:
    async with running(redis_url, bundles, clock, feedback_per_minute=3) as replica:
        answer = {"label": "true_positive", "incident": "0123456789abcdef"}
        for _ in range(3):
            assert (await replica.http.post("/feedback", json=answer, headers=ADA)).status_code == 404
        response = await replica.http.post("/feedback", json=answer, headers=ADA)
        assert (response.status_code, response.headers["Retry-After"]) == (429, "21")
        assert "'ada' gives more than 3 answers a minute" in response.json()["error"]
        assert (await replica.http.post("/feedback", json=answer)).status_code == 404
        clock.now += 20
        assert (await replica.http.post("/feedback", json=answer, headers=ADA)).status_code == 404
        assert (await replica.metrics())['tocsin_feedback_refused_total{reason="rate"}'] == 1


async def test_all_of_one_author_is_undone_in_one_call(pair: tuple[Replica, Replica]) -> None:
    one, other = pair
    eve = {"X-Tocsin-Author": "Zoë"}
    causes = [unwritten(1), forgotten(2), [quarantined(3)]]
    rang = [(await rings(one, lines))["incident"] for lines in causes]
    for incident, headers in zip(rang, (eve, eve, ADA), strict=True):
        encoded = {name: value.encode() for name, value in headers.items()}
        await give(one, headers=encoded, incident=incident)  # type: ignore[arg-type]
    assert (await judged(other, unwritten(5)))[-1]["state"] == "silenced"
    response = await other.http.delete("/feedback", params={"author": "Zoë"}, headers=ADA)
    assert response.status_code == 200, response.text
    assert len(response.json()["undone"]) == 2
    assert (await judged(one, unwritten(6)))[-1]["anomalous"]
    assert (await judged(one, [quarantined(7)]))[0]["state"] == "silenced"
    assert [await state_of(one, incident) for incident in rang] == ["open", "open", "silenced"]
    assert {item["author"] for item in (await one.get("/feedback"))["feedback"]} == {"ada"}
    trail = (await one.get("/feedback/audit"))["audit"]
    assert [(entry["action"], entry["author"]) for entry in trail] == [
        ("undo", "ada"), ("undo", "ada"), ("give", "ada"), ("give", "Zoë"), ("give", "Zoë"),
    ]  # fmt: skip
    assert trail[0]["given_by"] == "Zoë"
    assert (await other.http.delete("/feedback", params={"author": "nobody"})).json()["undone"] == []
    assert (await other.http.delete("/feedback")).status_code == 422


async def test_a_header_goes_before_the_name_in_the_body(replica: Replica) -> None:
    first, second = await rings(replica, unwritten(1)), await rings(replica, [quarantined(2)])
    assert (await give(replica, incident=first["incident"], author="mallory"))["author"] == "ada"
    assert (await give(replica, headers={}, incident=second["incident"], author=" bob "))["author"] == "bob"
