"""Incidents with their explanation, what people say of them, and verdicts of session ends."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from models.verdict import Verdict
from tests.golden import blocks
from tests.service.serving import Replica, blocks_bundle, running, stored


class Clock:
    """A clock that moves a second with each reading, so that incidents of different requests have an order."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle()), Clock()) as replica:
        yield replica


@pytest.fixture
async def rang(replica: Replica) -> list[Verdict]:
    """Anomalous verdicts of the golden log, sent in three parts."""
    lines = blocks.golden_log()
    found: list[Verdict] = []
    for part in (lines[:149], lines[149:300], lines[300:]):
        found += (await replica.ingest("blocks", part, params={"verdicts": "anomalous"}))["verdicts"]
    await replica.core.sweep()
    return found


async def test_an_incident_says_what_was_expected_what_came_and_after_what(
    replica: Replica, rang: list[Verdict]
) -> None:
    """Block 1005 lacks its writes; the deciding word is the network's."""
    verdict = next(v for v in rang if v["session"] == "blk_1005" and v["kind"] == "line")
    assert verdict["incident"] is not None
    incident = await replica.get(f"/incidents/{verdict['incident']}")
    assert incident["session"] == "blk_1005"
    assert (incident["source"], incident["version"], incident["state"]) == ("blocks", "1", "open")
    assert "blk_1005" in incident["line"]
    assert incident["scopes"] == ["window", "template"]
    assert incident["template"] == verdict["template"]
    before = [entry["template"].split(" <BLK>")[0] for entry in incident["window"]]
    assert before[0] == "allocate"
    assert "receiving" in before
    assert "stored" not in before
    texts = await replica.texts("blocks")
    assert all(texts[entry["template_id"]] == entry["template"] for entry in incident["window"])
    reason = next(reason for reason in incident["reasons"] if reason["detector"] == "deeplog")
    expected = reason["expected"]
    assert [set(guess) >= {"template", "probability"} for guess in expected] == [True] * len(expected)
    probabilities = [guess["probability"] for guess in expected]
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0.0 < sum(probabilities) <= 1.0 + 1e-6
    assert reason["template"] == verdict["template"]
    assert reason["rank"] >= 2
    assert 0.0 <= reason["probability"] < probabilities[0]


async def test_verdicts_of_one_session_about_one_thing_fold_into_one_incident(
    replica: Replica, rang: list[Verdict]
) -> None:
    listed = {i["id"]: i for i in (await replica.get("/incidents", source="blocks"))["incidents"]}
    told = [v["incident"] for v in rang]
    told += [v["incident"] for v in await replica.ends("blocks") if v["anomalous"] and v["incident"] not in told]
    assert set(listed) == set(told)
    assert len(listed) < len(rang)
    for incident in listed.values():
        assert incident["count"] >= told.count(incident["id"]) >= 1
        assert incident["first_seen"] <= incident["last_seen"]
        assert blocks.BEGAN < incident["first_seen"] < incident["raised"]
    folded = {v["incident"] for v in rang if v["session"] == "blk_1007" and v["kind"] == "line"}
    assert len(folded) == 1
    assert listed[folded.pop()]["count"] == sum(v["session"] == "blk_1007" and v["kind"] == "line" for v in rang) > 1
    novel = [v for v in rang if v["novel"]]
    assert len(novel) >= 4
    assert all("new_event" in {reason["detector"] for reason in v["reasons"]} for v in novel)


async def test_incidents_are_listed_newest_first_in_pages_and_by_filter(replica: Replica, rang: list[Verdict]) -> None:
    assert rang
    every = (await replica.get("/incidents"))["incidents"]
    raised = [incident["raised"] for incident in every]
    assert raised == sorted(raised, reverse=True)
    assert len(set(raised)) > 1
    paged = []
    cursor = None
    while True:
        page = await replica.get("/incidents", limit=2, **({"cursor": cursor} if cursor else {}))
        assert len(page["incidents"]) <= 2
        paged += page["incidents"]
        cursor = page["next"]
        if cursor is None:
            break
    assert paged == every
    since = raised[len(raised) // 2]
    assert (await replica.get("/incidents", since=since))["incidents"] == [i for i in every if i["raised"] >= since]
    assert (await replica.get("/incidents", state="open"))["incidents"] == every
    assert (await replica.get("/incidents", state="resolved"))["incidents"] == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"source": "nowhere"}, 404),
        ({"state": "asleep"}, 422),
        ({"limit": "0"}, 422),
        ({"since": "nan"}, 422),
        ({"since": "inf"}, 422),
        ({"cursor": "oops"}, 422),
        ({"cursor": "nan:x"}, 422),
        ({"cursor": "1:x"}, 422),
    ],
)
async def test_a_wrong_question_about_incidents_is_refused(
    replica: Replica, query: dict[str, str], status: int
) -> None:
    response = await replica.http.get("/incidents", params=query)
    assert response.status_code == status, response.text
    assert response.json()["error"]


async def test_unknown_incident_is_404(replica: Replica) -> None:
    response = await replica.http.get("/incidents/0123456789abcdef")
    assert response.status_code == 404
    assert "GET /incidents" in response.json()["error"]


async def test_another_replica_shows_incidents_of_a_source_whose_bundle_came_after_it_started(
    replica: Replica, redis_url: str, tmp_path: Path
) -> None:
    async with running(redis_url, stored(tmp_path / "others")) as other:
        assert (await other.get("/incidents"))["incidents"] == []
        await replica.ingest("blocks", blocks.golden_log())
        stored(tmp_path / "others", blocks_bundle())
        listed = (await other.get("/incidents"))["incidents"]
        assert listed
        assert (await other.get(f"/incidents/{listed[0]['id']}"))["id"] == listed[0]["id"]


async def test_session_ends_are_read_on_from_where_the_last_reading_stopped(
    replica: Replica, rang: list[Verdict]
) -> None:
    assert rang
    ends = await replica.ends("blocks")
    assert len(ends) > 10
    assert all(end["kind"] == "session" and end["index"] is None for end in ends)
    first = await replica.get("/verdicts", source="blocks", limit=5)
    rest = await replica.get("/verdicts", source="blocks", since=first["next"])
    assert first["verdicts"] + rest["verdicts"] == ends
    nothing = await replica.get("/verdicts", source="blocks", since=rest["next"])
    assert nothing == {"verdicts": [], "next": rest["next"]}
    assert (await replica.get("/verdicts", source="blocks", since="1800000000"))["verdicts"] == ends
    assert (await replica.get("/verdicts", source="blocks", since="-5"))["verdicts"] == ends
    assert (await replica.get("/verdicts", source="blocks", since="1900000000"))["verdicts"] == []


@pytest.mark.parametrize("since", ["oops", "nan", "inf", "-inf", "1e300", "a-b", "1-2-3", f"{2**64}-0", f"0-{2**64}"])
async def test_a_place_that_is_none_is_refused(replica: Replica, since: str) -> None:
    response = await replica.http.get("/verdicts", params={"source": "blocks", "since": since})
    assert response.status_code == 422, response.text
    assert "next" in response.json()["error"]
