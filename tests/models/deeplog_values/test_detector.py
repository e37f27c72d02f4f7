"""The decision on numbers, on a network that is a table: what follows from given deviations."""

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.deeplog_values.detector import DeepLogValues, Rule, TemplateValues
from models.deeplog_values.layout import ELAPSED, Position
from models.deeplog_values.limits import LEVELS, MEAN, NEXT, Limits
from models.errors import BundleError
from models.sessions import Float64, Int64

NAN = math.nan
ELAPSED_AT = Position(ELAPSED, -1, -1, 90, mean=2.0, std=1.0)
DURATION = Position("NUM", 1, 0, 90, mean=10.0, std=2.0)
PORT = Position("NUM", 3, 0, 98, constant=443.0)
SIZE = Position("*", 2, 1, 50, mean=1.0, std=0.5, unit=100.0)
# By number and kind: at a raw output of 1, from a prediction without the number's history, from one with it, from the
# mean. The limits of the other raw outputs are in proportion, and those below are twice as far as those above.
REACH = np.array([[3.0, 2.0, 4.0], [3.0, 1.5, 4.0], [1.0, 1.0, 1.0]])
LIMITS = REACH[:, :, None, None] * np.array([2.0, 1.0])[:, None] * np.array(LEVELS)
TEMPLATES = {
    7: TemplateValues((ELAPSED_AT, DURATION, PORT), LIMITS, mu=1.0, sigma=0.5),
    9: TemplateValues((ELAPSED_AT, SIZE), LIMITS[:2], mu=1.0, sigma=0.5),
}
TOKENS = ["took", "<NUM>", "port", "<NUM>"]


