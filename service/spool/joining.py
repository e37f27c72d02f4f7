"""Batches that one version judged one after the other, as one.

Owns what may be joined. Callers may send line by line, and what is done at once for each of some thousand batches holds
up those that are being judged meanwhile.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from models.judgement import Judgement
from models.spool import rows
from service.pipeline.seen import Seen


def joined(seen: Iterable[Seen]) -> Iterator[Seen]:
    """The same events and closed sessions in the same order, in as few batches as can be; sweeps, which have no events,
    stay by themselves."""
    run: list[Seen] = []
    for one in seen:
        if run and not _alike(run[-1], one):
            yield _as_one(run)
            run = []
        run.append(one)
    if run:
        yield _as_one(run)


def _alike(one: Seen, other: Seen) -> bool:
    return (
        one.judge is other.judge
        and (one.version, one.tree_id, one.tail) == (other.version, other.tree_id, other.tail)
        and len(one.rows.key) > 0
        and len(other.rows.key) > 0
    )


def _as_one(run: Sequence[Seen]) -> Seen:
    first = run[0]
    if len(run) == 1:
        return first
    judged = replace(
        first.judged,
        closings=[closing for one in run for closing in one.judged.closings],
        rows=_columns([one.judged.rows for one in run]),
        closed=_columns([one.judged.closed for one in run]),
    )
    return replace(first, rows=rows.joined([one.rows for one in run]), judged=judged)


def _columns(parts: Sequence[Judgement | None]) -> Judgement | None:
    """Of several batches one after the other, what a spool keeps of verdicts: which rang and which were silenced."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    silenced: dict[int, str] = {}
    start = 0
    for part in known:
        if part.silenced:
            silenced |= {start + at: rule for at, rule in part.silenced.items()}
        start += len(part.anomalous)
    anomalous = np.concatenate([part.anomalous for part in known])
    untold = np.zeros(len(anomalous))
    return Judgement({}, untold, untold, anomalous, silenced)
