import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef, precision_score, recall_score, roc_auc_score

from models.errors import DataError
from training.metrics import Confusion, auc, confusion


def test_figures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    actual = rng.random(400) < 0.2
    predicted = rng.random(400) < np.where(actual, 0.7, 0.1)
    ours = confusion(predicted, actual)

    assert ours.precision == pytest.approx(precision_score(actual, predicted))
    assert ours.recall == pytest.approx(recall_score(actual, predicted))
    assert ours.f1 == pytest.approx(f1_score(actual, predicted))
    assert ours.mcc == pytest.approx(matthews_corrcoef(actual, predicted))
    assert ours.fpr == pytest.approx(np.mean(predicted[~actual]))


def test_auc_agrees_with_scikit_learn_on_ties() -> None:
    rng = np.random.default_rng(6)
    actual = rng.random(300) < 0.3
    scores = np.round(rng.random(300) + 0.3 * actual, 1)

    assert auc(scores, actual) == pytest.approx(roc_auc_score(actual, scores))


def test_precision_at_another_prevalence_is_that_of_the_specification() -> None:
    exact_count_vector = Confusion(tp=16838, fp=33, fn=0, tn=7000 - 33)
    prevalence = 16838 / 570204

    assert exact_count_vector.precision_at(prevalence) == pytest.approx(0.866, abs=5e-4)
    assert exact_count_vector.f1_at(prevalence) == pytest.approx(0.928, abs=5e-4)


def test_at_its_own_prevalence_corrected_precision_is_plain_precision() -> None:
    counts = Confusion(tp=30, fp=10, fn=20, tn=140)

    assert counts.precision_at(50 / 200) == pytest.approx(counts.precision)
    assert counts.f1_at(50 / 200) == pytest.approx(counts.f1)


def test_no_alarm_at_all_scores_zero() -> None:
    silent = Confusion(tp=0, fp=0, fn=3, tn=7)

    assert (silent.precision, silent.f1, silent.mcc, silent.f1_at(0.1)) == (0.0, 0.0, 0.0, 0.0)


def test_unusable_input_is_refused() -> None:
    with pytest.raises(DataError, match="one for each"):
        confusion([True], [True, False])
    with pytest.raises(DataError, match="one for each"):
        auc([0.5], [True, False])
    with pytest.raises(DataError, match="at least one anomalous and one normal"):
        auc([0.5, 0.6], [True, True])
    with pytest.raises(DataError, match="not a number"):
        auc([0.5, float("nan")], [True, False])
