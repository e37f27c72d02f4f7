"""LogLSTM from normal sessions to what a bundle needs: hold out, fit to all of them, export.

Owns the order of these steps, one fit of the network and the least amount of data. Does not know how windows are
spoilt (``negatives``), how keys get vectors (``vectors``), nor bundles.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from models.errors import DataError
from models.loglstm.detector import UNKNOWN, LogLSTM
from models.loglstm.network import WindowLSTM, build
from models.sessions import Float64, Int64
from models.vocabulary import EOS, UNK, Vocabulary
from training.deeplog.export import Unexported
from training.loglstm.negatives import Spoiler
from training.loglstm.settings import LogLSTMSettings
from training.loglstm.vectors import key_vectors
from training.member import Corpus, FittedMember, alone, held_out, require
from training.onnx import Inputs, export, state_of, to_safetensors
from training.progress import Progress, silent
from training.windows import DistinctSessions, Windows, distinct, pairs, windows

MARGIN = 1e-3
"""Nats by which held-out raw outputs are raised: processors differ in the last digits, and no normal window may
ring for that."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """A trained network in eval mode, its vocabulary, and the mean loss of each epoch in nats."""

    vocabulary: Vocabulary
    network: WindowLSTM
    curve: list[float]


def fit_loglstm(corpus: Corpus, settings: LogLSTMSettings, seed: int, progress: Progress = silent) -> FittedMember:
    """Train on the normal sessions of ``corpus``. A session's raw output is the largest of its events and its end, held
    out or under the final network, whichever is larger: the level of a window that all sessions share differs from fit
    to fit, and a threshold between two such levels would ring always. ``MARGIN`` is added.

    Raises DataError for fewer sessions than ``settings.min_sessions``, an empty one, or where every key follows every
    other, so that nothing can be spoilt.
    """
    require(len(corpus.sessions), settings.min_sessions, "loglstm")
    once = distinct(corpus.keys)
    given = windows(once.sessions, settings.length - 1)

    def raws_of(fit: Int64, test: Int64) -> Float64:
        fitted = _fit(once, given, once.counts(fit), settings, seed, silent)
        detector = LogLSTM(fitted.vocabulary, settings.length, 0.0, Unexported(fitted.network))
        return _session_raws(detector, once, given, once.counts(test))[once.index[test]]

    with _threads(settings.threads):
        raws = held_out(len(corpus.sessions), settings.folds, seed, raws_of, "loglstm, held out", progress)
        counts = once.counts(np.arange(len(corpus.sessions)))
        fitted = _fit(once, given, counts, settings, seed, progress)
        detector = LogLSTM(fitted.vocabulary, settings.length, 0.0, Unexported(fitted.network))
        final = _session_raws(detector, once, given, counts)[once.index]
    raws = np.minimum(np.maximum(raws, final) + MARGIN, UNKNOWN)
    # An unknown key rings even where held-out sessions had some.
    threshold = min(alone(raws), UNKNOWN)
    return FittedMember(
        name="loglstm",
        raws=raws,
        threshold=threshold,
        settings={
            "vocabulary": fitted.vocabulary.to_dict(),
            "length": settings.length,
            "threshold": threshold,
            "training": settings.to_dict(),
        },
        files={
            "loglstm.onnx": to_onnx(fitted.network, fitted.vocabulary, settings.length, threshold),
            "loglstm.safetensors": to_safetensors(state_of(fitted.network)),
        },
        curves={"loss": fitted.curve},
    )


def to_onnx(network: WindowLSTM, vocabulary: Vocabulary, length: int, threshold: float) -> bytes:
    """The graph ``windows`` int64 [batch, length] -> ``logits`` float32 [batch, 2]. Metadata: ``vocabulary`` (its
    fingerprint), ``length``, ``threshold``."""
    random = np.random.default_rng(0)

    def example(batch: int) -> Inputs:
        return {"windows": random.integers(0, vocabulary.size, (batch, length))}

    metadata = {"vocabulary": vocabulary.fingerprint(), "length": str(length), "threshold": repr(threshold)}
    return export("loglstm", network, example, ("logits",), metadata)


def _fit(
    once: DistinctSessions, given: Windows, counts: Int64, settings: LogLSTMSettings, seed: int, progress: Progress
) -> _Fit:
    """One fit on the distinct sessions that ``counts`` int64 [sessions] names, each that often."""
    used = np.flatnonzero(counts)
    sessions = [once.sessions[at] for at in used.tolist()]
    vocabulary = Vocabulary.fit(sessions)
    vectors = key_vectors(sessions, counts[used], vocabulary, settings, seed)
    learned = pairs(given, counts, vocabulary)
    normal = np.column_stack([learned.history, learned.target])
    weight = learned.count.astype(np.float64) ** settings.weight_power
    spoiler = Spoiler(normal, vocabulary.size)
    network = build(torch.from_numpy(vectors), settings.hidden, seed)
    curve = _train(network, normal, weight / weight.mean(), spoiler, settings, seed, progress)
    return _Fit(vocabulary, network.eval(), curve)


def _train(
    network: WindowLSTM,
    normal: Int64,
    weight: Float64,
    spoiler: Spoiler,
    settings: LogLSTMSettings,
    seed: int,
    progress: Progress,
) -> list[float]:
    """Train on ``normal`` windows int64 [u, length] that weigh ``weight`` float64 [u], and on spoilt ones that weigh
    1."""
    random = np.random.default_rng(seed)
    shares = -(-settings.negatives // settings.epochs)
    steps = -(-len(normal) * (1 + shares) // settings.batch)
    epochs = max(settings.epochs, -(-settings.steps // steps))
    optimizer = torch.optim.Adam(
        (parameter for parameter in network.parameters() if parameter.requires_grad), lr=settings.learning_rate
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    curve = []
    for epoch in range(epochs):
        spoilt = spoiler.spoil(np.tile(normal, (shares, 1)), random)
        if not len(spoilt):
            raise DataError(
                "loglstm: every key follows every other in training, so no window can be spoilt; leave it out"
            )
        rows = np.vstack([normal, spoilt])
        # The end stays readable: nothing else can be it.
        rows[(random.random(rows.shape) < settings.unk_dropout) & (rows > EOS)] = UNK
        inputs = torch.from_numpy(rows)
        labels = torch.from_numpy(np.repeat([0, 1], [len(normal), len(spoilt)]))
        weights = torch.from_numpy(np.append(weight, np.ones(len(spoilt))).astype(np.float32))
        total = 0.0
        for at in torch.split(torch.from_numpy(random.permutation(len(rows))), settings.batch):
            losses = functional.cross_entropy(network(inputs[at]), labels[at], reduction="none") * weights[at]
            optimizer.zero_grad()
            torch.autograd.backward(losses.mean())
            optimizer.step()
            total += float(losses.detach().sum())
        schedule.step()
        curve.append(total / float(weights.sum()))
        progress("loglstm", epoch + 1, epochs)
    return curve


def _session_raws(detector: LogLSTM, once: DistinctSessions, given: Windows, counts: Int64) -> Float64:
    """The largest raw output of each distinct session that ``counts`` int64 [sessions] names, float64 [sessions]."""
    rows = np.flatnonzero(counts[given.session])
    raws = np.full(len(once.sessions), -np.inf)
    np.maximum.at(raws, given.session[rows], detector.score(given.history[rows], given.key[rows]))
    return raws


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """PyTorch's threads are the process's; they are put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
