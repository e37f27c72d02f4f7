"""Which detectors there are: how each is read back from a bundle. A new detector adds one line to a table here.

Owns the names. Does not know how detectors are fitted (``training``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from models.baselines.count_vector import CountVector
from models.baselines.count_vector_idf import CountVectorIdf
from models.baselines.edit_distance import EditDistance
from models.baselines.length import Length
from models.baselines.new_event import NewEvent
from models.baselines.ngram import Ngram
from models.baselines.timing import Timing
from models.cldtlog.detector import CLDTLog
from models.deeplog.detector import DeepLog
from models.deeplog_values.detector import DeepLogValues
from models.encoder import SentenceEncoder
from models.ensemble import Ensemble
from models.errors import BundleError, DataError
from models.graph import Graph
from models.judge import Judge
from models.keyvalue.detector import KeyValue
from models.loganomaly.detector import LogAnomaly
from models.logbert.detector import LogBERT, LogBERTDistance
from models.loglstm.detector import LogLSTM
from models.members.ended import CountMember, EndMember, SequenceMember
from models.members.event import EventMember, FieldMember, KeyMember, TextMember, TimingMember, ValueMember
from models.normals import NORMALS, Normals
from models.vocabulary import Vocabulary
from models.workflow.diagnosis import Diagnostician
from models.workflow.graph import WORKFLOW, Workflow

ENSEMBLE = "ensemble.json"


def state_file(detector: str) -> str:
    """Name of the bundle file that holds a detector's learned state."""
    return f"{detector}.json"


def graph_file(detector: str) -> str:
    """Name of the bundle file that holds a detector's network."""
    return f"{detector}.onnx"


@dataclass(frozen=True, slots=True)
class Parts:
    """What readers read from: one member's settings, the bundle's files, a way to open a graph, the exemplars of the
    templates of the tree that serves, and the settings of all members."""

    settings: Mapping[str, Any]
    files: Mapping[str, bytes]
    graph: Callable[[str], Graph]
    exemplar_of: Callable[[int], str]
    everyone: Mapping[str, Mapping[str, Any]]

    def state(self, name: str) -> dict[str, Any]:
        """A detector's learned state."""
        state: dict[str, Any] = orjson.loads(self.files[state_file(name)])
        return state


def _deeplog(parts: Parts) -> DeepLog:
    return DeepLog.from_graph(_vocabulary(parts), parts.graph("deeplog"))


def _loganomaly(parts: Parts) -> LogAnomaly:
    encoder = None
    if "loganomaly.tokenizer.json" in parts.files:
        encoder = SentenceEncoder.from_parts(
            parts.graph("loganomaly.encoder"), parts.files["loganomaly.tokenizer.json"]
        )
    return LogAnomaly.from_parts(parts.settings, parts.graph("loganomaly"), parts.files, parts.exemplar_of, encoder)


def _deeplog_values(parts: Parts, place: int) -> ValueMember:
    detector = DeepLogValues.from_dict(parts.state("deeplog_values"), parts.graph("deeplog_values"))
    keys = parts.everyone.get("deeplog")
    return ValueMember(detector, place, None if keys is None else ("deeplog", float(keys["g"])))


def _cldtlog(parts: Parts) -> CLDTLog:
    files = parts.files
    return CLDTLog.from_graph(parts.graph("cldtlog"), files["cldtlog.tokenizer.json"], files["cldtlog.json"])


def _logbert_distance(parts: Parts) -> LogBERTDistance:
    # Both members read one network; when it learns new keys, it is logbert that writes them down.
    settings = parts.everyone.get("logbert", parts.settings)
    return LogBERTDistance.from_graph(Vocabulary.from_dict(settings["vocabulary"]), parts.graph("logbert"))


def _vocabulary(parts: Parts) -> Vocabulary:
    return Vocabulary.from_dict(parts.settings["vocabulary"])


EVENT_MEMBERS: dict[str, Callable[[Parts, int], EventMember]] = {
    "new_event": lambda parts, place: KeyMember(NewEvent.from_dict(parts.state("new_event")), place),
    "deeplog": lambda parts, place: KeyMember(_deeplog(parts), place),
    "deeplog_values": _deeplog_values,
    "loganomaly": lambda parts, place: KeyMember(_loganomaly(parts), place),
    "loglstm": lambda parts, place: KeyMember(LogLSTM.from_graph(_vocabulary(parts), parts.graph("loglstm")), place),
    "keyvalue": lambda parts, place: FieldMember(KeyValue.from_graph(parts.settings, parts.graph("keyvalue")), place),
    "cldtlog": lambda parts, place: TextMember(_cldtlog(parts), place),
    "timing": lambda parts, place: TimingMember(Timing.from_dict(parts.state("timing")), place),
}
"""Name -> reader of those that judge events."""

