"""Which detectors there are: how each is read back from a bundle. A new detector adds one line to a table here.

Owns the names. Does not know how detectors are fitted (``training``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from models.baselines.count_vector import CountVector
from models.baselines.length import Length
from models.baselines.new_event import NewEvent
from models.deeplog.detector import DeepLog
from models.detector import EventDetector, SessionDetector
from models.ensemble import Ensemble
from models.errors import BundleError, DataError
from models.graph import Graph
from models.judge import Judge
from models.vocabulary import Vocabulary

ENSEMBLE = "ensemble.json"


def state_file(detector: str) -> str:
    """Name of the bundle file that holds a detector's learned state."""
    return f"{detector}.json"


def graph_file(detector: str) -> str:
    """Name of the bundle file that holds a detector's network."""
    return f"{detector}.onnx"


@dataclass(frozen=True, slots=True)
class Parts:
    """What readers read from: one member's settings, the bundle's files, and a way to open a graph."""

    settings: Mapping[str, Any]
    files: Mapping[str, bytes]
    graph: Callable[[str], Graph]


def _deeplog(parts: Parts) -> DeepLog:
    return DeepLog.from_graph(Vocabulary.from_dict(parts.settings["vocabulary"]), parts.graph("deeplog"))


def _state(name: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    state: dict[str, Any] = orjson.loads(files[state_file(name)])
    return state


EVENT_DETECTORS: dict[str, Callable[[Parts], EventDetector]] = {
    "new_event": lambda parts: NewEvent.from_dict(_state("new_event", parts.files)),
    "deeplog": _deeplog,
}
"""Name -> reader. The order is that of peaks in session state."""

SESSION_DETECTORS: dict[str, Callable[[Parts], SessionDetector]] = {
    "length": lambda parts: Length.from_dict(_state("length", parts.files)),
    "count_vector": lambda parts: CountVector.from_dict(_state("count_vector", parts.files)),
}
"""Name -> reader."""

DETECTORS = (*EVENT_DETECTORS, *SESSION_DETECTORS)


def load_judge(
    detectors: Mapping[str, Mapping[str, Any]], files: Mapping[str, bytes], provider: str, threads: int
) -> Judge:
    """Read a bundle's detectors and ensemble. Raises BundleError naming what is missing, unknown or damaged."""
    unknown = sorted(set(detectors) - set(DETECTORS))
    if unknown:
        raise BundleError(f"detector {unknown[0]!r} is not known to this Tocsin; upgrade it to use this bundle")
    graphs: list[Graph] = []

    def open_graph(name: str) -> Graph:
        graphs.append(Graph(files[graph_file(name)], provider, threads))
        return graphs[-1]

    parts = {name: Parts(settings, files, open_graph) for name, settings in detectors.items()}
    try:
        events = [read(parts[name]) for name, read in EVENT_DETECTORS.items() if name in parts]
        sessions = [read(parts[name]) for name, read in SESSION_DETECTORS.items() if name in parts]
        ensemble = Ensemble.from_dict(orjson.loads(files[ENSEMBLE]))
        known = frozenset(NewEvent.from_dict(_state("new_event", files)).known.tolist())
    except KeyError as error:
        raise BundleError(f"the bundle lacks {error}; restore it or train it again") from error
    except (AttributeError, DataError, TypeError, ValueError) as error:
        raise BundleError(f"a detector's state is damaged ({error}); restore the bundle or train it again") from error
    members = {detector.name for detector in events} | {detector.name for detector in sessions}
    if members != set(ensemble.calibrations):
        raise BundleError(
            f"the bundle has the detectors {sorted(members)} but its ensemble was fitted on "
            f"{sorted(ensemble.calibrations)}; restore it or train it again"
        )
    used = {graph.provider for graph in graphs}
    return Judge(events, sessions, ensemble, known, "cuda" if used == {"cuda"} else "cpu")
