"""A number called normal is taken into its normal range, and nothing else of the value model changes by that."""

from dataclasses import replace
from functools import cache

import numpy as np
import orjson
import pytest

from models.deeplog_values.detector import DeepLogValues
from models.deeplog_values.limits import ONE
from models.errors import BundleError
from models.graph import Graph
from models.lesson import Seen, numbers
from models.members.event import ValueMember
from models.sessions import Float64
from tests.training.deeplog_values.test_fitted import CORPUS, JOB, LENGTH, QUEUE, SETTINGS, column, vectors
from training.deeplog_values import fit_deeplog_values
from training.deeplog_values.teach import GRAPH, STATE, WIDEST, teach_deeplog_values
from training.learning.teaching import Learned, Part, Taught
from training.progress import silent


@cache
def part(rule: str = "quantile") -> Part:
    settings = replace(SETTINGS, rule=rule)  # type: ignore[arg-type]
    fitted = fit_deeplog_values(CORPUS, settings, seed=0)
    return Part("deeplog_values", fitted.settings, fitted.files, 1.0)


def detector(given: Part | Learned) -> DeepLogValues:
    files = {**part().files, **given.files}
    return DeepLogValues.from_dict(orjson.loads(files[STATE]), Graph(files[GRAPH], "cpu"))


def seen(key: int, own: Float64) -> Seen:
    history = np.full((SETTINGS.h, own.shape[1]), np.nan)
    past = own[:-1][-SETTINGS.h :]
    history[SETTINGS.h - len(past) :] = past
    return {"key": key, "history": numbers(history), "values": numbers(own[-1])}


def changed(key: int, mask: str, number: int, value: float, at: int = 6) -> Seen:
    """A line of session 40 with another number in the place of one of its own."""
    own = vectors(detector(part()), key, 40)[:at].copy()
    own[-1, column(detector(part()), key, mask, number)] = value
    return seen(key, own)


def every_line() -> list[Seen]:
    given = detector(part())
    found = []
    for session in range(36, 48):
        for key in (QUEUE, JOB):
            own = vectors(given, key, session)
            found += [seen(key, own[: at + 1]) for at in range(LENGTH)]
    return found


def raws(given: Part | Learned, *those: Seen) -> Float64:
    return ValueMember(detector(given), 0).score_seen(those)


def teach(*said: tuple[Seen, bool], of: Part | None = None) -> Learned | None:
    return teach_deeplog_values(of or part(), [Taught(one, normal) for one, normal in said], 0, silent)


def learned(*said: tuple[Seen, bool], of: Part | None = None) -> Learned:
    found = teach(*said, of=of)
    assert found is not None
    return found


FAR = changed(JOB, "NUM", 2, 125.0)
FARTHER = changed(JOB, "NUM", 2, 140.0)
OTHER = changed(JOB, "NUM", 3, 125.0)
"""Another number of the same template."""


def port() -> Seen:
    given = detector(part())
    own = vectors(given, JOB, 40)[:6].copy()
    constant = next(c for c, one in enumerate(given.templates[JOB].positions) if one.constant is not None)
    own[-1, constant] = 8443.0
    return seen(JOB, own)


def test_a_number_called_normal_falls_below_the_bar_and_real_anomalies_keep_ringing() -> None:
    assert (raws(part(), FAR, FARTHER, OTHER) >= 1.0).all()
    after = learned((FAR, True), (FARTHER, False), (OTHER, False))
    assert (raws(after, FAR, FARTHER, OTHER) >= 1.0).tolist() == [False, True, True]
    told = after.told
    assert (told["lessons"], told["below"], told["protected"], told["steps"]) == (1, 1, 2, 1)
    assert told["seconds"] < 20.0
    assert after.files.keys() == {STATE}
    assert after.settings == part().settings


