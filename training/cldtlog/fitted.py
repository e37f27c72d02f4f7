"""CLDTLog from labelled sessions or lines to what a bundle needs: cross-fit, choose, refit on all, export.

Owns the order of these steps, the least amount of data, and the bundle's parts. Does not know other members.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson
import torch

from models.cldtlog.exemplars import Exemplars
from models.cldtlog.network import LineClassifier, Upper
from models.errors import BundleError, DataError
from models.sessions import Bool, Float64, Int64
from models.wordpiece import digest
from training.cldtlog.bags import Bags, bags_of, bags_of_lines
from training.cldtlog.fit import Epoch, fit, judge
from training.cldtlog.frozen import Activations, FrozenPart
from training.cldtlog.rehearsal import REPLAY, Rehearsed
from training.cldtlog.settings import CLDTLogSettings
from training.encoder import Example, load_encoder, stored
from training.half import round_weights
from training.member import Corpus, FittedMember, alone, folds
from training.metrics import auc
from training.onnx import export, from_safetensors, state_of, to_safetensors
from training.progress import Progress, silent

NAME = "cldtlog"
ONNX, WEIGHTS, STATE, TOKENIZER = "cldtlog.onnx", "cldtlog.safetensors", "cldtlog.json", "cldtlog.tokenizer.json"
"""Bundle files: the graph; the trained part's weights; threshold and exemplars; the tokeniser."""
PAPER_THRESHOLD = 0.0
"""The paper's probability of 0.5, as a logit."""

MARGIN = 1e-3
"""By which the raw outputs of normal sessions are raised. Few distinct texts make many equal outputs, and a processor
or the rounding of what is served may move each of them by 1e-4: without it, a threshold beside the commonest output
would make every normal session ring."""


@dataclass(frozen=True, slots=True)
class _Crossfit:
    """``raws`` float64 [n] of every session by a fit that did not see it; ``epochs``: after how many these ranked the
    sessions best; by epoch ``loss`` and ``heldout`` (means over the folds) and ``auc`` of the raws.

    The held-out loss does not choose: its hardest triplets grow with the scale of the embeddings, and it is least
    before anything is learnt."""

    raws: Float64
    epochs: int
    loss: list[float]
    heldout: list[float]
    auc: list[float]


def fit_cldtlog(corpus: Corpus, settings: CLDTLogSettings, seed: int, progress: Progress = silent) -> FittedMember:
    """Train on sessions with a label each: a session is as anomalous as the strangest of its lines (multiple
    instances). ``raws`` are those of the corpus's normal sessions, each the larger of the held-out and the final
    network's, raised by ``MARGIN``. Raises DataError where the corpus has no lines, no
    labels or too few sessions of a class."""
    if not corpus.anomalous:
        raise DataError(
            "cldtlog learns from labels, and no training session is labelled anomalous; give labels of the training "
            "part or leave cldtlog out of the detectors"
        )
    return _fit_bags(bags_of(corpus), "sessions", settings, seed, progress)


def fit_lines(
    masked: Sequence[str],
    anomalous: Sequence[bool] | Bool,
    settings: CLDTLogSettings,
    seed: int,
    progress: Progress = silent,
) -> FittedMember:
    """Train on n masked messages with a label each. ``raws`` are those of the normal lines, in order. Raises
    DataError where there is not one label a line, or too few lines of a class."""
    return _fit_bags(bags_of_lines(masked, anomalous), "lines", settings, seed, progress)


