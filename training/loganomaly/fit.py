"""LogAnomaly from normal sessions to what a bundle needs: choose on held-out normals, refit on all of them, export.

Owns the order of these steps and the least amount of data. How w, g and the epochs are chosen is DeepLog's
(``training.deeplog.crossfit``). Does not know bundles, nor the other members.
"""

from typing import Any

import numpy as np

from models.loganomaly.detector import VECTORS
from models.loganomaly.words import Encoder, template_vectors
from models.template.tree import TemplateTree
from models.vocabulary import Vocabulary
from training.deeplog.crossfit import Trial, crossfit
from training.loganomaly.export import to_onnx, vectors_file
from training.loganomaly.model import CountModel, Meanings, inner
from training.loganomaly.settings import LogAnomalySettings
from training.member import Corpus, FittedMember, require
from training.onnx import state_of, to_safetensors
from training.progress import Progress, silent
from training.windows import distinct


def fit_loganomaly(
    corpus: Corpus,
    settings: LogAnomalySettings,
    seed: int,
    progress: Progress = silent,
    encoder: Encoder | None = None,
) -> FittedMember:
    """Train on the normal sessions of ``corpus``: on meanings and counts where there are an ``encoder`` and the
    corpus's templates, on ids and counts otherwise. ``threshold`` is g.

    Raises DataError for fewer sessions than ``settings.min_sessions`` or an empty one.
    """
    sessions = corpus.keys
    require(len(sessions), settings.min_sessions, "LogAnomaly")
    vocabulary = Vocabulary.fit(distinct(sessions).sessions)
    meanings = None
    if encoder is not None and corpus.tree is not None:
        meanings = _meanings(vocabulary, corpus.tree, encoder)
    choice = crossfit(sessions, settings, CountModel(settings, meanings), seed, progress)
    network = inner(choice.fitting.network)
    files = {
        "loganomaly.onnx": to_onnx(network, vocabulary, settings.h, choice.g, settings.rule),
        "loganomaly.safetensors": to_safetensors(state_of(network)),
    }
    if meanings is not None:
        files[VECTORS] = vectors_file(meanings.vectors)
    raws = np.full(len(sessions), np.nan)
    raws[choice.heldout] = choice.raws.session
    return FittedMember(
        name="loganomaly",
        raws=raws,
        threshold=choice.g,
        settings={
            "vocabulary": vocabulary.to_dict(),
            "h": settings.h,
            "g": choice.g,
            "w": choice.w,
            "semantic": meanings is not None,
            "similarity": settings.similarity,
            "trials": [_told(trial) for trial in choice.trials],
            "training": settings.to_dict(),
        },
        files=files,
        curves={"loss": [point.loss for point in choice.fitting.curve]},
    )


def _meanings(vocabulary: Vocabulary, tree: TemplateTree, encoder: Encoder) -> Meanings:
    texts = [tree.template(key).text for key in vocabulary.keys]
    # As the bundle keeps them, so that training and the service hold the same.
    vectors = template_vectors(texts, encoder).astype(np.float16).astype(np.float32)
    return Meanings(vocabulary, vectors)


def _told(trial: Trial) -> dict[str, Any]:
    return {
        "w": trial.w,
        "g": trial.g,
        "sessions": trial.sessions,
        "unavoidable": trial.unavoidable,
        "early_end": trial.early_end,
    }
