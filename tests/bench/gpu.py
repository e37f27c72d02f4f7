"""DeepLog's windows and CLDTLog's lines on a CUDA device beside the same machine's CPU.

On the device by ONNX Runtime where its GPU wheel is installed, and else by torch with the same weights: the note says
which. Timed with one upload of each batch and the outputs' way back, as in a service that scores large batches.
Verdicts must be the same: ranks exactly, scores to 1e-4. Without a CUDA device the benchmark says so.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from models.sessions import Int64
from tests.bench import material
from tests.bench.measure import Report, Row, interleaved, timed

Scorer = Callable[[Mapping[str, Int64]], NDArray[np.float32]]
"""Takes inputs [n, ...] by name in the processor's favourite batches, gives outputs [n, ...]."""

KEYS, H = 30, 10
WINDOWS, CPU_WINDOWS = 2_000_000, 20_000
LINES, CPU_LINES, TOKENS = 100_000, 256, 50
DEVICE_BATCH = {"deeplog": 131_072, "cldtlog": 2_048}
CPU_BATCH = {"deeplog": 256, "cldtlog": 64}
GOALS = {"deeplog": 5_000_000.0, "cldtlog": 50_000.0}
"""Windows and lines a second on an H200."""
SAME_SCORE = 1e-4


def run(settings: material.Settings) -> Report:
    """Pace of both on the device and on the CPU. Raises Absent without a CUDA device or training's packages."""
    try:
        import torch
    except ImportError as error:
        raise material.Absent(f"training's packages ({error}); pip install 'tocsin[train]'") from error
    if not torch.cuda.is_available():
        raise material.Absent("there is no CUDA device that torch can use")
    return measured("cuda", torch.cuda.get_device_name(), settings.repeats, 1)


def measured(device: str, name: str, repeats: int, shrink: int) -> Report:
    """The figures on torch's ``device``, called ``name``; ``shrink`` divides how much is scored, for a machine that
    only shows that this works."""
    rows: list[Row] = []
    notes = [name]
    random = np.random.default_rng(0)
    windows = {"windows": random.integers(0, KEYS, (WINDOWS // shrink, H))}
    ids = random.integers(1_000, 20_000, (LINES // shrink, TOKENS))
    texts = {"ids": ids, "mask": np.ones_like(ids)}
    for what, given, few, unit in (
        ("deeplog", windows, CPU_WINDOWS // shrink, "windows/s"),
        ("cldtlog", texts, CPU_LINES // min(shrink, 8), "lines/s"),
    ):
        network, graph = _deeplog() if what == "deeplog" else _cldtlog()
        with _on_device(network, graph, device, DEVICE_BATCH[what], halves=what == "cldtlog") as (score, engine):
            on_cpu = _by_graph(graph, "cpu", CPU_BATCH[what])
            small = {key: values[:few] for key, values in given.items()}
            notes.append(f"{what} by {engine}; {_agreement(score(small), on_cpu(small), what)}")
            seconds = interleaved(
                {"device": timed(lambda: score(given)), "cpu": timed(lambda: on_cpu(small))},  # noqa: B023
                repeats,
            )
        count = len(next(iter(given.values())))
        pace, cpu = count / seconds["device"], few / seconds["cpu"]
        goal = GOALS[what]
        rows += [
            Row(f"{what}, CPU", cpu, unit, 1.0),
            Row(f"{what}, device", pace, unit, pace / cpu, f"at least {goal:,.0f} on an H200", pace >= goal),
        ]
    return Report("On a CUDA device", rows, notes)


def _deeplog() -> tuple[Any, bytes]:
    from models.deeplog.network import build
    from training.onnx import export

    network = build(KEYS + 3, 32, 64, 2, seed=0)
    example = lambda n: {"windows": np.zeros((n, H), dtype=np.int64)}  # noqa: E731
    graph = export("deeplog", network, example, ("logits",), {})
    return network.eval(), graph


def _cldtlog() -> tuple[Any, bytes]:
    """The packaged MiniLM as a sentence encoder: CLDTLog's network but for a head of one row."""
    from training.encoder import Sentence, export_encoder, load_encoder

    encoder = load_encoder()
    return Sentence(encoder).eval(), export_encoder(encoder)


@contextmanager
def _on_device(network: Any, graph: bytes, device: str, batch: int, halves: bool) -> Iterator[tuple[Scorer, str]]:
    """A scorer on the device, warm, and what runs it. ``halves``: in 16 bits where torch runs it."""
    import onnxruntime

    if device == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        score, engine = _by_graph(graph, "cuda", batch), "ONNX Runtime"
    else:
        score, engine = _by_torch(network, device, batch, halves), "torch"
    yield score, engine


def _by_graph(graph: bytes, provider: str, batch: int) -> Scorer:
    loaded = Graph(graph, provider=provider, threads=1, max_batch=batch)
    return lambda given: loaded.run(**given)[0].astype(np.float32)


def _by_torch(network: Any, device: str, batch: int, halves: bool) -> Scorer:
    import torch

    halves = halves and device == "cuda"
    moved = network.to(device).half() if halves else network.to(device)

    def score(given: Mapping[str, Int64]) -> NDArray[np.float32]:
        count = len(next(iter(given.values())))
        found = []
        with torch.inference_mode():
            for start in range(0, count, batch):
                part = [torch.from_numpy(values[start : start + batch]) for values in given.values()]
                if device == "cuda":
                    part = [values.pin_memory().to(device, non_blocking=True) for values in part]
                found.append(moved(*part))
            return np.asarray(torch.cat(found).float().cpu().numpy())

    score({key: np.ones((2, H if key == "windows" else TOKENS), dtype=np.int64) for key in _inputs(network)})
    return score


def _inputs(network: Any) -> tuple[str, ...]:
    return ("ids", "mask") if hasattr(network, "embeddings") else ("windows",)


def _agreement(ours: NDArray[np.float32], cpu: NDArray[np.float32], what: str) -> str:
    """How far the device's outputs lie from the CPU's, in words; ranks where there are logits."""
    apart = float(np.abs(ours - cpu).max())
    said = f"outputs {apart:.1e} apart ({'within' if apart <= SAME_SCORE else 'NOT within'} {SAME_SCORE:g})"
    if what != "deeplog":
        return said
    other = int((np.argsort(-ours, axis=1, kind="stable") != np.argsort(-cpu, axis=1, kind="stable")).any(axis=1).sum())
    return f"{said}, ranks differ in {other} of {len(ours)} windows"
