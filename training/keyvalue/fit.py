"""The key and value LSTM from labelled sessions to what a bundle needs: hold out, fit to all of them, export.

Owns the order of these steps, one fit of the network and the least amount of data. Does not know which fields are read
(``choice``), how events become windows (``examples``), nor bundles.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch.nn import functional

from models.errors import DataError
from models.keyvalue.detector import HALF, KeyValue
from models.keyvalue.network import FieldLSTM, build
from models.keyvalue.places import Places, before_session
from models.sessions import Float64, Int64
from models.vocabulary import Vocabulary
from training.corpus import CutSession
from training.deeplog.export import Unexported
from training.keyvalue.choice import choose_fields
from training.keyvalue.examples import Examples, events, examples
from training.keyvalue.settings import KeyValueSettings
from training.member import Corpus, FittedMember, alone, held_out, require
from training.onnx import Inputs, export, state_of, to_safetensors
from training.progress import Progress, silent

MARGIN = 1e-3
"""Nats by which held-out raw outputs are raised: processors differ in the last digits, and no normal window may
ring for that."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """A trained network in eval mode, what its places mean, and the mean loss of each epoch in nats."""

    places: Places
    network: FieldLSTM
    curve: list[float]


def fit_keyvalue(corpus: Corpus, settings: KeyValueSettings, seed: int, progress: Progress = silent) -> FittedMember:
    """Train on the normal and the anomalous sessions of ``corpus``.

    A normal session's raw output is the largest of its events, held out or under the final network, whichever is
    larger: the level of a window that all sessions share differs from fit to fit, and a threshold between two such
    levels would ring always. ``MARGIN`` is added. NaN for sessions beyond the newest ``settings.events`` events, which
    are not read.

    Raises DataError where there are no lines, too few sessions of either kind, or no header field worth reading.
    """
    records, _ = corpus.lines("keyvalue")
    require(len(corpus.sessions), settings.min_sessions, "keyvalue")
    if len(corpus.anomalous) < settings.min_anomalous:
        raise DataError(
            f"keyvalue learns from labels: it needs at least {settings.min_anomalous} anomalous sessions, got "
            f"{len(corpus.anomalous)}; give labels or leave keyvalue out of the detectors"
        )
    read = _newest(corpus.sessions, settings.events)
    require(len(read), settings.min_sessions, f"keyvalue (of {settings.events} events)")

    def raws_of(fit: Int64, test: Int64) -> Float64:
        fitted = _fit([read[at] for at in fit.tolist()], corpus.anomalous, records.fields, settings, seed, silent)
        return _session_raws(fitted, [read[at] for at in test.tolist()], records.fields, settings)

    raws = np.full(len(corpus.sessions), np.nan)
    with _threads(settings.threads):
        heldout = held_out(len(read), settings.folds, seed, raws_of, "keyvalue, held out", progress)
        fitted = _fit(read, corpus.anomalous, records.fields, settings, seed, progress)
        final = _session_raws(fitted, read, records.fields, settings)
    raws[-len(read) :] = np.maximum(heldout, final) + MARGIN
    threshold = alone(raws)
    return FittedMember(
        name="keyvalue",
        raws=raws,
        threshold=threshold,
        settings={
            **fitted.places.to_dict(),
            "length": settings.length,
            "threshold": threshold,
            "half": HALF,
            "training": settings.to_dict(),
        },
        files={
            "keyvalue.onnx": to_onnx(fitted.network, fitted.places, settings.length, threshold),
            "keyvalue.safetensors": to_safetensors(state_of(fitted.network)),
        },
        curves={"loss": fitted.curve},
    )


def to_onnx(network: FieldLSTM, places: Places, length: int, threshold: float) -> bytes:
    """The graph ``windows`` int64 [batch, length, 1 + fields] -> ``logit`` float32 [batch]; the one-hot vectors are
    inside. Metadata: ``places`` (their fingerprint), ``length``, ``threshold``."""
    random = np.random.default_rng(0)

    def example(batch: int) -> Inputs:
        return {"windows": random.integers(0, places.sizes, (batch, length, len(places.sizes)))}

    metadata = {"places": places.fingerprint(), "length": str(length), "threshold": repr(threshold)}
    return export("keyvalue", network, example, ("logit",), metadata)


def _newest(sessions: Sequence[CutSession], most: int) -> Sequence[CutSession]:
    """The newest sessions that have at most ``most`` events together."""
    lengths = np.cumsum([len(session.keys) for session in reversed(sessions)])
    return sessions[len(sessions) - int(np.searchsorted(lengths, most, side="right")) :]


def _fit(
    normal: Sequence[CutSession],
    anomalous: Sequence[CutSession],
    fields: pl.DataFrame,
    settings: KeyValueSettings,
    seed: int,
    progress: Progress,
) -> _Fit:
    both = [*normal, *anomalous]
    places = Places(Vocabulary.fit([session.keys for session in both]), choose_fields(fields, both, settings))
    codes, window = places.codes(fields), settings.length - 1
    learned = examples(events(normal, codes, window), events(anomalous, codes, window), places)
    network = build(places.sizes, settings.embedding, settings.hidden, settings.layers, seed)
    curve = _train(network, places, learned, settings, seed, progress)
    return _Fit(places, network.eval(), curve)


def _train(
    network: FieldLSTM, places: Places, learned: Examples, settings: KeyValueSettings, seed: int, progress: Progress
) -> list[float]:
    random = np.random.default_rng(seed)
    count = (learned.normal + learned.anomalous).astype(np.float64)
    weight = count**settings.weight_power
    weights = torch.from_numpy((weight / weight.mean()).astype(np.float32))
    labels = torch.from_numpy((learned.anomalous / count).astype(np.float32))
    pos_weight = torch.tensor(settings.pos_weight)
    unknown = np.array([places.hidden(column) for column in range(len(places.sizes))])
    inside = ~before_session(learned.windows)
    epochs = max(settings.epochs, -(-settings.steps // -(-len(labels) // settings.batch)))
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    curve = []
    for epoch in range(epochs):
        hidden = inside & (random.random(learned.windows.shape) < settings.unk_dropout)
        inputs = torch.from_numpy(np.where(hidden, unknown, learned.windows))
        total = 0.0
        for at in torch.split(torch.from_numpy(random.permutation(len(labels))), settings.batch):
            losses = functional.binary_cross_entropy_with_logits(
                network(inputs[at]), labels[at], weights[at], pos_weight=pos_weight, reduction="none"
            )
            optimizer.zero_grad()
            torch.autograd.backward(losses.mean())
            optimizer.step()
            total += float(losses.detach().sum())
        schedule.step()
        curve.append(total / float(weights.sum()))
        progress("keyvalue", epoch + 1, epochs)
    return curve


def _session_raws(
    fitted: _Fit, sessions: Sequence[CutSession], fields: pl.DataFrame, settings: KeyValueSettings
) -> Float64:
    """The largest raw output of each session's events, float64 [sessions]."""
    detector = KeyValue(fitted.places, settings.length, 0.0, Unexported(fitted.network))
    given = events(sessions, detector.codes(fields), detector.window)
    raws = np.full(len(sessions), -np.inf)
    scored = detector.score_fields(given.history, given.keys, given.earlier, given.codes)
    np.maximum.at(raws, given.session, scored)
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
