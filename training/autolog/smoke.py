"""AutoLog on a labelled log split by time, beside what costs nothing: every timeframe, and those with a new term.

Owns the split and the rows. Does not know where the log lies; ``bgl_settings`` fits Loghub's BGL sample.

Measured on BGL_2k (2,000 lines of 214 days, 143 of them alerts), hours as timeframes, trained on those before 60 % of
the lines, seed 0; 3,690 later ones, most of them empty, 34 with an alert:

| | precision | recall | F1 | AUC |
| --- | --- | --- | --- | --- |
| every timeframe | 0.009 | 1.000 | 0.018 | |
| new term | 0.217 | 1.000 | 0.356 | 0.991 |
| autolog, by its budget of false alarms | 0.144 | 0.618 | 0.233 | 0.970 |
| autolog, 90th percentile | 0.125 | 1.000 | 0.221 | 0.970 |

A sample of one line in 2,400 says whether the code works, not how good AutoLog is on BGL.
"""

from dataclasses import dataclass

import numpy as np

from models.autolog.detector import NEW_ENTITY
from models.autolog.frames import Frame, chunk_of
from models.autolog.judge import FrameJudge
from models.errors import DataError
from models.record import Records
from models.sessions import Bool, Float64
from training.autolog.fitted import fit_records
from training.autolog.frames import frames_of, layout_of, part
from training.autolog.settings import PUBLISHED_PERCENTILE, AutoLogSettings
from training.evaluation import Row
from training.metrics import auc, confusion
from training.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class Compared:
    """``rows`` over k timeframes, and what AutoLog makes of each of N ``entities`` there: squared ``errors`` float64
    [k, N], and whether it writes, ``active`` bool [k, N]; ``actual`` bool [k], the anomalous timeframes."""

    rows: list[Row]
    entities: tuple[str, ...]
    errors: Float64
    active: Bool
    actual: Bool


def bgl_settings(chunk_s: float = 3_600.0) -> AutoLogSettings:
    """Racks as entities, as the authors have them; an hour, as five minutes of the sample are nearly always empty."""
    return AutoLogSettings(chunk_s=chunk_s, entity_field="node", entity_pattern="^([^-]+)")


def autolog_rows(
    records: Records,
    anomalous: Bool,
    settings: AutoLogSettings,
    seed: int,
    train_share: float = 0.6,
    progress: Progress = silent,
) -> list[Row]:
    """The rows of ``autolog_compared``."""
    return autolog_compared(records, anomalous, settings, seed, train_share, progress).rows


def autolog_compared(
    records: Records,
    anomalous: Bool,
    settings: AutoLogSettings,
    seed: int,
    train_share: float = 0.6,
    progress: Progress = silent,
) -> Compared:
    """Rows over the timeframes after the first ``train_share`` of the records (in order of time), the empty ones among
    them; ``anomalous`` bool [records]. AutoLog by its alert budget and by the published percentile.

    Raises DataError as ``fit_records`` does, and where no later timeframe is anomalous or none is normal.
    """
    layout = layout_of(records, settings)
    chunk = chunk_of(records.time, layout.chunk_s)
    boundary = int(chunk[int(train_share * (len(records) - 1))])
    labelled = frames_of(records, layout, settings.lateness_s, anomalous)
    later = np.array([frame.chunk >= boundary for frame in labelled.frames], dtype=np.bool_)
    test = [frame for frame, at in zip(labelled.frames, later.tolist(), strict=True) if at]
    actual = labelled.anomalous[later]
    if not actual.any() or actual.all():
        raise DataError("the later timeframes are all anomalous or all normal: nothing can be told apart")
    # A log may be a little out of order: whole records before the first that belongs to a later timeframe.
    stop = int(np.argmax(chunk >= boundary))
    fitted = fit_records(part(records, 0, stop), anomalous[:stop], settings, seed, progress)
    judge = FrameJudge.load(fitted.settings, fitted.files)
    raw = judge.judge(test).raw
    normal = [
        frame
        for frame, old, bad in zip(labelled.frames, (~later).tolist(), labelled.anomalous.tolist(), strict=True)
        if old and not bad
    ]
    published = float(np.percentile(fitted.raws[fitted.raws < NEW_ENTITY], PUBLISHED_PERCENTILE))
    rows = [
        Row("every timeframe", confusion(np.ones(len(test), dtype=np.bool_), actual)),
        _graded("new term", new_terms(normal, test), 1.0, actual),
        _graded("autolog", raw, judge.threshold, actual),
        _graded("autolog, 90th percentile", raw, float(np.nextafter(published, np.inf)), actual),
    ]
    counts = [frame.counts for frame in test]
    names = judge.detector.entities
    active = np.array([[name in own for name in names] for own in counts], dtype=np.bool_)
    return Compared(rows, names, judge.detector.entity_errors(counts), active, actual)


def new_terms(normal: list[Frame], test: list[Frame]) -> Float64:
    """How many terms of each frame came in no normal one, whoever wrote them, float64 [test]."""
    known = {term for frame in normal for terms in frame.counts.values() for term in terms}
    found = [{term for terms in frame.counts.values() for term in terms} - known for frame in test]
    return np.array([len(terms) for terms in found], dtype=np.float64)


def _graded(name: str, raw: Float64, threshold: float, actual: Bool) -> Row:
    return Row(name, confusion(raw >= threshold, actual), auc(raw, actual))
