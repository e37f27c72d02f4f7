"""LogBERT from normal sessions to what a bundle needs: choose on held-out normals, refit on all of them, export.

Owns the order of these steps and the least amount of data. Does not know bundles, nor the other members.
"""

from dataclasses import asdict

import numpy as np

from models.logbert.detector import LogBERT, LogBERTDistance
from models.logbert.reader import STEP
from models.vocabulary import Vocabulary
from training.logbert.crossfit import Segments, crossfit
from training.logbert.export import to_onnx
from training.logbert.fit import fit
from training.logbert.rehearsal import REPLAY, Rehearsed
from training.logbert.settings import LogBERTSettings
from training.member import Corpus, FittedMember, alone, require
from training.onnx import state_of, to_safetensors
from training.progress import Progress, silent


def fit_logbert(
    corpus: Corpus, settings: LogBERTSettings, seed: int, progress: Progress = silent
) -> tuple[FittedMember, FittedMember]:
    """Both members, ``logbert`` and ``logbert_distance``, from one network, with the same files.

    Every session's raw outputs are of a fit that did not see it; a distance is the larger of that and the one under the
    final network, as how far out the farthest normals lie, in units of the mean, differs from fit to fit. ``logbert``
    rings alone where more than a share r of a session's keys are anomalous, its threshold being r + ``STEP``.
    Reproducible by ``seed`` on one machine. Raises DataError for fewer than ``settings.min_sessions`` sessions, or an
    empty one.
    """
    require(len(corpus.sessions), settings.min_sessions, LogBERT.name)
    segments = Segments(corpus.keys)
    number = len(corpus.sessions)
    choice = crossfit(segments, number, settings, seed, progress)
    _, given = segments.weighed(np.arange(number), settings.weight_power)
    count = segments.weighed(np.arange(number), 1.0)[1].weight
    vocabulary = Vocabulary.fit(given.sequences)
    fitting = fit(given, vocabulary, settings, seed, share=choice.share, progress=progress, name="logbert, all")
    own = segments.sessions(fitting.reader(vocabulary, settings).distances(segments.distinct))
    distances = np.maximum(choice.distances, own)
    files = {
        "logbert.onnx": to_onnx(
            fitting.network, vocabulary, choice.level.g, settings.groups, settings.end, fitting.scale
        ),
        "logbert.safetensors": to_safetensors(state_of(fitting.network)),
        REPLAY: Rehearsed.sample(given.sequences, count, vocabulary, seed).to_npz(),
    }
    common = {"vocabulary": vocabulary.to_dict(), "training": settings.to_dict(), "seed": seed}
    heldout = {f"holdout {at + 1}": losses for at, losses in enumerate(choice.heldout)}
    keys = FittedMember(
        name=LogBERT.name,
        raws=choice.raws,
        threshold=choice.level.r + STEP,
        settings={**common, "g": choice.level.g, "r": choice.level.r, "levels": [asdict(one) for one in choice.levels]},
        files=files,
        curves={"masked keys": fitting.curve.keys, **heldout},
    )
    distance = FittedMember(
        name=LogBERTDistance.name,
        raws=distances,
        threshold=alone(distances, settings.false_alarm_rate),
        settings=common,
        files=files,
        curves={"volume": fitting.curve.volume},
    )
    return keys, distance
