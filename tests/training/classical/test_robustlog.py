import numpy as np
import pytest
import torch

from models.errors import DataError
from models.sessions import Int64
from models.vocabulary import PAD, Vocabulary
from training.classical import robustlog
from training.classical.robustlog import LONGEST, Network, RobustLog


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def sessions(number: int, seed: int, swapped: bool = False) -> list[Int64]:
    """Opened (1), 2 to 6 events of 2..4, closed (5); swapped: closed before it was opened."""
    rng = np.random.default_rng(seed)
    first, last = (5, 1) if swapped else (1, 5)
    return [np.array([first, *rng.integers(2, 5, rng.integers(2, 7)), last]) for _ in range(number)]


def test_it_learns_what_labels_tell_apart_and_the_seed_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BATCH": 16, "EMBEDDING": 8, "HIDDEN": 8, "LAYERS": 1, "LEARNING_RATE": 0.02}.items():
        monkeypatch.setattr(robustlog, name, value)
    given = sessions(80, 0), sessions(20, 1, swapped=True)
    detector = RobustLog.fit(*given, seed=0)
    judged = [*sessions(20, 2), *sessions(20, 3, swapped=True)]
    raws = detector.score(judged)

    assert ((raws >= detector.published) == np.repeat([False, True], 20)).all()
    assert detector.curve[-1] < 0.5 * detector.curve[0]
    assert RobustLog.fit(*given, seed=0).score(judged).tolist() == raws.tolist()
    assert RobustLog.fit(*given, seed=1).score(judged).tolist() != raws.tolist()


def test_padding_and_company_change_no_output() -> None:
    torch.manual_seed(0)
    detector = RobustLog(Vocabulary(range(1, 6)), Network(9).eval(), [])
    judged = [*sessions(5, 0), np.tile([2, 3, 4], 50), np.array([2])]
    alone = [detector.score([session])[0] for session in judged]

    assert detector.score(judged).tolist() == pytest.approx(alone, abs=1e-6)
    assert PAD not in detector.vocabulary.encode(np.arange(10))


def test_odd_keys_and_long_sessions_have_an_answer() -> None:
    detector = RobustLog(Vocabulary(range(1, 6)), Network(9).eval(), [])
    odd = detector.score([np.array([-(2**63), 2**63 - 1, 0, 77]), np.full(LONGEST + 1, 2), np.full(LONGEST, 2)])

    assert ((odd > 0.0) & (odd < 1.0)).all()
    assert odd[1] == odd[2]


def test_one_kind_alone_is_refused() -> None:
    with pytest.raises(DataError, match="3 normal, 0 anomalous"):
        RobustLog.fit(sessions(3, 0), [], 0)
