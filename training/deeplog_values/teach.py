"""Teaching the parameter-value model: the normal range of a number that was called normal is widened to take it in.

Owns how far a range may widen. Does not know how it came about, nor where answers come from.

The network stays, other than in the paper. Its normal ranges are those of its own deviations on sessions that it did
not learn from; with other weights they would hold no longer, for the template taught and, as templates share one LSTM,
for all others. One more deviation that was normal belongs into the range, which is what is written here. So nothing
needs rehearsing: no raw output rises, and no other template's changes. What it costs is said by its bound: no range
becomes more than ``WIDEST`` times what training found, however often it is taught; what lies beyond stays with its
rule.
"""

import copy
import math
from collections.abc import Sequence
from statistics import NormalDist
from time import perf_counter
from typing import Any

import numpy as np
import orjson

from models.deeplog_values.detector import DeepLogValues
from models.deeplog_values.limits import FIRST, MEAN, NEXT, of_reach, size_at
from models.errors import BundleError
from models.graph import Graph
from models.lesson import Seen, array
from models.members.event import ValueMember
from models.sessions import Float64
from training.learning.floors import floors
from training.learning.teaching import Learned, Part, Taught
from training.progress import Progress

NAME = "deeplog_values"
GRAPH, STATE = f"{NAME}.onnx", f"{NAME}.json"
ROOM = 0.02
"""Share of the bar by which a lesson has to lie below it."""
WIDEST = 4.0
"""How many times what training found a range may become."""
_ROUNDING = 1e-9

State = dict[str, Any]


def teach_deeplog_values(part: Part, taught: Sequence[Taught], seed: int, progress: Progress) -> Learned | None:
    """See ``training.learning.teaching.Teach``. Lessons are taken in one by one, each unless a real anomaly would lose
    by it. Nothing is drawn by chance, so the seed has no part in it."""
    began = perf_counter()
    try:
        state: State = orjson.loads(part.files[STATE])
        graph = Graph(part.files[GRAPH], "cpu")
    except KeyError as error:
        raise BundleError(f"{NAME}: the bundle lacks {error}; restore it or train it again") from error
    except orjson.JSONDecodeError as error:
        raise BundleError(f"{NAME}: the state is damaged ({error}); restore the bundle") from error
    if not isinstance(state, dict):
        raise BundleError(f"{NAME}: the state is damaged; restore the bundle")
    detector = DeepLogValues.from_dict(state, graph)
    raws = _raws(detector, [one.seen for one in taught])
    rings = raws >= part.bar
    lessons = _distinct([one.seen for one, rang in zip(taught, rings, strict=True) if rang and one.normal])
    protected = rings & np.array([not one.normal for one in taught], dtype=np.bool_)
    guarded = [one.seen for one, kept in zip(taught, protected, strict=True) if kept]
    low = floors(part, raws[protected])
    known = 0
    for done, seen in enumerate(lessons, 1):
        wider = _wider(state, detector, seen, part.bar * (1.0 - ROOM))
        if wider is not None:
            following = DeepLogValues.from_dict(wider, graph)
            if _raws(following, [seen])[0] < part.bar and (_raws(following, guarded) >= low).all():
                state, detector, known = wider, following, known + 1
        progress(NAME, done, len(lessons))
    if not known:
        return None
    told = {
        "lessons": len(lessons), "below": known, "protected": len(guarded), "steps": known,
        "seconds": perf_counter() - began,
    }  # fmt: skip
    return Learned(dict(part.settings), {STATE: orjson.dumps(state)}, told)


def _raws(detector: DeepLogValues, seen: Sequence[Seen]) -> Float64:
    return ValueMember(detector, 0).score_seen(seen)


def _distinct(seen: Sequence[Seen]) -> list[Seen]:
    return list({orjson.dumps(dict(one), option=orjson.OPT_SORT_KEYS): one for one in seen}.values())


def _wider(state: State, detector: DeepLogValues, seen: Seen, target: float) -> State | None:
    """The state by which ``seen`` has a raw output of ``target`` at most; None where that is too far."""
    key, values = int(seen["key"]), array(seen["values"])
    history = array(seen["history"])
    history = history[len(history) - detector.window :]
    measured = detector.measure(np.array([key], dtype=np.int64), history[None], values[None])
    state = copy.deepcopy(state)
    template = state["templates"][str(key)]
    if "limits" not in template:
        template["limits"] = of_reach(np.array(template.pop("reach"))).tolist()
        template.pop("found", None)
    # What training found, whatever was taught since.
    found = template.setdefault("found", {name: copy.deepcopy(template[name]) for name in ("limits", "mu", "sigma")})
    for column, position in enumerate(template["positions"]):
        value = float(values[column])
        if position["constant"] is not None and math.isfinite(value) and value != position["constant"]:
            # A number that has another value is no constant: as few samples as leave the check without a say.
            least = math.floor(target / (1.0 - detector.confidence)) - 2
            if least < 0:
                return None
            position["samples"] = min(position["samples"], least)
    if detector.rule == "gaussian":
        spread = NormalDist().inv_cdf((1.0 + detector.confidence) / 2.0)
        bound, error = template["mu"] + spread * template["sigma"], float(measured.error[0])
        raw = error / bound if bound > 0.0 and error == error else 0.0
        return state if _looser(template, found, raw, target) else None
    for column, limits in enumerate(template["limits"]):
        prediction = NEXT if measured.seen[0, column] else FIRST
        for kind, off in ((prediction, measured.prediction), (MEAN, measured.mean)):
            signed = float(off[0, column])
            side = int(signed > 0.0)
            own = np.array(limits[kind][side])
            factor = abs(signed) / size_at(own, target)
            if not factor >= 1.0:
                continue
            # Where limits of several levels are one, the raw output leaps there.
            wider = own * factor * (1.0 + _ROUNDING)
            if (wider > WIDEST * np.array(found["limits"][column][kind][side])).any():
                return None
            limits[kind][side] = wider.tolist()
    return state


def _looser(template: State, found: State, raw: float, target: float) -> bool:
    """Raise the bound on the mean squared error so that ``raw``, a multiple of it, becomes ``target``; whether that was
    not too far."""
    factor = raw / target
    if factor <= 1.0:
        return True
    # tau is a sum of multiples of the two.
    if any(factor * template[name] > WIDEST * found[name] for name in ("mu", "sigma")):
        return False
    template["mu"], template["sigma"] = factor * template["mu"], factor * template["sigma"]
    return True
