"""Teaching detectors without a network: what was called normal is written into what they know.

Owns what "known" means for each, and that confirmed anomalies keep ringing: what would silence one is not taken in.
Does not know how a detector judges, nor where answers come from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import orjson

from models.baselines.count_vector import CountVector
from models.baselines.count_vector_idf import UNSEEN_WEIGHT, CountVectorIdf
from models.baselines.edit_distance import EditDistance
from models.baselines.length import Length
from models.baselines.new_event import NewEvent
from models.baselines.ngram import Ngram
from models.baselines.timing import Timing
from models.errors import BundleError, DataError
from models.lesson import Seen
from models.members.ended import CountMember, SequenceMember
from models.members.event import KeyMember, TimingMember
from models.registry import state_file
from models.sessions import Float64
from models.vocabulary import OVERFLOW
from training.learning.teaching import Learned, Part, Taught, Teach
from training.progress import Progress

State = dict[str, Any]
"""What a detector's ``to_dict`` gives."""


class Member(Protocol):
    """A detector as the judge asks it about lessons."""

    def score_seen(self, seen: Sequence[Seen]) -> Float64:
        """Raw outputs float64 [k]; NaN: no judgement."""


@dataclass(frozen=True, slots=True)
class Simple:
    """One detector: how it is asked about lessons in a state, and what its state is once it knows some."""

    member: Callable[[State], Member]
    knowing: Callable[[State, Sequence[Seen]], State]


def _more_keys(state: State, seen: Sequence[Seen]) -> State:
    # The overflow template takes what exceeds the cap: nobody can say that all of it is normal.
    fresh = {int(one["key"]) for one in seen if int(one["key"]) > OVERFLOW}
    return {"known": sorted({*NewEvent.from_dict(state).known.tolist(), *fresh})}


def _wider_range(state: State, seen: Sequence[Seen]) -> State:
    lengths = [sum(count for _, count in one["counts"]) for one in seen]
    return {"shortest": min(state["shortest"], *lengths), "longest": max(state["longest"], *lengths)}


def _more_vectors(state: State, seen: Sequence[Seen]) -> State:
    keys = [[key for key, _ in one["counts"]] for one in seen]
    counts = [[count for _, count in one["counts"]] for one in seen]
    learned = state.get("learned", 0) + len(seen)
    return {**state, "keys": state["keys"] + keys, "counts": state["counts"] + counts, "learned": learned}


def _more_weighted_vectors(state: State, seen: Sequence[Seen]) -> State:
    # A new template keeps the weight by which it was judged so far, so that no other distance changes.
    weighted = set(state["weighted"])
    fresh = list(dict.fromkeys(key for one in seen for key, _ in one["counts"] if key not in weighted))
    weights = {"weighted": state["weighted"] + fresh, "weights": state["weights"] + [UNSEEN_WEIGHT] * len(fresh)}
    return {**_more_vectors(state, seen), **weights}


def _more_ngrams(state: State, seen: Sequence[Seen]) -> State:
    fresh = Ngram.fit([np.array(one["sequence"], dtype=np.int64) for one in seen], int(state["order"]))
    return {**state, "known": state["known"] + fresh.to_dict()["known"]}


def _more_sequences(state: State, seen: Sequence[Seen]) -> State:
    return {"sequences": state["sequences"] + [list(one["sequence"]) for one in seen]}


def _wider_pauses(state: State, seen: Sequence[Seen]) -> State:
    place = {pair: at for at, pair in enumerate(zip(state["previous"], state["keys"], strict=True))}
    least, most = list(state["least"]), list(state["most"])
    for one in seen:
        at, pause = place[one["previous"], one["key"]], max(0.0, float(one["elapsed"]))
        least[at], most[at] = min(least[at], pause), max(most[at], pause)
    return {**state, "least": least, "most": most}


SIMPLE: dict[str, Simple] = {
    "new_event": Simple(lambda state: KeyMember(NewEvent.from_dict(state), 0), _more_keys),
    "length": Simple(lambda state: CountMember(Length.from_dict(state), 0), _wider_range),
    "count_vector": Simple(lambda state: CountMember(CountVector.from_dict(state), 0), _more_vectors),
    "count_vector_idf": Simple(lambda state: CountMember(CountVectorIdf.from_dict(state), 0), _more_weighted_vectors),
    "ngram": Simple(lambda state: SequenceMember(Ngram.from_dict(state), 0), _more_ngrams),
    "edit_distance": Simple(lambda state: SequenceMember(EditDistance.from_dict(state), 0), _more_sequences),
    "timing": Simple(lambda state: TimingMember(Timing.from_dict(state), 0), _wider_pauses),
}
"""Name -> how it is taught."""


def simple_teacher(name: str) -> Teach:
    """How one of ``SIMPLE`` is taught: the normal ones that ring are taken in, together where no confirmed anomaly
    falls silent by that, else one by one as far as none does."""
    simple = SIMPLE[name]

    def teach(part: Part, taught: Sequence[Taught], seed: int, progress: Progress) -> Learned | None:
        began = perf_counter()
        state = _state(part)
        try:
            raws = simple.member(state).score_seen([one.seen for one in taught]) if taught else np.empty(0)
        except (AttributeError, DataError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{part.name}: its state is damaged ({error}); restore the bundle") from error
        rings = (raws >= part.bar).tolist()
        strange = _distinct([one.seen for one, rang in zip(taught, rings, strict=True) if rang and one.normal])
        guarded = [one.seen for one, rang in zip(taught, rings, strict=True) if rang and not one.normal]

        def accepted(before: State, seen: Sequence[Seen]) -> State | None:
            """The state that knows all of ``seen``; None where one still rings, or a guarded one does not."""
            after = simple.knowing(before, seen)
            found = simple.member(after).score_seen([*seen, *guarded]) >= part.bar
            return None if found[: len(seen)].any() or not found[len(seen) :].all() else after

        learned, known = accepted(state, strange) if strange else None, len(strange)
        if learned is None:
            known = 0
            for done, one in enumerate(strange, 1):
                following = accepted(state if learned is None else learned, [one])
                if following is not None:
                    learned, known = following, known + 1
                progress(part.name, done, len(strange))
        if learned is None:
            return None
        told = {
            "lessons": len(strange), "below": known, "protected": len(guarded), "steps": known,
            "seconds": perf_counter() - began,
        }  # fmt: skip
        return Learned(dict(part.settings), {state_file(name): orjson.dumps(learned)}, told)

    return teach


def _state(part: Part) -> State:
    try:
        state: State = orjson.loads(part.files[state_file(part.name)])
    except KeyError as error:
        raise BundleError(f"the bundle lacks {error}; restore it or train it again") from error
    except orjson.JSONDecodeError as error:
        raise BundleError(f"{part.name}: its state is damaged ({error}); restore the bundle") from error
    return state


def _distinct(seen: Sequence[Seen]) -> list[Seen]:
    """Each once, in the order of the first."""
    return list({orjson.dumps(dict(one), option=orjson.OPT_SORT_KEYS): one for one in seen}.values())
