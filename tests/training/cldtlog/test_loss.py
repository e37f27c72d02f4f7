"""The two losses, by hand-made numbers."""

import math

import pytest
import torch

from training.cldtlog.loss import combined, focal, triplet

LABELS = torch.tensor([False, False, True])


def test_focal_is_the_formula() -> None:
    logits = torch.tensor([-2.0, 0.0, 1.0])
    p_true = [1 / (1 + math.exp(-2.0)), 0.5, 1 / (1 + math.exp(-1.0))]
    expected = sum(-((1 - p) ** 3.5) * math.log(p) for p in p_true) / 3
    assert float(focal(logits, LABELS, 3.5)) == pytest.approx(expected, rel=1e-5)
    weighted = float(focal(logits, LABELS, 3.5, torch.tensor([0.0, 1.0, 0.0])))
    assert weighted == pytest.approx(0.5**3.5 * math.log(2), rel=1e-5)


def test_without_gamma_focal_is_cross_entropy() -> None:
    logits = torch.tensor([-2.0, 0.3, 60.0])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, LABELS.float())
    assert float(focal(logits, LABELS, 0.0)) == pytest.approx(float(expected), rel=1e-5)
    assert math.isfinite(float(focal(torch.tensor([-900.0, 900.0, -900.0]), LABELS, 3.5)))


def test_triplets_are_pairs_and_a_negative_that_breaks_the_margin() -> None:
    # Two normals one apart, the anomaly two from the second: pairs (0, 1) and (1, 0), negatives at 3 and 2.
    places = torch.tensor([[0.0], [1.0], [3.0]])
    assert float(triplet(places, LABELS, 1.5)) == pytest.approx(1 + 1.5 - 2)  # of (1, 0) alone
    assert float(triplet(places, LABELS, 4.0)) == pytest.approx((1 + 4 - 3 + 1 + 4 - 2) / 2)
    assert float(triplet(places, LABELS, 0.5)) == 0.0


def test_validation_takes_the_nearest_negative_and_training_any_that_breaks_the_margin() -> None:
    places = torch.tensor([[0.0], [0.0], [1.0], [5.0], [90.0]])
    labels = torch.tensor([False, False, True, True, True])
    hardest = triplet(places[:, :], labels, 10.0)
    found = {round(float(triplet(places, labels, 10.0, torch.Generator().manual_seed(seed))), 4) for seed in range(20)}
    assert len(found) > 1
    assert max(found) <= float(hardest) + 1e-4
    # Ninety away breaks no margin of ten: it is never a negative of the two normals.
    normals = triplet(places[[0, 1, 4]], labels[[0, 1, 4]], 10.0, torch.Generator().manual_seed(0))
    assert float(normals) == 0.0


def test_without_a_triplet_there_is_no_triplet_loss() -> None:
    places = torch.tensor([[0.0], [1.0], [2.0]], requires_grad=True)
    alone = triplet(places, torch.tensor([True, True, True]), 2.0)
    assert float(alone.detach()) == 0.0
    alone.backward()  # type: ignore[no-untyped-call]
    assert places.grad is not None
    assert not places.grad.any()
    pair = triplet(places[:2], torch.tensor([True, False]), 2.0)
    assert float(pair.detach()) == 0.0


def test_a_batch_of_one_class_is_focal_alone() -> None:
    logits, places = torch.tensor([1.0, -1.0, 0.5]), torch.tensor([[0.0], [1.0], [3.0]])
    weights = {"alpha": 0.2, "margin": 2.0, "gamma": 3.5}
    one = torch.tensor([False, False, False])
    assert float(combined(logits, places, one, **weights)) == float(focal(logits, one, 3.5))
    both = combined(logits, places, LABELS, **weights)
    assert float(both) == pytest.approx(
        0.2 * float(triplet(places, LABELS, 2.0)) + 0.8 * float(focal(logits, LABELS, 3.5))
    )


def test_equal_embeddings_have_finite_gradients() -> None:
    places = torch.zeros((4, 2), requires_grad=True)
    triplet(places, torch.tensor([False, False, True, True]), 2.0).backward()  # type: ignore[no-untyped-call]
    assert places.grad is not None
    assert bool(torch.isfinite(places.grad).all())
