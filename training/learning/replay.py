"""Training windows that a bundle carries, as fine-tuning rehearses them.

Owns reading them, and live ones beside them, for a detector that reads fewer keys than were kept. Does not know how
they are chosen (``training.rehearsal``, ``traffic``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.errors import BundleError
from models.rows import unique_rows
from models.sample import REPLAY, Sample
from models.sessions import Bool, Int64
from models.vocabulary import Vocabulary
from training.learning.teaching import Live


@dataclass(frozen=True, slots=True)
class Replay:
    """Distinct windows, raw ids: ``history`` int64 [k, h] (``BEFORE_SESSION`` on the left), ``key`` int64 [k] (``END``
    is one), how often training saw each, ``count`` int64 [k] (0: live traffic alone did), and which of them live
    traffic showed to be normal, ``live`` bool [k]."""

    history: Int64
    key: Int64
    count: Int64
    live: Bool


def read_replay(files: Mapping[str, bytes], h: int) -> Replay:
    """The windows by their last ``h`` keys. Raises BundleError where the bundle has none, damaged ones, or shorter
    ones."""
    if REPLAY not in files:
        raise BundleError(f"the bundle lacks {REPLAY}, without which nothing can be rehearsed; train it again")
    sample = Sample.read(files[REPLAY])
    history, key, count = sample.history, sample.key, sample.count
    if not len(key) or history.shape[1] < h:
        raise BundleError(f"{REPLAY} holds no windows of {h} keys; train the bundle again")
    rows = np.column_stack([history[:, history.shape[1] - h :], key])
    # Marks are negative, and rows are packed from numbers that are not.
    first, inverse = unique_rows(rows - rows.min())
    total = np.bincount(inverse, weights=count, minlength=len(first)).astype(np.int64)
    return Replay(rows[first, :h], rows[first, h], total, np.zeros(len(first), dtype=np.bool_))


def with_live(replay: Replay, live: Live, vocabulary: Vocabulary) -> Replay:
    """``replay`` and the windows of ``live`` whose next key ``vocabulary`` knows (any other rings by its key alone);
    those that ``replay`` lacks come last. ``replay`` alone where live traffic was kept by fewer keys than are read."""
    h = replay.history.shape[1]
    if live.history.shape[1] < h:
        return replay
    rows = np.column_stack([live.history[:, live.history.shape[1] - h :], live.key])[vocabulary.known(live.key)]
    place = {tuple(row): at for at, row in enumerate(np.column_stack([replay.history, replay.key]).tolist())}
    for row in map(tuple, rows.tolist()):
        place.setdefault(row, len(place))
    every = np.array(list(place), dtype=np.int64).reshape(-1, h + 1)
    count, shown = np.zeros(len(every), dtype=np.int64), np.zeros(len(every), dtype=np.bool_)
    count[: len(replay.count)] = replay.count
    shown[[place[row] for row in map(tuple, rows.tolist())]] = True
    return Replay(every[:, :h], every[:, h], count, shown)
