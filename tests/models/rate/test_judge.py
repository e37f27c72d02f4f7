"""Bursts and silences planted in a rhythm: each rings once, with what was expected; nothing else does."""

from functools import cache

import numpy as np
import orjson
import pytest

from models.autolog.frames import Frame
from models.errors import BundleError
from models.judging import Judged
from models.rate.detector import STATE
from models.rate.judge import HOLD, Episodes, RateJudge
from models.rules import Rule, Rules
from tests.golden import rates
from training.rate import RateSettings, fit_counts
from training.rate.buckets import Buckets

AFTERNOON = 15 * 12
NIGHT = 3 * 12
LATER = rates.FIRST + 14 * rates.DAY


@cache
def judge() -> RateJudge:
    return RateJudge.load(fit_counts(rates.buckets(14, seed=1), RateSettings()).files)


def judged(given: Buckets, rules: Rules | None = None, before: Episodes | None = None) -> Judged:
    found = judge().judge("s", rates.frames(given), before or Episodes(), "template {}".format, rules or Rules())[0]
    assert len(found.ends) == len(found.closings)
    return found


def told(found: Judged) -> list[tuple[str, int]]:
    """What rang and how many buckets of it, by incident."""
    names: dict[str, list[str]] = {}
    for finding in found.findings:
        names.setdefault(finding.verdict["incident"] or "", []).append(finding.verdict["reasons"][0]["series"])
    return sorted((one[0], len(one)) for one in names.values())


def day(seed: int = 50) -> Buckets:
    return rates.buckets(1, seed=seed, first=LATER)


def test_normal_week_stays_within_the_alarms_that_were_aimed_at() -> None:
    weeks = [told(judged(rates.buckets(7, seed=seed, first=LATER))) for seed in range(20, 30)]
    assert sum(map(len, weeks)) <= 10


def test_burst_of_everything_is_one_incident_of_the_source() -> None:
    assert told(judged(rates.changed(day(), AFTERNOON, AFTERNOON + 3, 5.0))) == [("burst of the source", 3)]


def test_template_that_bursts_beyond_the_others_rings_beside_the_source() -> None:
    given = rates.changed(day(), AFTERNOON, AFTERNOON + 3, 4.0)
    assert told(judged(rates.changed(given, AFTERNOON, AFTERNOON + 3, 20.0, series=3))) == [
        ("burst of template 13", 3),
        ("burst of the source", 3),
    ]


def test_burst_of_one_template_says_what_was_expected_and_since_when() -> None:
    given = rates.changed(day(), AFTERNOON, AFTERNOON + 3, 5.0, series=2)
    found = judged(given)
    assert told(found) == [("burst of template 12", 3)]
    verdict = found.findings[1].verdict
    (reason,) = verdict["reasons"]
    assert (verdict["kind"], verdict["template_id"], verdict["template"]) == ("timeframe", 12, "template 12")
    assert reason["value"] == given.counts[AFTERNOON + 1, 2]
    assert reason["expected"] == pytest.approx(0.25 * 200, rel=0.1)
    assert reason["normal"][0] < reason["expected"] < reason["normal"][1] < reason["value"]
    assert reason["began"] == "2024-05-15T15:00:00Z"
    assert 0.999 < verdict["score"] <= 1.0
    assert found.findings[1].started == (LATER + AFTERNOON) * rates.BUCKET_S
    assert orjson.dumps(verdict)


def test_burst_of_templates_that_are_rare_is_one_of_the_rest() -> None:
    assert told(judged(rates.changed(day(), AFTERNOON, AFTERNOON + 3, 60.0, series=6))) == [
        ("burst of the rarer templates", 3)
    ]


def test_source_that_goes_quiet_rings_once_and_its_templates_do_not() -> None:
    found = judged(rates.changed(day(), AFTERNOON, AFTERNOON + 3, 0.0))
    assert told(found) == [("quiet of the source", 3)]
    (reason,) = found.findings[0].verdict["reasons"]
    assert (reason["value"], reason["direction"]) == (0, "quiet")
    assert reason["normal"][0] > 50