class Mean:
    """Predicts the last vector where there is one, else the mean; only plain scales. Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def run(self, *, key: Int64, history: Float64, length: Int64, values: Float64) -> list[NDArray[Any]]:
        self.asked.append(history.shape[1])
        scales = [[(p.mean, p.std) for p in template.positions] for template in TEMPLATES.values()]
        table = np.array([[*own, (0.0, 1.0)][:3] for own in scales])
        mean, std = table[key, :, 0], table[key, :, 1]
        rows = np.arange(len(key))
        last = (history[rows, np.maximum(length - 1, 0)] - mean) / std
        prediction = np.where((length > 0)[:, None], np.nan_to_num(last), 0.0)
        judged = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])[key] * ~np.isnan(values)
        deviation = (np.nan_to_num((values - mean) / std) - prediction) * judged
        error = np.square(deviation).sum(axis=1) / np.maximum(judged.sum(axis=1), 1.0)
        return [part.astype(np.float32) for part in (error, deviation, prediction)]


def detector(rule: Rule = "quantile") -> DeepLogValues:
    return DeepLogValues(TEMPLATES, {3: 5}, window=2, confidence=0.99, rule=rule, network=Mean())


def score(
    values: list[float], history: list[list[float]] | None = None, key: int = 7, rule: Rule = "quantile"
) -> float:
    past = np.full((1, 2, 3), NAN) if history is None else np.array([history])
    return float(detector(rule).score_values(np.array([key]), past, np.array([values]))[0])


def test_the_strangest_number_counts() -> None:
    assert score([2.0, 10.0, 443.0]) == 0.0
    assert score([3.5, 16.0, 443.0]) == pytest.approx(3.0 / 3.0)
    assert score([8.0, 16.0, 443.0]) == pytest.approx(6.0 / 3.0)


def test_either_side_has_limits_of_its_own() -> None:
    assert score([2.0, 4.0, 443.0]) == pytest.approx(3.0 / 6.0)


def test_raw_outputs_follow_the_limits_between_and_beyond_the_levels() -> None:
    table = np.full((1, 1, 3, 2, len(LEVELS)), 1.0) * np.array([1.0, 2.0, 3.0, 3.0, 6.0, 7.0])
    given = Limits(table)
    sizes = [0.5, 1.0, 1.5, 2.0, 3.0, 6.0, 14.0]
    raws = [float(given.raws(np.array([0]), NEXT, np.array([[size]]))[0, 0]) for size in sizes]
    # Two equal limits are one step; between others it is interpolated, beyond them there is proportion.
    assert raws == pytest.approx([0.125, 0.25, 0.375, 0.5, 2.0, 5.0, 20.0])
    assert given.raws(np.array([0]), MEAN, np.array([[NAN]]))[0, 0] == 0.0


def test_a_number_with_history_has_a_reach_of_its_own() -> None:
    past = [[NAN, NAN, NAN], [2.0, 12.0, 443.0]]
    assert score([2.0, 15.0, 443.0], past) == pytest.approx(1.5 / 1.5)
    # The history does not have the duration, so its other reach holds.
    assert score([2.0, 15.0, 443.0], [[NAN, NAN, NAN], [2.0, NAN, 443.0]]) == pytest.approx(2.5 / 3.0)


def test_what_follows_a_drift_is_still_far_from_the_mean() -> None:
    past = [[2.0, 17.0, 443.0], [2.0, 18.0, 443.0]]
    assert score([2.0, 18.5, 443.0], past) == pytest.approx(4.25 / 4.0)


def test_a_changed_constant_is_as_strange_as_it_was_constant() -> None:
    assert score([2.0, 10.0, 444.0]) == pytest.approx(0.01 * (98 + 2))
    assert score([2.0, 10.0, 444.0], rule="gaussian") == pytest.approx(1.0)


def test_the_papers_interval_takes_the_mean_squared_error() -> None:
    tau = 1.0 + 0.5 * 2.5758293
    assert score([4.0, 14.0, 443.0], rule="gaussian") == pytest.approx((4.0 + 4.0) / 2.0 / tau)
    assert score([4.0, NAN, NAN], rule="gaussian") == pytest.approx(4.0 / tau)


def test_missing_numbers_are_left_out() -> None:
    assert score([NAN, 16.0, NAN]) == pytest.approx(1.0)
    assert score([NAN, 10.0, NAN]) == 0.0
    assert math.isnan(score([NAN, NAN, NAN]))
    assert math.isnan(score([math.inf, -math.inf, math.inf]))


def test_templates_without_a_model_have_no_judgement() -> None:
    for key in (3, 0, -2, 10**9):
        assert math.isnan(score([2.0, 10.0, 443.0], key=key))
    assert detector().reads(np.array([7, 9, 3, -1, 10**9])).tolist() == [True, True, False, False, False]


def test_a_batch_is_judged_as_its_rows_are_and_nothing_changes() -> None:
    random = np.random.default_rng(1)
    keys = random.choice([3, 7, 9], 1500)
    history = random.normal(5.0, 3.0, (1500, 2, 3))
    history[random.random((1500, 2)) < 0.4] = NAN
    values = random.normal(5.0, 3.0, (1500, 3))
    values[random.random((1500, 3)) < 0.2] = NAN
    values[:, 2] = np.where(keys == 9, NAN, values[:, 2])
    kept = history.copy(), values.copy()
    together = detector().score_values(keys, history, values)
    some = np.arange(0, 1500, 97)
    alone = [detector().score_values(keys[[i]], history[[i]], values[[i]])[0] for i in some.tolist()]
    np.testing.assert_array_equal(together[some], alone)
    np.testing.assert_array_equal(history, kept[0])
    np.testing.assert_array_equal(values, kept[1])


def test_short_histories_make_short_calls() -> None:
    network = Mean()
    given = DeepLogValues(TEMPLATES, {}, window=2, confidence=0.99, rule="quantile", network=network)
    history = np.full((600, 2, 3), NAN)
    history[:10] = 1.0
    given.score_values(np.full(600, 7), history, np.zeros((600, 3)))
    assert network.asked == [1, 2]


def test_reading_a_message() -> None:
    read = detector().read(7, TOKENS, "took 12.5ms port 443")
    np.testing.assert_allclose(read, [0.0125, 443.0])
    assert np.isnan(detector().read(7, TOKENS, "took forever port 443")).tolist() == [True, False]
    assert np.isnan(detector().read(7, TOKENS, "something else")).all()
    assert np.isnan(detector().read(3, TOKENS, "took 1 port 2")).all()


def test_widening_a_template_moves_no_number() -> None:
    narrow = ["a=<NUM>", "took", "<NUM>", "<NUM>/<NUM>"]
    wide = ["<*>", "took", "<NUM>", "<NUM>/<NUM>"]
    template = TemplateValues((ELAPSED_AT, Position("NUM", 2, 0, 9), Position("NUM", 3, 1, 9)), LIMITS, 1.0, 1.0)
    given = DeepLogValues({7: template}, {}, 2, 0.99, "quantile", Mean())
    for tokens in (narrow, wide):
        assert given.read(7, tokens, "a=1 took 2 3/4").tolist() == [2.0, 4.0]


def test_explanation_names_the_number_that_broke() -> None:
    past = np.array([[NAN] * 3, [2.0, 12.0, 443.0]])
    told = detector().explain(7, past, np.array([2.5, 18.0, 443.0]))
    assert (told["feature"], told["token"], told["ordinal"]) == ("NUM", 1, 0)
    assert (told["observed"], told["expected"], told["elapsed_s"]) == (18.0, 12.0, 2.5)
    assert told["normal"] == pytest.approx([6.0, 15.0])
    assert told["against"] == "prediction"
    assert told["contribution"] == pytest.approx(9.0 / 9.25)
    assert told["raw"] == pytest.approx(2.0)
    assert told["history"] == 1
    assert len(told["values"]) == 3
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_normal_ranges_hold_to_the_edge() -> None:
    for rule in ("quantile", "gaussian"):
        history, values = np.full((2, 3), NAN), np.array([2.0, 10.0, 443.0])
        low, high = next(
            one["normal"] for one in detector(rule).explain(7, history, values)["values"] if one.get("token") == 1
        )
        for edge in (low, high):
            assert score([2.0, edge, 443.0], rule=rule) == pytest.approx(1.0)


def test_explanation_without_model_or_numbers_is_plain() -> None:
    told = detector().explain(3, np.full((2, 3), NAN), np.full(3, NAN))
    assert told == {"template_id": 3, "model": False, "samples": 5, "needed": 4}
    empty = detector().explain(7, np.full((2, 3), NAN), np.full(3, NAN))
    assert (empty["values"], empty["elapsed_s"]) == ([], None)
    json.dumps(empty, allow_nan=False)


def test_logarithms_are_told_in_original_units() -> None:
    assert SIZE.original((math.log(1.0 + 250.0 / 100.0) - 1.0) / 0.5) == pytest.approx(250.0)
    assert SIZE.original(1e9) < math.inf


class Served:
    """A graph's face with metadata alone."""

    def __init__(self, **metadata: str) -> None:
        self.metadata = metadata


