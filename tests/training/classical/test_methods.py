"""What each classical method computes, against its definition."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from training.classical.counts import Columns, idf
from training.classical.invariants import BROKEN, Invariants
from training.classical.isolation_forest import IsolationForest
from training.classical.log_cluster import BOOTSTRAP, LogCluster
from training.classical.one_class_svm import OneClassSvm
from training.classical.pca import C_ALPHA, ROUNDING, Pca, _q_alpha

Counts = dict[int, int]


def mixed(number: int, seed: int = 0) -> list[Counts]:
    rng = np.random.default_rng(seed)
    return [{key: int(rng.integers(0, 5)) for key in range(1, 7)} for _ in range(number)]


def test_spe_is_the_squared_distance_from_the_leading_directions() -> None:
    sessions = [{**counts, 7: 3 * counts[1], 8: 2 * counts[2] + counts[3]} for counts in mixed(200)]
    table = Columns.fit(sessions).table(sessions)
    rows = (table.rows * idf(table))[table.index]
    centred = rows - rows.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    share = np.cumsum(sizes**2) / (sizes**2).sum()
    kept = int(np.argmax(share >= 0.95)) + 1
    expected = ((centred - centred @ directions[:kept].T @ directions[:kept]) ** 2).sum(axis=1)

    assert 0 < kept < 6
    assert expected.max() > 0.1
    assert Pca.fit(sessions).score(sessions).tolist() == pytest.approx(expected.tolist(), abs=1e-9)


def test_q_alpha_is_that_of_the_formula() -> None:
    values = np.array([0.5, 0.25])
    phi1, phi2, phi3 = 0.75, 0.3125, 0.140625
    h0 = 1 - 2 * phi1 * phi3 / (3 * phi2**2)
    expected = phi1 * (C_ALPHA * np.sqrt(2 * phi2 * h0**2) / phi1 + 1 + phi2 * h0 * (h0 - 1) / phi1**2) ** (1 / h0)

    assert _q_alpha(values) == pytest.approx(expected)
    # Nothing outside the subspace: what is beyond rounding rings.
    assert _q_alpha(np.array([])) == ROUNDING


def test_an_isolation_score_never_passes_that_of_an_unseen_template() -> None:
    forest = IsolationForest.fit(mixed(300), 0)
    far, unseen = forest.score([{1: 10_000}, {1: 3, 2: 1, 99: 1}])

    assert 0.5 < far <= 1.0
    assert unseen == pytest.approx(1.2)
    assert np.mean(forest.score(mixed(300)) >= forest.published) == pytest.approx(0.03, abs=0.01)


def test_a_weighted_svm_is_that_of_all_sessions() -> None:
    sessions = [{1: 1 + k % 3, 2: 1 + (k // 7) % 2, 3: k % 2} for k in range(120)]
    svm = OneClassSvm.fit(sessions)
    table = svm.columns.table(sessions)
    rows = (table.rows * svm.idf)[table.index]
    every = type(svm.svm)(**svm.svm.get_params()).fit(rows)

    assert len(table.rows) < len(sessions)
    assert svm.svm.gamma == pytest.approx(1.0 / (rows.shape[1] * rows.var()))
    assert svm.score(sessions).tolist() == pytest.approx((-every.decision_function(rows)).tolist(), abs=0.02)


def test_clusters_of_the_first_sessions_are_those_of_complete_linkage() -> None:
    sessions = mixed(80, seed=3)
    table = Columns.fit(sessions).table(sessions)
    rows = (table.rows * idf(table))[table.index]
    labels = fcluster(linkage(rows, method="complete", metric="cosine"), t=0.3, criterion="distance")
    centroids = np.array([rows[labels == label].mean(axis=0) for label in np.unique(labels)])
    units = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    similar = rows / np.linalg.norm(rows, axis=1, keepdims=True) @ units.T
    clusters = LogCluster.fit(sessions)

    assert 1 < len(clusters.centroids) == len(units)
    assert clusters.score(sessions).tolist() == pytest.approx((1 - similar.max(axis=1)).tolist(), abs=1e-9)


def test_later_sessions_move_a_cluster_or_open_one() -> None:
    first = [{1: 1, 9: 1}, {2: 1, 9: 1}] * (BOOTSTRAP // 2)
    near, new = {1: 4, 2: 1, 9: 1}, {3: 1, 9: 1}
    clusters = LogCluster.fit([*first, near, near, new])
    weight = clusters.idf
    moved = np.array([BOOTSTRAP / 2 + 8, 2, 0, 0, 0, 0]) * [*weight, 1.0]
    nine = (BOOTSTRAP / 2 + 2) * weight[3]
    moved[3] = nine

    assert len(clusters.centroids) == 3
    assert clusters.centroids[:2].max(axis=1).tolist() == pytest.approx([1.0, 1.0], abs=1e-4)
    nearest = clusters.centroids[clusters.centroids[:, 0].argmax()]
    assert nearest.tolist() == pytest.approx((moved / np.linalg.norm(moved)).tolist())
    assert clusters.score([new]).tolist() == pytest.approx([0.0], abs=1e-9)


def test_sessions_without_any_weight_are_alike() -> None:
    # Template 1 is in every session, so its idf is 0 and nothing is left of {1: 4}.
    clusters = LogCluster.fit([{1: 1}, {1: 3, 2: 1}, {1: 1}])

    assert clusters.score([{1: 4}, {1: 1, 2: 5}]).tolist() == pytest.approx([0.0, 0.0])
    assert LogCluster.fit([{1: 1}, {1: 2}]).score([{1: 9}, {7: 1}]).tolist() == [0.0, 1.0]


def factors(miner: Invariants) -> set[tuple[int, ...]]:
    """Columns of factors, the first that is not 0 positive."""
    return {
        tuple(int(value) for value in column * np.sign(column[np.flatnonzero(column)[0]])) for column in miner.factors.T
    }


def test_relations_that_sessions_obey_are_found_with_their_factors() -> None:
    rng = np.random.default_rng(0)
    sessions = []
    for _ in range(200):
        a, b = int(rng.integers(1, 9)), int(rng.integers(1, 9))
        sessions.append({1: a, 2: 2 * a, 3: b, 4: a + b})
    miner = Invariants.fit(sessions)

    # 2 * first = second; first + third = fourth, and the same in halves of the second; nothing is unseen.
    assert miner.dimensions == 3
    assert (2, -1, 0, 0, 0) in factors(miner)
    assert (1, 0, 1, -1, 0) in factors(miner)
    assert (0, 0, 0, 0, 1) in factors(miner)
    assert miner.score([{1: 3, 2: 6, 3: 1, 4: 4}]).tolist() == [0.0]
    assert min(miner.score([{1: 3, 2: 5, 3: 1, 4: 4}, {1: 3, 2: 6, 3: 1, 4: 5}, {9: 1}])) > BROKEN


def test_two_in_a_hundred_sessions_may_break_an_invariant_and_no_more() -> None:
    def mined(broken: int) -> set[tuple[int, ...]]:
        rng = np.random.default_rng(0)
        sessions = [{1: int(n), 2: int(n)} for n in rng.integers(1, 9, 500)]
        return factors(Invariants.fit([*sessions[broken:], *[{1: 1, 2: 4}] * broken]))

    assert (1, -1, 0) in mined(9)
    assert (1, -1, 0) not in mined(20)


def test_the_search_is_bounded_where_templates_are_many() -> None:
    rng = np.random.default_rng(0)
    sessions = [{key: int(rng.integers(1, 5)) for key in range(1, 400)} for _ in range(40)]

    # More pairs than the bound: only the column of unseen templates is left.
    assert Invariants.fit(sessions).factors.shape == (400, 1)
