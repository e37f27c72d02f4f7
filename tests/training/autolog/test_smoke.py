"""AutoLog on a labelled log split by time, on made lines and on Loghub's BGL sample."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.errors import DataError
from models.record import Records
from models.sessions import Bool
from models.source.config import Source
from training.autolog.smoke import autolog_compared, autolog_rows, bgl_settings
from training.corpus import split_log
from training.logs import read_lines


@pytest.fixture(scope="module")
def bgl(datasets_dir: Path) -> tuple[Records, Bool]:
    path = datasets_dir / "loghub2k" / "BGL_2k.log"
    if not path.is_file():
        pytest.skip(f"no {path}")
    records = split_log(Source.load("bgl"), read_lines([path]), 2e9)
    return records, (records.fields["label"] != "-").to_numpy()


def test_rows_on_real_lines_cover_the_same_frames(bgl: tuple[Records, Bool]) -> None:
    records, anomalous = bgl
    rows = autolog_rows(records, anomalous, replace(bgl_settings(21_600.0), steps=20), seed=0)
    assert [row.detector for row in rows] == [
        "every timeframe", "new term", "autolog", "autolog, 90th percentile"
    ]  # fmt: skip
    sizes = {row.counts.tp + row.counts.fp + row.counts.fn + row.counts.tn for row in rows}
    assert len(sizes) == 1
    assert rows[0].counts.recall == 1.0
    assert rows[2].auc is not None
    assert rows[2].auc > 0.75
    assert rows[2].counts.fp <= rows[3].counts.fp


def test_log_with_nothing_to_find_is_refused(bgl: tuple[Records, Bool]) -> None:
    records, _ = bgl
    with pytest.raises(DataError, match="nothing can be told apart"):
        autolog_rows(records, np.zeros(len(records), dtype=np.bool_), bgl_settings(21_600.0), seed=0)


def test_each_entity_s_errors_make_the_outputs_of_the_frames(bgl: tuple[Records, Bool]) -> None:
    records, anomalous = bgl
    found = autolog_compared(records, anomalous, replace(bgl_settings(21_600.0), steps=20), seed=0)
    frames = len(found.actual)
    assert found.errors.shape == found.active.shape == (frames, len(found.entities))
    assert found.rows[0].counts.tp == found.actual.sum()
    assert 0 < found.active.sum() < found.active.size / 2
    assert (found.errors >= 0.0).all()
    assert found.errors[found.active].mean() > found.errors[~found.active].mean()