def restore(files: dict[str, bytes], settings: CLDTLogSettings) -> LineClassifier:
    """The trained network of a bundle, in eval mode, to go on from. Raises BundleError where its encoder is not the
    one that it was trained with, ConfigError where that cannot be had."""
    part = FrozenPart(load_encoder(settings.encoder), settings.trained_share)
    state = from_safetensors(files[WEIGHTS], NAME)
    try:
        trained_with = orjson.loads(files[STATE])["encoder"]["digest"]
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"cldtlog: {STATE} is damaged ({error}); restore the bundle") from error
    if trained_with != part.encoder.digest:
        raise BundleError(f"cldtlog: encoder {settings.encoder!r} is not the one of this bundle; get that one again")
    upper = part.upper()
    try:
        upper.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    except RuntimeError as error:
        raise BundleError(f"cldtlog: the weights are another network's ({error}); restore the bundle") from error
    return LineClassifier(part.encoder.embeddings, part.layers, upper).eval()


def _fit_bags(bags: Bags, what: str, settings: CLDTLogSettings, seed: int, progress: Progress) -> FittedMember:
    _require(bags, what, settings)
    kept = bags.thinned(settings.max_texts, seed)
    trained = bags.only(kept)
    _require(trained, what, settings)
    part = FrozenPart(load_encoder(settings.encoder), settings.trained_share)
    activations = Activations(part, trained.texts)
    crossfit = _crossfit(trained, activations, part, settings, seed, progress)
    everything = np.arange(len(trained))
    upper, history = fit(trained, activations, part, everything, settings, seed, epochs=crossfit.epochs)
    round_weights(upper)
    progress("cldtlog", settings.folds + 1, settings.folds + 1)
    normal = np.flatnonzero(~bags.anomalous)
    raws = np.full(len(bags), np.nan)
    # The stricter of the two networks: the threshold has to hold for the one that serves.
    raws[kept] = np.fmax(crossfit.raws, trained.raws(judge(upper, activations)[0])) + MARGIN
    heldout = np.full(len(bags), np.nan)
    heldout[kept] = crossfit.raws
    threshold = alone(raws[normal], settings.false_alarm_rate)
    exemplars = _exemplars(trained, upper, activations, settings.exemplars)
    about = {
        "supervision": what,
        "encoder": {"name": part.encoder.name, "digest": part.encoder.digest, "pooling": part.encoder.pooling},
        "threshold": threshold,
        "paper_threshold": PAPER_THRESHOLD,
        "heldout_recall": _recall(heldout[bags.anomalous], threshold),
        "paper_heldout_recall": _recall(heldout[bags.anomalous], PAPER_THRESHOLD),
        "normal": len(normal),
        "anomalous": int(bags.anomalous.sum()),
        "texts": len(bags.texts),
        "trained_texts": len(trained.texts),
        "epochs": crossfit.epochs,
    }
    return FittedMember(
        name=NAME,
        raws=raws[normal],
        threshold=threshold,
        settings={**about, "training": settings.to_dict()},
        files={
            ONNX: _to_onnx(part, upper),
            WEIGHTS: to_safetensors(state_of(upper)),
            STATE: orjson.dumps({**about, "exemplars": exemplars.to_dict()}),
            TOKENIZER: part.encoder.tokenizer,
            REPLAY: _rehearsed(trained).to_json(),
        },
        curves={
            "crossfit_loss": crossfit.loss,
            "crossfit_heldout": crossfit.heldout,
            "crossfit_auc": crossfit.auc,
            "loss": [epoch.loss for epoch in history],
        },
    )


def _require(bags: Bags, what: str, settings: CLDTLogSettings) -> None:
    worded = bags.bag >= 0
    for label, least, name in ((False, settings.min_normal, "normal"), (True, settings.min_anomalous, "anomalous")):
        found = int((worded & (bags.anomalous == label)).sum())
        if found < least:
            raise DataError(
                f"cldtlog needs at least {least} {name} {what} that hold a word, got {found}; give it a longer "
                "labelled log or leave cldtlog out of the detectors"
            )


