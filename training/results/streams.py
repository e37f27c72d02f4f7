"""Sections over the HDFS log as it was written, split by time, evaluated through the pipeline that the service runs."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from models.registry import DEFAULT, PLACES
from models.source.config import Source
from training.corpus import Progress as Lines
from training.evaluation import evaluate
from training.logs import digest, read_labels, read_lines
from training.progress import Progress
from training.results.markdown import command
from training.results.plots import draw_protocols, training_curves
from training.results.protocols import protocol_markdown, protocols_of
from training.results.published import published_markdown
from training.results.section import Asked, Pictures, Section, plain
from training.train import Input, TrainSettings, train

WITNESSES = tuple(name for name in PLACES if name not in DEFAULT)
"""Every detector of sessions that has no say; what judges timeframes has no row by session."""
SEED = 0


def measure(source: Source, given: Input, settings: TrainSettings, progress: Progress) -> dict[str, Any]:
    """Train on the earlier part of a labelled log and evaluate on the rest, in both protocols, as plain JSON."""
    assert given.labels is not None, "labels"
    bundle = train(
        source, given, settings, version="1", tree_id="results", created=time.time(),
        parsing=_named(progress, "parse"), fitting=progress,
    )  # fmt: skip
    protocols = evaluate(bundle, given.lines, given.labels, given.arrival, progress=_named(progress, "evaluate"))
    provenance = bundle.manifest.provenance
    found: dict[str, Any] = plain(
        {
            "train_share": settings.train_share,
            "budget": settings.budget,
            "seed": settings.seed,
            "witnesses": settings.witnesses,
            "sessions_trained": provenance["sessions_trained"],
            "sessions_left_out_anomalous": provenance["sessions_left_out_anomalous"],
            "templates": len(bundle.tree()),
            "files": provenance["files"],
            "protocols": protocols_of(bundle, protocols),
            "curves": bundle.manifest.metrics["curves"],
        }
    )
    return found


def show(result: dict[str, Any], commands: str, pictures: Pictures) -> str:
    """Both protocols, and pictures of each."""
    share = result["train_share"]
    about = (
        f"Sessions in the order of their first line; the first {share:.0%} train, the rest test. Fitted on "
        f"{result['sessions_trained']:,} normal sessions that had closed by then, with {result['templates']} "
        "templates; labels "
        f"exclude {result['sessions_left_out_anomalous']:,} anomalous sessions from it (cldtlog, supervised, learns "
        "from them). "
        f"Thresholds come from held-out normal sessions at a budget of {result['budget']:.0%} false alarms; seed "
        f"{result['seed']}. Witnesses are fitted and measured like members but have no say in the ensemble. "
        "Baselines need no "
        "threshold. ms/event: of scoring, caches included; of the ensemble, all detectors of the bundle together."
    )  # fmt: skip
    links = [pictures.link(caption, path) for caption, path in _draw(result, pictures)]
    parts = [f"{protocol_markdown(protocol)}\n\n{command(commands)}" for protocol in result["protocols"]]
    return "\n\n".join([about, *parts, published_markdown("hdfs"), *links])


def _draw(result: dict[str, Any], pictures: Pictures) -> list[tuple[str, Path]]:
    drawn = draw_protocols(result["protocols"], pictures.folder, pictures.prefix)
    curves = {name: own for name, own in result["curves"].items() if own}
    if curves:
        path = pictures.path("training")
        training_curves(path, curves)
        drawn.append(("Losses by epoch", path))
    return drawn


def _make(share: float, asked: Asked) -> dict[str, Any]:
    torch.set_num_threads(1)
    log, labels = (asked.data / "hdfs" / name for name in ("hdfs.log.gz", "labels.csv"))
    given = Input(read_lines([log]), digest([log]), read_labels(labels), time.time())
    settings = TrainSettings(train_share=share, seed=SEED, witnesses=WITNESSES)
    return measure(Source.load("hdfs"), given, settings, asked.progress)


def _commands(share: float, _asked: Asked) -> str:
    folder, data = f"data/hdfs_{share * 100:.0f}", "$TOCSIN_DATASETS_DIR/hdfs"
    files = f"--logs {data}/hdfs.log.gz --labels {data}/labels.csv"
    return (
        f"tocsin train hdfs {files} --out {folder} --version 1 --seed {SEED} --train-share {share} \\\n"
        f"    --witnesses {','.join(WITNESSES)}\n"
        f"tocsin evaluate {folder}/hdfs/1 {files}"
    )


def _given(_asked: Asked) -> dict[str, Any]:
    return {"seed": SEED, "witnesses": list(WITNESSES)}


def _named(progress: Progress, name: str) -> Lines:
    return lambda done, total: progress(name, done, total)


SECTIONS = tuple(
    Section(
        f"hdfs_{share * 100:.0f}",
        f"HDFS log, first {share:.0%} of the sessions train",
        partial(_make, share),
        show,
        _given,
        partial(_commands, share),
    )
    for share in (0.6, 0.5)
)
