"""What the load commands send and say; how much a machine takes is theirs to measure, not a test's."""

import asyncio
import io
from dataclasses import fields
from typing import Any

import orjson
import pytest
from rich.console import Console

from service.state import keys
from tests.faults import holdings, house, load
from tests.faults.house import Material
from tests.faults.offering import Tally
from tests.faults.traffic import BATCH, Lanes, Request


@pytest.fixture(scope="module")
def material() -> Material:
    return house.sample(slice(16_000, 18_000))


def rows(request: Request) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads(request.body)["records"]
    return found


def test_a_request_holds_whole_records_and_sessions_of_its_lane(material: Material) -> None:
    lanes = Lanes(material)
    one, other = lanes.take(), lanes.take()
    assert sum(len(piece.lines) for piece in lanes.pieces) == len(material.records)
    sent = "\n".join(line for piece in lanes.pieces for line in piece.lines)
    assert sent == "\n".join(material.lines), "lines that belong to a record travel with it"
    assert {row["session"] for row in rows(one.request(1e9))}.isdisjoint(
        row["session"] for row in rows(other.request(1e9))
    )


def test_what_was_not_taken_is_the_next_again_and_then_time_goes_on(material: Material) -> None:
    lane = Lanes(material).take()
    first = lane.request(1_000_000.0)
    assert lane.request(1_000_001.0) is first
    lane.taken()
    second = lane.request(1_000_002.0)
    assert second.key != first.key
    times = [row["timestamp"] for row in (*rows(first), *rows(second))]
    assert times == sorted(times)
    assert max(times) == 1_000_002.0
    assert first.lines == BATCH


def test_goodput_is_what_was_answered_meanwhile() -> None:
    tally = Tally(answers=[(0.0, 1.0, 500), (1.0, 2.0, 500), (1.5, 31.0, 500)])
    assert tally.rate(0.0, 10.0) == 100.0, "what waited until after the end does not count"


def test_every_key_of_a_batch_is_of_a_kind() -> None:
    expected = {
        "answers": [keys.answer("s", "k")],
        "sessions": [keys.live(1, "s"), keys.idle(1, "s"), keys.peaks(1, "s"), keys.notes(1, "s")],
        "incidents": [keys.incidents("s"), keys.incident_clauses("s"), keys.outbox("s")],
        "ends": [keys.verdicts("s")],
        "retries": [
            keys.appended(1, "s", "b"), keys.over(1, "s", 7), keys.begun("s", "b"), keys.arrived("s", "b"),
            keys.applied("s", "w", "b", ""),
        ],
        "other": [keys.SCHEMA, keys.tree("s"), keys.queue(1, "s")],
    }  # fmt: skip
    for kind, names in expected.items():
        assert [holdings.kind_of(name, "s") for name in names] == [kind] * len(names)
    assert set(holdings.LEVELS) == set(holdings.KINDS)


def test_a_soak_says_what_grows_and_how_it_came_out() -> None:
    row = dict.fromkeys(load.COLUMNS, 1.0)
    minutes = [{**row, "p99_ms": 10.0 + n, "redis_mib": 2.0 * max(n, 5), "answers_mib": 3.0 * n} for n in range(12)]
    found = load.summary(minutes)
    assert found["redis_mib_per_h"] == pytest.approx(120.0)
    assert found["service_mib_per_h"] == pytest.approx(0.0)
    assert found["dropped"] == 12
    *kinds, last = load.said_of(minutes, found)
    assert "answers: 33.0 MiB, +180.0 an hour; level off 15 minutes" in kinds[0]
    assert "p99 12 ms in the first minutes, 19 in the last" in last
    assert "Redis by +120.0; 12 lines dropped" in last


@pytest.mark.slow
def test_a_soak_below_capacity_drops_nothing(material: Material) -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=400)
    found = asyncio.run(load.soak(material, 0.05, 0.2, console, step_s=1.0))
    [minute] = found["minutes"]
    assert found["capacity"] > 0
    assert found["dropped"] == 0
    assert minute["answers"] > 0
    assert minute["sessions"] > 0
    assert minute["answers_mib"] > 0
    assert {f"{kind}_mib" for kind in holdings.KINDS} <= set(minute)
    assert {field.name for field in fields(holdings.Holdings)} - {"used", "bytes"} <= set(minute)
    assert "lines dropped" in shown.getvalue()
