"""Feedback on one number of a template is about that number alone, for the next verdict, the answer and the learner."""

from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from redis.asyncio import Redis

from models.bundle import Bundle
from models.members.event import Observed
from models.rules import Rule, Rules, widened
from models.spool.layout import Layout
from models.spool.reader import Spooled
from models.spool.rows import columns, pack
from models.verdict import Verdict
from tests.service.serving import NOW, Replica, every_kind_bundle, running, stored
from training.learning.answers import Answer
from training.learning.candidate import bar_of
from training.learning.coverage import covered
from training.learning.teachers import TEACHERS
from training.learning.teaching import Part, Taught
from training.progress import silent
from training.stream import Stream

VALUES = "deeplog_values"
STORED = 48_000_000
"""What is stored of a block on average."""
LARGE, LARGER = 4 * STORED, 4 * STORED + 1_000


@cache
def alone() -> Bundle:
    """The block store's bundle with a threshold that any member alone reaches, and pauses judged as values only."""
    given = every_kind_bundle()
    state = orjson.loads(given.files["ensemble.json"])
    state["members"]["timing"]["weight"] = 0.0
    return Bundle.seal(given.manifest, {**given.files, "ensemble.json": orjson.dumps({**state, "threshold": 3.5})})


def life(block: int, size: int = STORED, pause: int = 4) -> list[str]:
    """A block that stores ``size`` bytes, ``pause`` seconds after it is received."""
    name = f"blk_{block}"
    steps = [
        ("store.Names", f"allocate {name} for /jobs/3/part-4", 0),
        ("store.Node", f"receiving {name} from 10.0.0.9:5001", 4),
        ("store.Node", f"receiving {name} from 10.0.0.8:5001", 4),
        ("store.Node", f"stored {name} of {size} bytes", pause),
    ]
    second, lines = 0, []
    for component, message, after in steps:
        second += after
        lines.append(f"240502 10{second // 60:02d}{second % 60:02d} 21 INFO {component}: {message}")
    return lines


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", alone())) as one:
        yield one


async def last(replica: Replica, lines: list[str]) -> Verdict:
    """Of the line that stores."""
    verdicts: list[Verdict] = (await replica.ingest("blocks", lines))["verdicts"]
    return next(verdict for verdict in reversed(verdicts) if verdict["kind"] == "line")


def broken(verdict: Verdict) -> dict[str, Any] | None:
    """What the parameter-value model says of a verdict."""
    return next((dict(reason) for reason in verdict["reasons"] if reason["detector"] == VALUES), None)


async def test_another_number_of_the_template_goes_on_ringing(replica: Replica) -> None:
    first = await last(replica, life(1, size=LARGE))
    reason = broken(first)
    assert reason is not None
    assert (reason["feature"], reason["observed"]) == ("NUM", float(LARGE))
    given = {"label": "false_positive", "incident": first["incident"], "scope": "parameter"}
    response = await replica.http.post("/feedback", json=given, headers={"X-Tocsin-Author": "ada"})
    assert response.status_code == 201, response.text
    item = response.json()
    (clause,) = item["rule"]["clauses"]
    assert item["silences"] == [f"{VALUES} is silent on the same value from {clause['low']:g} to {clause['high']:g}"]
    assert (await last(replica, life(2, size=LARGER)))["rule"] == item["id"]
    slow = await last(replica, life(3, pause=500))
    found = broken(slow)
    assert found is not None, "500 lies between what the answer said is silent, but it is of the pause"
    assert clause["low"] <= found["observed"] == 500.0 <= clause["high"]
    assert found["feature"] == "elapsed"
    assert slow["anomalous"]


def events_of(lines: list[str]) -> Observed:
    """What the service makes of the line that stores."""
    batch = Stream(alone()).feed(lines, NOW)
    windows = batch.windows
    values = windows.values
    assert values is not None
    assert values.at[-1] == len(windows.row) - 1
    return Observed(windows, batch.events.key[windows.row])


def learned(seen: Taught) -> Bundle:
    """The bundle after the parameter-value model was taught."""
    live = alone()
    part = Part(VALUES, live.manifest.detectors[VALUES], live.files, bar_of(live, live.judge(), VALUES))
    found = TEACHERS[VALUES](part, [seen], 0, silent)
    assert found is not None
    return Bundle.seal(live.manifest, {**live.files, **found.files})


def spool_of(*sessions: list[str]) -> Spooled:
    counted: dict[bytes, int] = {}
    layout = None
    for lines in sessions:
        events = events_of(lines)
        layout = Layout.of(events, texts=False, tail=0)
        nothing = np.zeros(len(events.key), dtype=np.bool_)
        counted |= dict.fromkeys(pack(layout, events, nothing, ()), 1)
    assert layout is not None
    flags = np.zeros(len(counted), dtype=np.bool_)
    none = np.empty(0, dtype=np.bool_)
    frame = columns(layout, counted)
    return Spooled((frame,), [], np.ones(len(counted), dtype=np.int64), flags, flags, none.astype(np.int64), none, none)


def test_what_was_learned_of_one_number_covers_its_rule_whatever_the_others_do() -> None:
    live = alone()
    judge = live.judge()
    events = events_of(life(1, size=LARGE))
    at = len(events.key) - 1
    reasons = judge.explainer.row_reasons(judge.rows(events), at, events)
    normal = next(reason.because["normal"] for reason in reasons if reason.detector == VALUES)
    clause = widened(judge.explainer.row_clauses(VALUES, events, at)[0], normal)
    assert clause is not None
    assert clause.scope == "parameter"
    rule = Rule("a", (clause,))
    lesson = judge.explainer.row_lesson(VALUES, events, at)
    answer = Answer("a", "false_positive", (lesson,), frozenset([VALUES]))
    candidate = learned(Taught(lesson.seen, True))
    silenced = judge.rows(events_of(life(3, pause=500)), Rules([rule])).silenced
    assert at not in silenced
    assert covered(live, live, [(answer, rule)]) == []
    assert covered(live, candidate, [(answer, rule)], spool_of(life(2, size=LARGE), life(3, pause=500))) == [answer]
