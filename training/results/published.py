"""Figures that others published, in percent or as a share as they gave them, and the protocol each was made by.

None of these protocols is ours: no row of a page's own tables may be compared with one of these but in kind.
"""

from dataclasses import dataclass

from training.results.markdown import cell, number, table


@dataclass(frozen=True, slots=True)
class Published:
    """Shares between 0 and 1; None where not given."""

    method: str
    precision: float | None
    recall: float | None
    f1: float
    protocol: str
    source: str


_HDFS = (
    Published("DeepLog", 0.951, 0.963, 0.957, "4,855 sessions train; any miss rings", "Du et al., CCS 2017"),
    Published("DeepLog", 0.958, 0.933, 0.945, "g = 9; short sessions count as anomalous", "logdeep repository"),
    Published("DeepLog", 0.835, 0.994, 0.908, "80/20", "Le and Zhang, ICSE 2022"),
    Published("LogAnomaly", 0.969, 0.983, 0.976, "without semantics", "logdeep repository"),
    Published("LogAnomaly", 0.886, 0.993, 0.966, "80/20; P and R give F1 .936", "Le and Zhang, ICSE 2022"),
    Published("LogBERT", 0.870, 0.781, 0.823, "sessions of 10 events and more", "LogBERT thesis"),
)
_SIMPLE = "threshold chosen on test labels"
_REVIEW = "Landauer et al., FSE 2024"

PUBLISHED: dict[str, tuple[Published, ...]] = {
    "hdfs_keys": (
        *_HDFS,
        Published("LogAnomaly", None, None, 0.95, "as in the paper", "Meng et al., IJCAI 2019"),
        Published("RobustLog", 0.922, 0.959, 0.940, "supervised, 6,000 of each class train", "logdeep repository"),
        Published("new event", None, None, 0.633, "all 570,204 sessions", _REVIEW),
        Published("length", None, None, 0.541, "all 570,204 sessions", _REVIEW),
        Published("new event or length", None, None, 0.904, "all 570,204 sessions", _REVIEW),
        Published("count vector", None, None, 0.960, _SIMPLE, _REVIEW),
        Published("2-gram", None, None, 0.852, _SIMPLE, _REVIEW),
        Published("edit distance", None, None, 0.718, _SIMPLE, _REVIEW),
    ),
    "hadoop": (
        Published("DeepLog, LogAnomaly", 0.896, 1.0, 0.945, "6 train, 5 and 43 test; flags all", "GPU notebook"),
        Published("new event", None, None, 0.288, "no threshold", _REVIEW),
        Published("length", None, None, 0.194, "no threshold", _REVIEW),
        Published("new event or length", None, None, 0.335, "no threshold", _REVIEW),
        Published("count vector", None, None, 0.915, f"{_SIMPLE}: it is 0 and flags all", _REVIEW),
    ),
    "hdfs": (
        *_HDFS,
        Published("key+value LSTM", 0.589, 0.218, 0.319, "part of HDFS, by window", "Brno report"),
        Published("CLDTLog", None, None, 0.9971, "supervised", "CLDTLog, Sensors"),
        Published("PCA", 0.975, 0.635, 0.769, "50/50 uniform", "loglizer repository"),
        Published("invariants", 0.888, 0.945, 0.915, "50/50 uniform", "loglizer repository"),
        Published("LogCluster", 1.0, 0.720, 0.837, "50/50 uniform", "loglizer repository"),
        Published("isolation forest", 0.830, 0.776, 0.802, "50/50 uniform", "loglizer repository"),
        Published("one-class SVM", 0.995, 0.222, 0.363, "50/50 uniform", "loglizer repository"),
    ),
    "lines": (
        Published("AutoLog", 0.55, 0.58, 0.57, "BGL, timeframes of 300 s", "reimplementation wab-3"),
        Published("CLDTLog", 0.99, 0.99, 0.99, "BGL, windows that overlap across the split", "reimplementation wab-3"),
        Published("CLDTLog", None, None, 0.9999, "BGL, supervised", "CLDTLog, Sensors"),
    ),
}  # fmt: skip
"""Section -> what it may be read beside."""


def published_markdown(section: str) -> str:
    """The published figures of a section as a table."""
    rows = [
        [cell(p.method), *map(number, (p.precision, p.recall)), number(p.f1, 4 if p.f1 > 0.99 else 3), *_where(p)]
        for p in PUBLISHED[section]
    ]
    return table("Published figures; the protocol differs", ("method", "P", "R", "F1", "protocol", "source"), rows)


def _where(published: Published) -> tuple[str, str]:
    return cell(published.protocol), cell(published.source)
