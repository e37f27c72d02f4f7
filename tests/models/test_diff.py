"""Which verdicts a version changes, told by template and detector, without what another version remembered."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.diff import diff, totals, without_peaks
from models.ensemble import Ensemble
from models.judge import Judge
from models.members.event import Observed
from models.sessions import Closing, SessionState
from models.spool import closings as ends
from models.spool.layout import Layout
from models.spool.reader import CLOSINGS, ROWS, TREE, Spooled, file_name, read_spool
from models.spool.rows import columns, pack
from models.windows import Windows
from tests.service.serving import blocks_bundle


@cache
def judge_of(threshold: float | None = None) -> Judge:
    """The block store's judge, with another threshold."""
    judge = blocks_bundle().judge(exemplar_of=lambda _: "")
    own = judge.ensemble
    if threshold is None:
        return judge
    ensemble = Ensemble.from_dict({**own.to_dict(), "threshold": threshold})
    return Judge(judge.events, judge.sessions, ensemble, judge.known)


def spooled_from(folder: Path, judge: Judge, closings: list[Closing]) -> Spooled:
    """Rows made of the closings' tails, each of them twice, and the closings, written and read back."""
    need = Layout.needed(judge)
    padded = [[*([-1] * need.width), *closing.state.tail] for closing in closings]
    windows = [(keys[at - need.width : at], keys[at]) for keys in padded for at in range(need.width, len(keys))]
    nothing = np.zeros(len(windows), dtype=np.int64)
    history = np.array([before for before, _ in windows], dtype=np.int64)
    rows = Observed(
        Windows(history, nothing, nothing, nothing.astype(np.float64)), np.array([key for _, key in windows])
    )
    quiet = np.zeros(len(windows), dtype=np.bool_)
    own = folder / "blocks"
    own.mkdir()
    tree = pl.lit("t").alias(TREE)
    columns(need, dict.fromkeys(pack(need, rows, quiet, ()), 2)).with_columns(tree).write_parquet(
        own / file_name(ROWS, 1, "w", 1)
    )
    packed = ends.pack(closings, np.zeros(len(closings), dtype=np.bool_), ())
    named = {name: (3, ends.first(closing)) for name, closing in zip(packed, closings, strict=True)}
    ends.columns(named).with_columns(tree).write_parquet(own / file_name(CLOSINGS, 1, "w", 1))
    return read_spool(folder, "blocks", "t", [need])


@pytest.fixture
def spooled(tmp_path: Path) -> Spooled:
    """Short sessions of templates in any order, some of which nobody knows."""
    chance = np.random.default_rng(3)
    keys = [*sorted(judge_of().known), 9998, 9999]
    found = []
    for number in range(40):
        tail = tuple(int(key) for key in chance.choice(keys, size=1 + number % 6))
        state = SessionState(0.0, 1.0, len(tail), tail, {key: tail.count(key) for key in tail})
        found.append(Closing(f"s{number}", state))
    return spooled_from(tmp_path, judge_of(), found)


def test_a_version_changes_nothing_against_itself(spooled: Spooled) -> None:
    found = diff(judge_of(), judge_of(), spooled)
    assert found.changes == ()
    assert found.events.rings == found.events.quiet == found.ends.rings == found.ends.quiet == 0
    assert found.events.both + found.events.neither == spooled.counts.sum() == 2 * len(spooled.counts)
    assert found.ends.both + found.ends.neither == 3 * len(spooled.closings)


def test_what_falls_quiet_is_told_by_template_and_detector(spooled: Spooled) -> None:
    judge, deaf = judge_of(), judge_of(1e9)
    rang = judge.rows(spooled.rows(Layout.needed(judge))).anomalous
    found = diff(judge, deaf, spooled)
    assert found.events.quiet == 2 * rang.sum() > 0
    assert found.events.rings == found.events.both == 0
    assert {change.turn for change in found.changes} == {"quiet"}
    lines = [change for change in found.changes if change.kind == "line"]
    assert sum(change.count for change in lines) == found.events.quiet
    assert sum(change.distinct for change in lines) == rang.sum()
    keys = set(spooled.rows(Layout.needed(judge)).key[rang].tolist())
    assert {change.template_id for change in lines} == keys
    assert all(change.detectors for change in lines)
    told = found.to_dict(lambda key: f"template {key}", shown=1)
    assert told["events"]["quiet"] == found.events.quiet
    assert len(told["changes"]) == 1
    assert told["more_changes"] == len(found.changes) - 1
    assert found.changes[0].count == max(change.count for change in found.changes)


def test_what_begins_to_ring_is_the_other_way_round(spooled: Spooled) -> None:
    forth, back = diff(judge_of(1e9), judge_of(), spooled), diff(judge_of(), judge_of(1e9), spooled)
    assert forth.events.rings == back.events.quiet > 0
    assert forth.ends.rings == back.ends.quiet
    assert {change.turn for change in forth.changes} == {"rings"}
    assert [(c.template_id, c.count, c.window) for c in forth.changes] == [
        (c.template_id, c.count, c.window) for c in back.changes
    ]


def test_what_another_version_remembered_of_a_session_does_not_ring(tmp_path: Path) -> None:
    judge = judge_of()
    known = sorted(judge.known)[0]
    closing = Closing("s", SessionState(0.0, 1.0, 1, (known,), {known: 1}))
    remembered = replace(closing, peaks={member.place: 1e9 for member in judge.events})
    assert judge.closings([remembered]).evidence[0] > judge.closings([closing]).evidence[0]
    assert judge.closings(without_peaks([remembered])).evidence[0] == judge.closings([closing]).evidence[0]
    bar = float(judge.closings([remembered]).evidence[0])
    # With a bar that only what was remembered reaches, the end rings with neither.
    found = diff(judge_of(bar), judge_of(1e9), spooled_from(tmp_path, judge, [remembered]))
    assert (found.ends.quiet, found.ends.neither) == (0, 3)


def test_totals_count_each_pair_of_verdicts() -> None:
    was, now = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert totals(was, now, np.array([1, 2, 4, 8])).to_dict() == {
        "all": 15, "both": 1, "rings": 4, "quiet": 2, "neither": 8,
    }  # fmt: skip
    assert totals(was, now).to_dict()["all"] == 4
