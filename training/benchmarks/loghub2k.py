"""Template mining on Loghub's samples of eight systems, beside Drain as published and drain3 as it is.

Owns which source fits which system and the published figures. Each system is 2,000 lines with a hand-made template
each; how those were made (is it ``blk_<*>`` or ``<*>``?) decides parsing accuracy more than any miner does.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from drain3.drain import Drain

from models.errors import DataError
from models.source.config import DrainSettings, Source
from training.corpus import Progress, silent
from training.logs import read_lines
from training.mining import UNPARSED, Accuracy, Mined, Truth, accuracy, mine, read_truth


@dataclass(frozen=True, slots=True)
class System:
    """One system: the preset it is read by, and Drain's published figures.

    ``content``: the preset reads the ground truth's Content column, as no preset knows the system's header.
    ``drain_ga``: Zhu et al., "Tools and Benchmarks for Automated Log Parsing", ICSE-SEIP 2019, table II.
    ``drain_pa``: Jiang et al., "A Large-Scale Evaluation for Log Parsing Techniques", ISSTA 2024, RQ2 (the column for
    Loghub-2k in the results that the authors published with their code).
    """

    name: str
    preset: str
    content: bool
    drain_ga: float
    drain_pa: float


SYSTEMS = (
    System("HDFS", "hdfs", False, 0.998, 0.500),
    System("BGL", "bgl", False, 0.963, 0.342),
    System("Hadoop", "hadoop", False, 0.948, 0.269),
    System("Apache", "raw", True, 1.000, 0.694),
    System("Linux", "syslog", False, 0.690, 0.183),
    System("OpenSSH", "syslog", False, 0.788, 0.508),
    System("Zookeeper", "raw", True, 0.967, 0.497),
    System("Thunderbird", "thunderbird", False, 0.955, 0.046),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One system's figures: ours, and drain3's on the same masked messages with the same settings."""

    system: System
    ours: Accuracy
    drain3: Accuracy
    rejected: int

    def figures(self) -> tuple[float, ...]:
        """Our GA, F1 of groups and PA; GA and PA of drain3; GA and PA of Drain as published."""
        return (
            self.ours.grouping.accuracy,
            self.ours.grouping.f1,
            self.ours.parsing,
            self.drain3.grouping.accuracy,
            self.drain3.parsing,
            self.system.drain_ga,
            self.system.drain_pa,
        )


def rows(folder: Path, arrival: float, progress: Progress = silent) -> list[Row]:
    """Figures of every system that ``folder`` holds as NAME_2k.log with NAME_2k.log_structured.csv.

    Raises DataError where it holds none.
    """
    present = [system for system in SYSTEMS if _truth(folder, system).is_file()]
    if not present:
        raise DataError(f"{folder} holds no NAME_2k.log_structured.csv; known systems: {names()}")
    found = []
    for done, system in enumerate(present):
        progress(done, len(present))
        found.append(_row(folder, system, arrival))
    progress(len(present), len(present))
    return found


def names() -> str:
    """Names of the systems."""
    return ", ".join(system.name for system in SYSTEMS)


def _row(folder: Path, system: System, arrival: float) -> Row:
    truth = read_truth(str(_truth(folder, system)))
    lines = truth.content if system.content else read_lines([folder / f"{system.name}_2k.log"])
    source = Source.load(system.preset)
    mined = mine(source, lines, arrival)
    ids = mined.by_line()
    ours = accuracy(ids, [mined.text(template_id) for template_id in ids.tolist()], truth)
    return Row(system, ours, _drain3(mined, source.drain, truth), len(mined.records.rejected))


def _drain3(mined: Mined, settings: DrainSettings, truth: Truth) -> Accuracy:
    """drain3's own ``Drain``, line by line, on the messages that our splitter masked."""
    drain = Drain(sim_th=settings.similarity, depth=settings.depth, max_children=settings.max_children, param_str="<*>")
    clusters = [drain.add_log_message(message)[0] for message in mined.records.masked.to_list()]
    ids = np.full(mined.lines, UNPARSED, dtype=np.int64)
    ids[mined.records.index] = [cluster.cluster_id for cluster in clusters]
    texts = [""] * mined.lines
    for line, cluster in zip(mined.records.index.tolist(), clusters, strict=True):
        texts[line] = cluster.get_template()
    return accuracy(ids, texts, truth)


def _truth(folder: Path, system: System) -> Path:
    return folder / f"{system.name}_2k.log_structured.csv"
