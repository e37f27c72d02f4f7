"""The parameter-value model from normal sessions to what a bundle needs.

Older sessions give positions, scales and the network; the newest ones, which it has not seen, the normal ranges and
the held-out raw outputs. Owns the order of these steps and the least amount of data. Does not know bundles.

The network is not fitted again on all sessions: the normal ranges are those of this network's own deviations.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import orjson

from models.deeplog_values.layout import Position
from models.deeplog_values.network import ValueLSTM
from models.errors import DataError
from models.sessions import Bool
from training.corpus import CutSession
from training.deeplog_values.fit import Unexported, Vectors, fit
from training.deeplog_values.judge import Judge
from training.deeplog_values.layout import Layout, choose
from training.deeplog_values.limits import Normal
from training.deeplog_values.occurrences import Occurrences, occurrences, parameters
from training.deeplog_values.settings import DeepLogValuesSettings
from training.member import Corpus, FittedMember, alone, folds, require
from training.onnx import Inputs, export, state_of, to_safetensors
from training.progress import Progress, silent

NAME = "deeplog_values"
_FOLDS = 5


def fit_deeplog_values(
    corpus: Corpus, settings: DeepLogValuesSettings, seed: int, progress: Progress = silent
) -> FittedMember:
    """Train on the corpus' normal sessions and their lines.

    Raises DataError where only keys are known, for fewer sessions than ``settings.min_sessions``, and where no
    template has h + 2 vectors in the older sessions.
    """
    records, tree = corpus.lines(NAME)
    require(len(corpus.sessions), settings.min_sessions, NAME)
    begin = _newest(corpus.sessions, settings.events)
    sessions = corpus.sessions[begin:]
    held_from = len(sessions) - max(1, int(len(sessions) * settings.validation))
    given = occurrences(sessions)
    older = given.session < held_from
    progress(f"{NAME}: numbers of {len(given)} lines", 0, 1)
    layout = choose(given, parameters(given, records, tree), older, settings)
    if not layout.positions:
        raise DataError(
            f"{NAME}: no template has {settings.h + 2} lines in the older sessions; train it on a longer log or "
            f"leave {NAME} out of the detectors"
        )
    learned = np.flatnonzero(older & (layout.row >= 0))
    vectors = Vectors(layout.row[learned], learned, given, layout.values)
    network, curve = fit(vectors, layout.scales(), settings, seed, progress)
    return _member(corpus, settings, seed, given, layout, older, begin, network, curve)


def _member(
    corpus: Corpus,
    settings: DeepLogValuesSettings,
    seed: int,
    given: Occurrences,
    layout: Layout,
    older: Bool,
    begin: int,
    network: ValueLSTM,
    curve: list[float],
) -> FittedMember:
    judge = Judge(given, layout, settings, Unexported(network))
    normal = Normal(judge, older, seed)
    templates = normal.templates(np.ones_like(older))
    # A session must not be judged by ranges that its own deviations made.
    session_raws = np.full(len(corpus.sessions), np.nan)
    newest = np.unique(given.session[~older])
    for made_of, judged in folds(len(newest), min(_FOLDS, len(newest)), seed):
        kept = older | np.isin(given.session, newest[made_of])
        part = normal.templates(kept)
        events = np.flatnonzero(np.isin(given.session, newest[judged]) & (layout.row >= 0))
        raw = judge.raws(part, events)
        for event, value in zip(events.tolist(), raw.tolist(), strict=True):
            at = begin + int(given.session[event])
            session_raws[at] = np.fmax(session_raws[at], value)
    fingerprint = hashlib.sha256(orjson.dumps([[key, [p.to_dict() for p in own]] for key, own in _items(layout)]))
    state = {**judge.detector(templates).to_dict(), "fingerprint": fingerprint.hexdigest()}
    onnx = to_onnx(network, fingerprint.hexdigest(), layout.values.shape[1], len(templates), settings.h)
    return FittedMember(
        name=NAME,
        raws=session_raws,
        threshold=alone(session_raws),
        settings={
            "h": settings.h,
            "width": layout.values.shape[1],
            "templates": len(templates),
            "templates_without_model": {str(key): samples for key, samples in layout.without.items()},
            "training": settings.to_dict(),
        },
        files={
            f"{NAME}.onnx": onnx,
            f"{NAME}.json": orjson.dumps(state),
            f"{NAME}.safetensors": to_safetensors(
                {name: value for name, value in state_of(network).items() if value.dtype == np.float32}
            ),
        },
        curves={"loss": curve},
    )


def to_onnx(network: ValueLSTM, fingerprint: str, width: int, templates: int, h: int) -> bytes:
    """The graph ``key`` int64 [batch], ``history`` float64 [batch, steps, width], ``length`` int64 [batch], ``values``
    float64 [batch, width] -> ``error`` float32 [batch], ``deviation`` and ``prediction`` float32 [batch, width]; steps
    and batch are free. Metadata: ``fingerprint``. Raises DataError where it disagrees with the network."""
    random = np.random.default_rng(0)
    mean, std = network.mean.numpy(), network.std.numpy()

    def example(batch: int) -> Inputs:
        key = random.integers(0, templates, batch)
        history = random.normal(size=(batch, h, width)) * std[key][:, None] + mean[key][:, None]
        values = random.normal(size=(batch, width)) * std[key] + mean[key]
        history[random.random(history.shape) < 0.1] = np.nan
        values[random.random(values.shape) < 0.1] = np.nan
        return {"key": key, "history": history, "length": random.integers(0, h + 1, batch), "values": values}

    outputs = ("error", "deviation", "prediction")
    return export(NAME, network, example, outputs, {"fingerprint": fingerprint}, dynamic={"history": {1: "steps"}})


def _items(layout: Layout) -> list[tuple[int, tuple[Position, ...]]]:
    return list(layout.positions.items())


def _newest(sessions: Sequence[CutSession], events: int) -> int:
    """Where the newest sessions begin that hold at most ``events`` events together."""
    sizes = np.array([len(session.keys) for session in sessions], dtype=np.int64)
    return int((np.cumsum(sizes[::-1])[::-1] > events).sum())
