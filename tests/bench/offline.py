"""Key sequences scored offline beside the loop that papers' code runs: one window at a time, torch, on the CPU.

The published loop (logdeep's and its descendants') makes a batch of one of each window, runs the network, sorts the
logits and looks whether the key is among the first g. It is timed on a sample of the windows and given as windows a
second. The set is ``hdfs_keys``, whose sessions and windows repeat: the engine is measured with what it makes of that,
and on the distinct windows alone, where nothing is left to fold or to remember.
"""

import numpy as np

from models.deeplog.detector import DeepLog
from models.deeplog.prefixes import network_of
from models.ensemble import Ensemble
from models.graph import Graph
from models.judge import Judge
from models.members.event import KeyMember
from models.rows import unique_rows
from models.sessions import Int64
from models.vocabulary import EOS, Vocabulary
from tests.bench import material
from tests.bench.measure import Report, Row, interleaved, timed
from training.cores import cores
from training.keysets import read_labelled, read_sessions
from training.scoring import session_raws
from training.windows import windows

LOOPED = 2_000
"""Windows that the published loop is timed on."""
BATCHES = (64, 128, 256, 512, 1024)
H, G = 10, 9
TARGET, TARGET_DISTINCT = 500.0, 1.3
LOOP = "published loop, one window at a time"
PLAIN = "distinct windows, plain graph, batches of {}"
WHOLE = "session_raws: each distinct session and window once"
DISTINCT = "distinct windows, their common beginnings once"


def run(settings: material.Settings) -> Report:
    """Windows per second of the loop, the bare graph and the engine; weights are random, as they cost the same."""
    folder = material.root() / "hdfs_keys"
    train, labelled = folder / "train_normal.txt", folder / "labelled.csv"
    if not labelled.is_file():
        raise material.Absent(f"there is no {labelled.name} under {folder} (set TOCSIN_DATASETS_DIR)")
    sessions = read_labelled(labelled).sessions[: settings.lines]
    vocabulary = Vocabulary.fit(read_sessions(train))
    network, plain, graph, whole = _network(vocabulary)
    given = windows(sessions, H)
    history, target = vocabulary.encode(given.history), vocabulary.encode(given.key)
    looped = slice(0, LOOPED)
    once = history[unique_rows(history)[0]]
    seconds = interleaved(
        {
            LOOP: timed(lambda: loop(network, history[looped], target[looped])),
            **{
                PLAIN.format(size): timed(lambda size=size: _in_batches(plain, once, size))  # type: ignore[misc]
                for size in BATCHES
            },
            DISTINCT: timed(lambda: network_of(graph).run(windows=once)),
            WHOLE: timed(lambda: session_raws(_judge(vocabulary, whole), sessions)),
        },
        settings.repeats,
    )
    counts = {LOOP: len(history[looped]), WHOLE: len(history)}
    pace = {name: counts.get(name, len(once)) / taken for name, taken in seconds.items()}
    best = max(value for name, value in pace.items() if name.startswith(PLAIN[:30]))
    rows = [Row(name, value, "windows/s", value / pace[LOOP]) for name, value in pace.items()]
    times, engine = pace[WHOLE] / pace[LOOP], pace[DISTINCT] / best
    rows += [
        Row("engine to the published loop", times, "x", None, f"at least {TARGET:g} x", times >= TARGET),
        Row(
            "distinct windows, to the plain graph at its best", engine, "x", None, f"at least {TARGET_DISTINCT:g} x",
            engine >= TARGET_DISTINCT,
        ),
    ]  # fmt: skip
    notes = [
        f"{len(sessions):,} sessions, {len(history):,} windows (ends counted), {len(once):,} distinct; "
        f"h {H}, two layers of 64",
    ]
    return Report("Offline scoring of key sequences (hdfs_keys)", rows, notes)


def loop(network: "object", history: Int64, target: Int64) -> list[bool]:
    """Whether each window's key is not among the G likeliest, as published code finds it."""
    import torch

    torch.set_num_threads(1)  # the loop's best: with a batch of one, threads only wait for each other
    found = []
    with torch.no_grad():
        for window, key in zip(history, target, strict=True):
            logits = network(torch.from_numpy(window[None, :]))  # type: ignore[operator]
            found.append(int(key) not in torch.argsort(logits, 1)[0][-G:].tolist())
    return found


def _in_batches(graph: Graph, history: Int64, size: int) -> None:
    for begin in range(0, len(history), size):
        graph.run(windows=history[begin : begin + size])


def _judge(vocabulary: Vocabulary, graph: Graph) -> Judge:
    """A judge of DeepLog alone that remembers nothing yet."""
    detector = DeepLog(vocabulary, H, G, network_of(graph))
    normal = np.linspace(0.0, G - 1.0, 100)
    return Judge([KeyMember(detector, 0)], [], Ensemble.fit({detector.name: normal}), frozenset(vocabulary.keys))


def _network(vocabulary: Vocabulary) -> tuple[object, Graph, Graph, Graph]:
    """A network with seeded weights in torch, its plain graph (windows in, logits out), the served one, and that as
    ``tocsin evaluate`` runs it, on all cores."""
    try:
        from models.deeplog.network import build
        from training.deeplog.export import to_onnx
        from training.onnx import export
    except ImportError as error:
        raise material.Absent(f"training's packages ({error}); pip install 'tocsin[train]'") from error
    network = build(vocabulary.size, 32, 64, 2, seed=0)
    plain = export("deeplog", network, lambda n: {"windows": np.full((n, H), EOS, dtype=np.int64)}, ("logits",), {})
    served = to_onnx(network, vocabulary, H, G)
    on_all = Graph(served, provider="cpu", threads=cores())
    return network, Graph(plain, provider="cpu", max_batch=max(BATCHES)), Graph(served, provider="cpu"), on_all
