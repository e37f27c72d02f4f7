"""AutoLog from a log to what a bundle needs: judge the newest normal timeframes by a fit on the older ones, refit on
all, take calibration and threshold from the larger errors of the two, export.

Owns the order of these steps, the threshold's rule and the least amount of data. Does not know bundles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.autolog.detector import NEW_ENTITY, AutoLog, rows
from models.autolog.frames import Frame
from models.autolog.layout import Layout
from models.autolog.network import Autoencoder
from models.autolog.scoring import fit_weights
from models.calibration import Calibration
from models.errors import DataError
from models.record import Records
from models.sessions import Bool, Float64
from training.autolog.fit import Fit, Unexported, fit
from training.autolog.frames import frames_of, layout_of
from training.autolog.rehearsal import REPLAY, sample_rows
from training.autolog.settings import AutoLogSettings
from training.member import Corpus, alone
from training.onnx import Inputs, export, state_of, to_safetensors
from training.progress import Progress, silent

NAME = "autolog"


@dataclass(frozen=True, slots=True)
class FittedTimeframe:
    """A fitted detector of timeframes as a bundle keeps it.

    ``raws``: float64 [held out], the raw output of each held-out normal frame in order of time, the larger of a fit
    that did not see it and of the one served, ``NEW_ENTITY`` among them; ``threshold``: the raw output from which on a
    frame rings, chosen on those without a new entity; ``settings``: what the manifest says of it, calibration and
    threshold included (``FrameJudge.load`` reads them); ``files``: bundle files; ``curves``: loss by epoch, by name.
    """

    name: str
    raws: Float64
    threshold: float
    settings: dict[str, Any]
    files: dict[str, bytes]
    curves: dict[str, list[float]] = field(default_factory=dict)


def fit_autolog(corpus: Corpus, settings: AutoLogSettings, seed: int, progress: Progress = silent) -> FittedTimeframe:
    """Fit on the timeframes of a corpus' log that hold no event of an anomalous session.

    Raises DataError where only keys are known, or as ``fit_records`` does.
    """
    records, _ = corpus.lines(NAME)
    anomalous = np.zeros(len(records), dtype=np.bool_)
    for session in corpus.anomalous:
        anomalous[session.records[session.records >= 0]] = True
    return fit_records(records, anomalous, settings, seed, progress)


def fit_records(
    records: Records, anomalous: Bool, settings: AutoLogSettings, seed: int, progress: Progress = silent
) -> FittedTimeframe:
    """Fit on the timeframes of ``records`` (in line order) without a record that is ``anomalous`` bool [records].

    Raises DataError for fewer normal timeframes than ``settings.min_frames``, and where every held-out one has an
    entity that the others do not have.
    """
    layout = layout_of(records, settings)
    labelled = frames_of(records, layout, settings.lateness_s, anomalous, progress)
    normal = labelled.normal
    if len(normal) < settings.min_frames:
        raise DataError(
            f"autolog needs at least {settings.min_frames} timeframes of {layout.chunk_s:g} s without an anomaly, got "
            f"{len(normal)} (of {len(labelled.frames)}); train on a longer log, set a smaller autolog.chunk_s, or "
            "leave autolog out of the detectors"
        )
    older = len(normal) - max(1, round(settings.validation * len(normal)))
    held_out = [frame.counts for frame in normal[older:]]
    first, curve = _train(normal[:older], layout, settings, seed, "autolog, held out", progress)
    detector, final = _train(normal, layout, settings, seed, NAME, progress)
    # A frame that both know (an empty one, say) must not ring because the served network gives it back a little worse.
    raws = np.maximum(first.score_frames(held_out), detector.score_frames(held_out))
    judged = raws[raws < NEW_ENTITY]
    if not len(judged):
        raise DataError(
            f"autolog: each of the {len(raws)} newest timeframes has an entity that the older ones lack; "
            f"autolog.entity_field ({layout.rule.field!r}) tells too many apart, or the log is too short"
        )
    threshold = threshold_of(judged, settings)
    network = final.network
    return FittedTimeframe(
        name=NAME,
        raws=raws,
        threshold=threshold,
        settings={
            "chunk_s": layout.chunk_s,
            "entity_field": layout.rule.field,
            "entity_pattern": layout.rule.pattern,
            "threshold": threshold,
            "calibration": Calibration.fit(judged).to_dict(),
            "frames": {
                "normal": len(normal),
                "anomalous": int(labelled.anomalous.sum()),
                "held_out": len(raws),
                "held_out_with_new_entity": len(raws) - len(judged),
            },
            "training": settings.to_dict(),
        },
        files={
            "autolog.onnx": to_onnx(network, detector),
            "autolog.safetensors": to_safetensors(state_of(network)),
            "autolog.json": detector.to_json(),
            REPLAY: sample_rows(detector.rows([frame.counts for frame in normal]), seed),
        },
        curves={"held out": curve.curve, "fit": final.curve},
    )


def to_onnx(network: Autoencoder, detector: AutoLog) -> bytes:
    """The graph ``scores`` float32 [batch, N] -> ``mse`` [batch], ``errors`` and ``expected`` [batch, N]. Metadata:
    ``entities``, the detector's fingerprint. Raises DataError where it disagrees with the network."""
    random = np.random.default_rng(0)
    low, span = network.low.numpy(), network.span.numpy()

    def example(batch: int) -> Inputs:
        return {"scores": (low + span * random.random((batch, len(low)))).astype(np.float32)}

    return export(NAME, network, example, ("mse", "errors", "expected"), {"entities": detector.fingerprint()})


def threshold_of(judged: Float64, settings: AutoLogSettings) -> float:
    """The raw output from which on a frame rings, chosen on those of normal frames, float64 [n > 0]."""
    if settings.percentile is None:
        return alone(judged, settings.false_alarm_rate)
    # Published: anomalous iff the error is above the percentile.
    return float(np.nextafter(np.percentile(judged, settings.percentile), np.inf))


def _train(
    frames: Sequence[Frame], layout: Layout, settings: AutoLogSettings, seed: int, name: str, progress: Progress
) -> tuple[AutoLog, Fit]:
    """Weights, scaler and network of these normal frames alone."""
    counts = [frame.counts for frame in frames]
    weights = fit_weights(counts)
    if not weights:
        raise DataError("autolog: the normal timeframes to train on hold no line; label fewer, or leave autolog out")
    fitted = fit(rows(counts, sorted(weights), weights), settings, seed, name, progress)
    return AutoLog(layout, weights, Unexported(fitted.network)), fitted