def test_no_line_is_stranger_than_before_and_other_templates_stay() -> None:
    lines = every_line()
    before, after = raws(part(), *lines), raws(learned((FAR, True)), *lines)
    assert (after <= before).all()
    queue = np.array([one["key"] == QUEUE for one in lines])
    assert np.array_equal(after[queue], before[queue])


def test_a_lesson_that_would_hide_a_real_anomaly_is_left_to_its_rule() -> None:
    nearer = changed(JOB, "NUM", 2, 122.0)
    assert teach((FAR, True), (nearer, False)) is None
    after = learned((FAR, True), (nearer, False), (OTHER, True))
    assert (raws(after, FAR, nearer, OTHER) >= 1.0).tolist() == [True, True, False]


def test_a_range_does_not_widen_without_end_however_often_it_is_taught() -> None:
    assert teach((changed(JOB, "NUM", 2, 1e6), True)) is None
    given, value = part(), 120.0
    for _ in range(20):
        after = teach((changed(JOB, "NUM", 2, value), True), of=given)
        if after is None and raws(given, changed(JOB, "NUM", 2, value))[0] >= 1.0:
            break
        if after is not None:
            given = Part(given.name, after.settings, {**given.files, **after.files}, given.bar)
        value += 5.0
    else:
        pytest.fail("twenty lessons, each a little farther, were all taken in")
    first, last = detector(part()).templates[JOB].limits, detector(given).templates[JOB].limits
    assert (last <= WIDEST * first * (1.0 + 1e-9)).all()
    assert (last > first).any()


def test_a_constant_that_changed_is_no_longer_checked() -> None:
    assert raws(part(), port())[0] >= 1.0
    after = learned((port(), True))
    assert raws(after, port())[0] < 1.0
    assert raws(after, OTHER)[0] >= 1.0
    assert teach((port(), True), (port(), False)) is None


def test_the_paper_s_rule_is_taught_by_its_bound() -> None:
    given = part("gaussian")
    assert raws(given, FAR)[0] >= 1.0
    after = learned((FAR, True), (changed(JOB, "NUM", 2, 200.0), False), of=given)
    assert raws(after, FAR)[0] == pytest.approx(0.98, rel=1e-3)
    assert raws(after, changed(JOB, "NUM", 2, 200.0))[0] >= 1.0
    assert teach((changed(JOB, "NUM", 2, 1e4), True), of=given) is None


def test_where_nothing_called_normal_rings_nothing_changes() -> None:
    calm = seen(JOB, vectors(detector(part()), JOB, 40)[:6])
    assert teach() is None
    assert teach((calm, True), (FAR, False)) is None
    assert teach(({**FAR, "key": 77}, True)) is None


def test_a_bundle_of_one_reach_for_both_sides_is_taught_too() -> None:
    state = orjson.loads(part().files[STATE])
    for template in state["templates"].values():
        limits = np.array(template.pop("limits"))
        template["reach"] = limits[:, :, :, ONE].max(axis=2).tolist()
    older = replace(part(), files={**part().files, STATE: orjson.dumps(state)})
    assert raws(Learned({}, older.files), FAR)[0] >= 1.0
    after = learned((FAR, True), (FARTHER, False), of=older)
    assert (raws(after, FAR, FARTHER) >= 1.0).tolist() == [False, True]


def test_the_same_answers_give_the_same_state() -> None:
    one, other = learned((FAR, True), (OTHER, True), (FAR, True)), learned((FAR, True), (OTHER, True))
    assert one.files == other.files
    assert one.told["lessons"] == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [(STATE, b"{"), (STATE, b"[]"), (STATE, b"{}"), (STATE, None), (GRAPH, b"\x00broken"), (GRAPH, None)],
)
def test_a_damaged_bundle_is_refused(name: str, content: bytes | None) -> None:
    files = {**part().files, name: content or b""}
    if content is None:
        del files[name]
    with pytest.raises(BundleError, match="restore"):
        teach((FAR, True), of=Part("deeplog_values", part().settings, files, 1.0))