def test_template_goes_quiet_where_chance_does_not_make_it_nothing() -> None:
    frequent = judged(rates.changed(day(), AFTERNOON, AFTERNOON + 3, 0.0, series=2))
    assert told(frequent) == [("quiet of template 12", 3)]
    assert told(judged(rates.changed(day(), AFTERNOON, AFTERNOON + 3, 0.0, series=5))) == []


def test_normal_of_the_night_is_quiet_at_noon_only() -> None:
    given = day()
    assert told(judged(given)) == []
    counts = given.counts.copy()
    counts[AFTERNOON : AFTERNOON + 3] = given.counts[NIGHT : NIGHT + 3]
    moved = Buckets(given.first, given.bucket_s, given.keys, counts)
    assert told(judged(moved)) == [("quiet of the source", 3)]


def test_pause_shorter_than_what_is_held_does_not_make_two_of_one() -> None:
    given = day()
    for start in (AFTERNOON, AFTERNOON + HOLD, AFTERNOON + 3 * HOLD):
        given = rates.changed(given, start, start + 1, 5.0, series=2)
    assert told(judged(given)) == [("burst of template 12", 1), ("burst of template 12", 2)]


def test_buckets_judged_in_parts_or_again_give_the_same_incidents() -> None:
    given = rates.changed(rates.changed(day(), AFTERNOON, AFTERNOON + 9, 0.0), 200, 204, 6.0, series=1)
    frames = rates.frames(given)
    whole = judged(given)
    before, found = Episodes(), []
    for start in range(0, len(frames), 5):
        part = frames[start : start + 5]
        once, after = judge().judge("s", part, before, "template {}".format)
        again, _ = judge().judge(
            "s", part, Episodes.from_dict(orjson.loads(orjson.dumps(before.to_dict()))), "template {}".format
        )
        assert again.ends == once.ends
        found += once.ends
        before = after
    assert found == whole.ends
    assert len(told(whole)) == 2


def test_first_bucket_and_one_behind_a_gap_are_not_quiet() -> None:
    """Whoever begins to count in the middle of a bucket has seen a part of it."""
    given = rates.changed(day(), AFTERNOON, AFTERNOON + 1, 0.02)
    frames = rates.frames(given)
    after_gap = [*frames[: AFTERNOON - 5], *frames[AFTERNOON:]]
    for part in (frames[AFTERNOON:], after_gap):
        assert judge().judge("s", part, Episodes(), str)[0].findings == []
    assert told(judged(given)) == [("quiet of the source", 1)]


def test_rule_silences_its_series_and_direction_alone() -> None:
    given = rates.changed(rates.changed(day(), 100, 103, 0.0), AFTERNOON, AFTERNOON + 3, 5.0, series=1)
    clause = next(f.clauses for f in judged(given).findings if f.verdict["template_id"] == 11)
    found = judged(given, Rules([Rule("r", clause)]))
    assert told(found) == [("quiet of the source", 3)]
    silenced = [end for end in found.ends if end["state"] == "silenced"]
    assert [(end["rule"], end["anomalous"], end["incident"]) for end in silenced] == [("r", False, None)] * 3


def test_nothing_to_judge() -> None:
    found, after = judge().judge("s", [], Episodes(7), str)
    assert (found.ends, after) == ([], Episodes(7))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"keys": [1], "rhythm": null}'])
def test_damaged_state_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"rate.json is damaged.*restore"):
        RateJudge.load({STATE: content})
    with pytest.raises(BundleError, match=r"lacks 'rate.json'"):
        RateJudge.load({})


def test_state_of_other_series_is_refused() -> None:
    state = orjson.loads(judge().detector.to_json())
    with pytest.raises(BundleError, match="not those of its rhythm"):
        RateJudge.load({STATE: orjson.dumps({**state, "keys": [1]})})


def test_count_of_any_size_has_a_score() -> None:
    frame = Frame(LATER + AFTERNOON, 10**9, {"source": {"11": 10**9}})
    (finding,) = judge().judge("s", [frame], Episodes(), str)[0].findings
    assert finding.verdict["score"] <= 1.0
    assert np.isfinite(finding.verdict["reasons"][0]["raw"])