END_MEMBERS: dict[str, Callable[[Parts, int], EndMember]] = {
    "length": lambda parts, place: CountMember(Length.from_dict(parts.state("length")), place),
    "count_vector": lambda parts, place: CountMember(CountVector.from_dict(parts.state("count_vector")), place),
    "count_vector_idf": lambda parts, place: CountMember(
        CountVectorIdf.from_dict(parts.state("count_vector_idf")), place
    ),
    "ngram": lambda parts, place: SequenceMember(Ngram.from_dict(parts.state("ngram")), place),
    "edit_distance": lambda parts, place: SequenceMember(EditDistance.from_dict(parts.state("edit_distance")), place),
    "logbert": lambda parts, place: SequenceMember(
        LogBERT.from_graph(_vocabulary(parts), parts.graph("logbert")), place
    ),
    "logbert_distance": lambda parts, place: SequenceMember(_logbert_distance(parts), place),
}
"""Name -> reader of those that judge closed sessions."""

_ORDER = (
    "new_event", "deeplog", "length", "count_vector", "count_vector_idf", "ngram", "edit_distance", "timing",
    "deeplog_values", "loganomaly", "loglstm", "keyvalue", "cldtlog", "logbert", "logbert_distance",
)  # fmt: skip
PLACES = {name: place for place, name in enumerate(_ORDER)}
"""Under which a session remembers each member's peaks: stored, so a new detector goes to the end."""

TIMEFRAME = "autolog"
"""Judges timeframes: beside the sessions, and no member of their ensemble."""

RATE = "rate"
"""Judges how many lines come: beside the sessions as well."""

DETECTORS = (*PLACES, TIMEFRAME, RATE)

DEFAULT = ("new_event", "deeplog", "length", "count_vector")
"""What is trained where nobody says otherwise."""


def load_judge(
    detectors: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, bytes],
    provider: str,
    threads: int,
    exemplar_of: Callable[[int], str],
) -> Judge:
    """Read a bundle's detectors and ensemble. Raises BundleError naming what is missing, unknown or damaged."""
    unknown = sorted(set(detectors) - set(DETECTORS))
    if unknown:
        raise BundleError(f"detector {unknown[0]!r} is not known to this Tocsin; upgrade it to use this bundle")
    graphs: list[Graph] = []

    def open_graph(name: str) -> Graph:
        graphs.append(Graph(files[graph_file(name)], provider, threads))
        return graphs[-1]

    parts = {name: Parts(settings, files, open_graph, exemplar_of, detectors) for name, settings in detectors.items()}
    try:
        events = [read(parts[name], PLACES[name]) for name, read in EVENT_MEMBERS.items() if name in parts]
        sessions = [read(parts[name], PLACES[name]) for name, read in END_MEMBERS.items() if name in parts]
        ensemble = Ensemble.from_dict(orjson.loads(files[ENSEMBLE]))
        known = frozenset(NewEvent.from_dict(orjson.loads(files[state_file("new_event")])).known.tolist())
    except KeyError as error:
        raise BundleError(f"the bundle lacks {error}; restore it or train it again") from error
    except (AttributeError, DataError, TypeError, ValueError) as error:
        raise BundleError(f"a detector's state is damaged ({error}); restore the bundle or train it again") from error
    members = {member.name for member in events} | {member.name for member in sessions}
    if not members >= set(ensemble.calibrations):
        raise BundleError(
            f"the bundle has the detectors {sorted(members)} but its ensemble was fitted on "
            f"{sorted(ensemble.calibrations)}; restore it or train it again"
        )
    used = {graph.provider for graph in graphs}
    workflow = Diagnostician(Workflow.from_json(files[WORKFLOW])) if WORKFLOW in files else None
    normals = Normals.from_json(files[NORMALS]) if NORMALS in files else None
    return Judge(events, sessions, ensemble, known, "cuda" if used == {"cuda"} else "cpu", workflow, normals)
