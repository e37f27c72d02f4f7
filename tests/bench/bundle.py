"""The HDFS bundle that the service benchmarks serve: given, or trained at the start on the earlier 60 % of the log."""

import importlib.util
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench import material

TRAIN_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder of bundles, and how long its training took (None where it was given), seconds."""

    bundles: Path
    detectors: tuple[str, ...]
    trained_s: float | None


def bundle(settings: material.Settings, data: material.Hdfs, folder: Path) -> Bundle:
    """Put the bundle into ``folder``/bundles/hdfs. Without torch only the detectors that need none are trained."""
    bundles = folder / "bundles"
    trained_s = None
    if settings.bundle is not None:
        # Under its own version's name: a replica takes one that says another for another, and loads it batch by batch.
        shutil.copytree(settings.bundle, bundles / "hdfs" / settings.bundle.resolve().name)
    else:
        detectors = "new_event,length,count_vector"
        if all(importlib.util.find_spec(name) for name in ("torch", "lightning", "onnx")):
            detectors += ",deeplog"
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "service", "train", "hdfs", "--logs", str(data.log), "--labels", str(data.labels),
             "--train-share", str(TRAIN_SHARE), "--detectors", detectors, "--out", str(bundles), "--json"],
            check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        trained_s = time.perf_counter() - began
    manifest = json.loads(next(bundles.glob("hdfs/*/manifest.json")).read_text())
    return Bundle(bundles, tuple(manifest["detectors"]), trained_s)
