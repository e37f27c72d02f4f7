"""Judged ends of sessions as columns, and back as a judge takes them.

Owns both forms. Of sessions that had the same events, in the kept order, the first one's name and times stand for all.
Does not know files, nor what was judged.

| column | of each distinct session |
| --- | --- |
| ``session``, ``started``, ``last`` | its name and times in seconds, of the first such one |
| ``n``, ``tail`` | how many events it had, and its newest template ids |
| ``templates``, ``times`` | each template id, and how often it came |
| ``members``, ``peaks`` | places of members, and their largest raw outputs before the end, by the version that judged |
| ``anomalous``, ``silenced``, ``count`` | whether it rang, whether it would have but for feedback, how often it came |
"""

from collections.abc import Collection, Mapping, Sequence

import polars as pl

from models.sessions import Bool, Closing, SessionState

Packed = tuple[int, tuple[int, ...], tuple[tuple[int, int], ...], tuple[tuple[int, float], ...], bool, bool]
"""Events, tail, counts, peaks, whether it rang and whether it was silenced: equal where all that is kept is."""
First = tuple[str, float, float]
"""Name, start and last event of the first session of its kind."""

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "session": pl.String, "started": pl.Float64, "last": pl.Float64, "n": pl.Int64, "tail": pl.List(pl.Int32),
    "templates": pl.List(pl.Int32), "times": pl.List(pl.Int64), "members": pl.List(pl.UInt8),
    "peaks": pl.List(pl.Float64), "anomalous": pl.Boolean, "silenced": pl.Boolean, "count": pl.Int64,
}  # fmt: skip


def pack(closings: Sequence[Closing], anomalous: Bool, silenced: Collection[int]) -> list[Packed]:
    """k closed sessions, equal exactly where all that counts of them is."""
    return [
        (
            closing.state.n,
            closing.state.tail,
            tuple(sorted(closing.state.counts.items())),
            tuple(sorted(closing.peaks.items())),
            bool(anomalous[at]),
            at in silenced,
        )
        for at, closing in enumerate(closings)
    ]


def first(closing: Closing) -> First:
    """What stands for all of its kind."""
    return closing.session, closing.state.started, closing.state.last


def columns(counted: Mapping[Packed, tuple[int, First]]) -> pl.DataFrame:
    """Packed closings with their counts as columns."""
    lines = [
        (
            *named, n, tail, [key for key, _ in counts], [times for _, times in counts],
            [member for member, _ in peaks], [raw for _, raw in peaks], rang, silent, count,
        )
        for (n, tail, counts, peaks, rang, silent), (count, named) in counted.items()
    ]  # fmt: skip
    return pl.DataFrame(lines, schema=SCHEMA, orient="row")


def closings(frame: pl.DataFrame) -> list[Closing]:
    """The sessions of ``columns``, as if a sweep had closed them."""
    return [
        Closing(
            line["session"],
            SessionState(
                line["started"], line["last"], line["n"], tuple(line["tail"]),
                dict(zip(line["templates"], line["times"], strict=True)),
            ),
            dict(zip(line["members"], line["peaks"], strict=True)),
        )
        for line in frame.iter_rows(named=True)
    ]  # fmt: skip
