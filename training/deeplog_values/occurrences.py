"""Every event of some sessions with its numbers, and each template's own earlier ones: what is learned from.

Owns reading a log's numbers in bulk and the histories. Does not know which numbers are worth predicting.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.deeplog_values.layout import Place, placed
from models.deeplog_values.number import MISSING, number
from models.record import Records
from models.sessions import Bool, Float64, Int64
from models.template.parameters import extract
from models.template.tree import TemplateTree
from training.corpus import CutSession


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one template: their ``places`` and ``masks``, and the numbers ``values`` float64 [n, places]
    of its n events in the order of ``events`` int64 [n], NaN where one is no number; ``words`` bool [n, places]: where
    it is something else, and not just missing."""

    places: list[Place]
    masks: list[str]
    events: Int64
    values: Float64
    words: Bool


@dataclass(frozen=True, slots=True)
class Occurrences:
    """n events by session, template, and then line order, so that a template's earlier ones in the session stand right
    before it. ``session`` int64 [n], which of the sessions given; ``key`` int64 [n]; ``elapsed`` float64 [n], seconds
    since the latest event before it in the session, NaN for the first; ``record`` int64 [n]; ``earlier`` int64 [n],
    how many of its template there are before it in the session."""

    session: Int64
    key: Int64
    elapsed: Float64
    record: Int64
    earlier: Int64

    def __len__(self) -> int:
        return len(self.key)


def occurrences(sessions: Sequence[CutSession]) -> Occurrences:
    """Events of ``sessions``."""
    if not sessions:
        nothing = np.empty(0, dtype=np.int64)
        return Occurrences(nothing, nothing, np.empty(0), nothing, nothing)
    session = np.repeat(np.arange(len(sessions)), [len(one.keys) for one in sessions])
    key = np.concatenate([one.keys for one in sessions])
    record = np.concatenate([one.records for one in sessions])
    elapsed = np.concatenate([elapsed_of(one.times) for one in sessions])
    order = np.lexsort((np.arange(len(key)), key, session))
    session, key, elapsed, record = session[order], key[order], elapsed[order], record[order]
    begins = np.ones(len(key), dtype=np.bool_)
    begins[1:] = (np.diff(session) != 0) | (np.diff(key) != 0)
    first = np.flatnonzero(begins)
    earlier = np.arange(len(key)) - np.repeat(first, np.diff(np.append(first, len(key))))
    return Occurrences(session, key, elapsed, record, earlier)


def elapsed_of(times: Float64) -> Float64:
    """Seconds since the latest event before each, float64 [n]; NaN for the first, 0.0 where lines are out of order."""
    found = np.full(len(times), np.nan)
    found[1:] = np.maximum(times[1:] - np.maximum.accumulate(times)[:-1], 0.0)
    return found


def parameters(given: Occurrences, records: Records, tree: TemplateTree) -> dict[int, Parameters]:
    """The parameters of each template that has any, by id."""
    found: dict[int, Parameters] = {}
    order = np.argsort(given.key, kind="stable")
    keys, first = np.unique(given.key[order], return_index=True)
    for key, events in zip(keys.tolist(), np.split(order, first[1:]), strict=True):
        tokens = tree.template(key).tokens
        if not any("<" in token for token in tokens):
            continue
        read = [extract(tokens, message) for message in records.message.gather(given.record[events]).to_list()]
        model = next((own for own in read if own), None)
        if model is None:
            continue
        texts = [[parameter.value for parameter in own] if own else [""] * len(model) for own in read]
        values = np.array([[number(text) for text in own] for own in texts], dtype=np.float64)
        absent = np.array([[text in MISSING for text in own] for own in texts], dtype=np.bool_)
        places = [place for place, _ in placed(model)]
        masks = [parameter.mask for parameter in model]
        found[key] = Parameters(places, masks, events, values, np.isnan(values) & ~absent)
    return found


def histories(given: Occurrences, values: Float64, events: Int64, h: int) -> Float64:
    """The ``h`` vectors before each of ``events`` int64 [m] of the same template in the same session, oldest first,
    float64 [m, h, width], NaN where there is nothing; ``values`` float64 [n, width]."""
    back = np.arange(h, 0, -1)
    at = events[:, None] - back
    there = given.earlier[events][:, None] >= back
    return np.where(there[:, :, None], values[np.where(there, at, 0)], np.nan)
