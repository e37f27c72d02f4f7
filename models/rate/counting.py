"""Lines counted by bucket of time and template, in the shape in which timeframes are counted.

Owns the shape: a bucket is a frame (``models.autolog.frames``) with one entity, and a template's id is a term. So the
rules of lateness, closing and silence are those of timeframes, and so is what stores them.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from models.autolog.frames import Frame, Group, Tally, chunk_of
from models.sessions import Float64, Int64, watermarks

EVERYTHING = "source"
"""The one entity of a bucket."""


def tally(time: Float64, ids: Int64, bucket_s: float, prior_max: float, lateness_s: float) -> Tally:
    """Count records by their ``time`` float64 [n] (seconds) and template ``ids`` int64 [n]; ``prior_max`` is the
    largest time before them (-inf: none). Late records are in none, as of timeframes."""
    chunk = chunk_of(time, bucket_s)
    late = chunk < chunk_of(watermarks(time, prior_max, lateness_s), bucket_s)
    counted = (
        pl.DataFrame({"chunk": chunk[~late], "key": ids[~late]})
        .group_by("chunk", "key")
        .len("count")
        .sort("chunk", "key")
        .with_columns(pl.col("key").cast(pl.String), pl.col("count").cast(pl.Int64))
        .group_by("chunk", maintain_order=True)
        .agg("key", "count")
    )
    groups = [Group(number, EVERYTHING, sum(counts), keys, counts) for number, keys, counts in counted.iter_rows()]
    return Tally(groups, int(late.sum()))


def matrix(frames: Sequence[Frame], keys: Sequence[int]) -> Float64:
    """Counts of each frame, float64 [frames, 2 + keys]: of all lines, of those of each of the templates ``keys``, and
    of the rest."""
    found = np.zeros((len(frames), len(keys) + 2))
    for row, frame in enumerate(frames):
        terms = frame.counts.get(EVERYTHING, {})
        found[row, 0] = frame.lines
        found[row, 1:-1] = [terms.get(str(key), 0) for key in keys]
    found[:, -1] = found[:, 0] - found[:, 1:-1].sum(axis=1)
    return found