def _crossfit(
    bags: Bags,
    activations: Activations,
    part: FrozenPart,
    settings: CLDTLogSettings,
    seed: int,
    progress: Progress,
) -> _Crossfit:
    """Normal sessions are held out by stretches of time, so that texts are as new to a fit as the future's will be;
    anomalous ones, which come in bursts, at random. Every fit has both."""
    normal, anomalous = np.flatnonzero(~bags.anomalous), np.flatnonzero(bags.anomalous)
    stretches = np.array_split(normal, settings.folds)
    dealt = [anomalous[test] for _, test in folds(len(anomalous), settings.folds, seed)]
    runs: list[tuple[Int64, list[Epoch]]] = []
    for number, parts in enumerate(zip(stretches, dealt, strict=True)):
        test = np.concatenate(parts)
        chosen = np.setdiff1d(np.arange(len(bags)), test)
        _, history = fit(
            bags, activations, part, chosen, settings, seed + 1 + number, epochs=settings.epochs, heldout=test
        )
        runs.append((test, history))
        progress("cldtlog", number + 1, settings.folds + 1)
    found = [_pooled(bags, [(test, history[epoch]) for test, history in runs]) for epoch in range(settings.epochs)]
    best = int(np.argmax([area for _, area in found]))
    by_epoch = [[history[epoch] for _, history in runs] for epoch in range(settings.epochs)]
    return _Crossfit(
        raws=found[best][0],
        epochs=best + 1,
        loss=[float(np.mean([epoch.loss for epoch in at])) for at in by_epoch],
        heldout=[float(np.mean([epoch.heldout or 0.0 for epoch in at])) for at in by_epoch],
        auc=[area for _, area in found],
    )


def _pooled(bags: Bags, judged: Sequence[tuple[Int64, Epoch]]) -> tuple[Float64, float]:
    """Raw outputs float64 [n] of all sessions, each by its own fold's fit, and how well these rank them (AUC)."""
    raws = np.full(len(bags), np.nan)
    for test, epoch in judged:
        assert epoch.logits is not None
        raws[test] = bags.raws(epoch.logits)[test]
    worded = ~np.isnan(raws)
    return raws, auc(raws[worded], bags.anomalous[worded])


def _exemplars(bags: Bags, upper: Upper, activations: Activations, most: int) -> Exemplars:
    """The most frequent texts of each class; see ``Bags.telling``."""
    everything = np.arange(len(bags))
    normal, anomalous = (bags.text_counts(everything, label) for label in (False, True))
    telling = bags.telling(everything)
    kept = np.concatenate([
        rows[np.argsort(-count[rows], kind="stable")][:most]
        for rows, count in ((np.flatnonzero(~telling), normal), (np.flatnonzero(telling), anomalous))
    ])  # fmt: skip
    embeddings = judge(upper, activations)[1]
    return Exemplars(
        [bags.texts[row] for row in kept.tolist()], embeddings[kept], normal[kept], anomalous[kept], telling[kept]
    )


def _rehearsed(bags: Bags) -> Rehearsed:
    everything = np.arange(len(bags))
    normal, anomalous = (bags.text_counts(everything, label) for label in (False, True))
    return Rehearsed.sample(bags.texts, bags.telling(everything), normal, anomalous)


def _to_onnx(part: FrozenPart, upper: Upper) -> bytes:
    """The graph ``ids``, ``mask`` int64 [batch, time] -> ``logit`` float32 [batch], ``embedding`` float32 [batch,
    width]; weights in 16 bits where that loses nothing. Raises DataError where it disagrees with the network."""
    network = LineClassifier(part.encoder.embeddings, part.layers, upper)
    example = Example(part.encoder.vocabulary)
    metadata = {
        "encoder": part.encoder.name,
        "encoder_digest": part.encoder.digest,
        "tokenizer": digest(part.encoder.tokenizer),
        "width": str(part.encoder.width),
    }
    free = {"ids": {1: "time"}, "mask": {1: "time"}}
    return stored(export(NAME, network, example, ("logit", "embedding"), metadata, dynamic=free), example)


def _recall(raws: Float64, threshold: float) -> float:
    return float((raws >= threshold).mean())