def test_state_is_read_back() -> None:
    state = json.loads(json.dumps({**detector().to_dict(), "fingerprint": "x"}))
    read: Any = DeepLogValues.from_dict(state, Served(fingerprint="x"))  # type: ignore[arg-type]
    assert {**read.to_dict(), "fingerprint": "x"} == state


@pytest.mark.parametrize(
    "broken",
    [
        {"fingerprint": "other"}, {"rule": "newer"}, {"templates": {"a": {}}}, {"h": 0}, {"h": None},
        {"confidence": 2.0}, {"templates": {"-3": TEMPLATES[7].to_dict()}}, {"templates": []}, {"without": None},
        {"templates": {"7": {**TEMPLATES[7].to_dict(), "limits": LIMITS[:1].tolist()}}},
        {"templates": {"7": {**TEMPLATES[7].to_dict(), "limits": (0.0 * LIMITS).tolist()}}},
        {"templates": {"7": {**TEMPLATES[7].to_dict(), "limits": LIMITS[..., ::-1].tolist()}}},
        {"templates": {"7": {**TEMPLATES[7].to_dict(), "positions": [{"odd": 1}]}}},
    ],
)  # fmt: skip
def test_damaged_state_is_refused(broken: dict[str, Any]) -> None:
    state = {**detector().to_dict(), "fingerprint": "x", **broken}
    with pytest.raises(BundleError, match="deeplog_values"):
        DeepLogValues.from_dict(state, Served(fingerprint="x"))  # type: ignore[arg-type]
