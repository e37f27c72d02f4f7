"""Judged events as bytes, so that the same are counted once, as columns, and back as a judge takes them.

Owns both forms. Does not know files, nor what was judged.

| column | of each distinct event |
| --- | --- |
| ``key``, ``history`` | its template id, and the ids before it, oldest first |
| ``elapsed`` | seconds since its session's previous event, NaN for the first; where the source keeps pauses |
| ``valued``, ``values``, ``earlier_values`` | whether its template has a model of its values; its vector; those before it, one after the other |
| ``codes``, ``earlier_codes`` | codes of its header fields; those of the events before it |
| ``text`` | its masked message |
| ``anomalous``, ``silenced``, ``count`` | whether it rang, whether it would have but for feedback, how often it came |
"""  # noqa: E501

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from models.members.event import Observed
from models.notes import CodeWindows, NoteSettings, ValueWindows
from models.sessions import Bool, Float64, Int64
from models.spool.layout import Layout
from models.windows import Windows

ANOMALOUS, SILENCED, VALUED = 1, 2, 4


def cell_type(layout: Layout) -> np.dtype[np.void]:
    """The fixed part of a packed event; its message follows."""
    notes = layout.notes
    fields: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [("flags", "u1"), ("key", "<i4")]
    if layout.width:
        fields.append(("history", "<i4", (layout.width,)))
    if notes.pauses:
        fields.append(("elapsed", "<f8"))
    if notes.values:
        fields.append(("values", "<f8", (notes.width,)))
        fields.append(("earlier_values", "<f8", (notes.values * notes.width,)))
    if notes.codes:
        fields.append(("codes", "<i8", (notes.fields,)))
        fields.append(("earlier_codes", "<i8", (notes.codes * notes.fields,)))
    return np.dtype(fields)


def pack(layout: Layout, rows: Observed, anomalous: Bool, silenced: Collection[int]) -> list[bytes]:
    """k events as bytes, equal exactly where all that is kept of them is."""
    size, windows = len(rows.key), rows.windows
    cells = np.zeros(size, dtype=cell_type(layout))
    cells["key"] = rows.key
    flags = np.where(anomalous, ANOMALOUS, 0)
    flags[list(silenced)] |= SILENCED
    if layout.width:
        cells["history"] = windows.history
    if windows.elapsed is not None:
        cells["elapsed"] = windows.elapsed
    if layout.notes.values and windows.values is not None:
        at = windows.values.at
        flags[at] |= VALUED
        cells["values"][at] = windows.values.values
        cells["earlier_values"][at] = windows.values.history.reshape(len(at), layout.notes.values * layout.notes.width)
    if layout.notes.codes and windows.codes is not None:
        cells["codes"] = windows.codes.codes
        cells["earlier_codes"] = windows.codes.earlier.reshape(size, layout.notes.codes * layout.notes.fields)
    cells["flags"] = flags
    fixed: list[bytes] = cells.view(f"V{cells.itemsize}").tolist()
    if not layout.texts:
        return fixed
    return [cell + text.encode("utf-8", "replace") for cell, text in zip(fixed, rows.texts, strict=True)]


def columns(layout: Layout, counted: Mapping[bytes, int]) -> pl.DataFrame:
    """Packed events with their counts as columns."""
    kind = cell_type(layout)
    cells = np.frombuffer(b"".join(name[: kind.itemsize] for name in counted), dtype=kind)
    flags = cells["flags"]
    made: dict[str, object] = {
        name: np.ascontiguousarray(cells[name]) for name in kind.names or () if name != "flags"
    } | {
        "anomalous": (flags & ANOMALOUS) > 0,
        "silenced": (flags & SILENCED) > 0,
        "count": np.fromiter(counted.values(), dtype=np.int64, count=len(counted)),
    }
    if layout.notes.values:
        made["valued"] = (flags & VALUED) > 0
    if layout.texts:
        made["text"] = [name[kind.itemsize :].decode("utf-8", "replace") for name in counted]
    return pl.DataFrame(made)


def layout_of(frame: pl.DataFrame, tail: int = 0) -> Layout:
    """What the events of ``columns`` hold."""

    def cells(name: str) -> int:
        kind = frame.schema.get(name)
        return int(kind.shape[-1]) if isinstance(kind, pl.Array) else 0

    width, fields = cells("values"), cells("codes")
    notes = NoteSettings(
        pauses="elapsed" in frame.columns,
        values=cells("earlier_values") // width if width else 0,
        width=width,
        codes=cells("earlier_codes") // fields if fields else 0,
        fields=fields,
    )
    return Layout(cells("history"), notes, "text" in frame.columns, tail)


def observed(frame: pl.DataFrame, need: Layout) -> Observed:
    """The events of ``columns`` as a judge takes them that reads ``need``, which they must hold."""
    size, own, notes = frame.height, layout_of(frame), need.notes
    history = np.empty((size, 0), dtype=np.int64)
    if need.width:
        history = _whole(frame, "history")[:, own.width - need.width :]
    values = codes = None
    if notes.values:
        at = np.flatnonzero(frame["valued"].to_numpy())
        before = _numbers(frame, "earlier_values")[at].reshape(len(at), own.notes.values, own.notes.width)
        values = ValueWindows(at, before[:, own.notes.values - notes.values :], _numbers(frame, "values")[at])
    if notes.codes:
        earlier = _whole(frame, "earlier_codes").reshape(size, own.notes.codes, own.notes.fields)
        codes = CodeWindows(earlier[:, own.notes.codes - notes.codes :], _whole(frame, "codes"))
    windows = Windows(
        history=history,
        row=np.arange(size),
        position=np.zeros(size, dtype=np.int64),
        started=np.zeros(size),
        elapsed=_numbers(frame, "elapsed") if notes.pauses else None,
        values=values,
        codes=codes,
    )
    texts: Sequence[str] = frame["text"].to_list() if need.texts else ()
    return Observed(windows, _whole(frame, "key"), texts)


def narrowed(rows: Observed, need: Layout) -> Observed:
    """Events as a judge takes them that reads ``need``, which they must hold: no more history than that."""
    windows, notes = rows.windows, need.notes
    values, codes = windows.values, windows.codes
    if values is not None:
        depth = values.history.shape[1] - notes.values
        values = replace(values, history=values.history[:, depth:]) if notes.values else None
    if codes is not None:
        depth = codes.earlier.shape[1] - notes.codes
        codes = replace(codes, earlier=codes.earlier[:, depth:]) if notes.codes else None
    history = windows.history[:, windows.history.shape[1] - need.width :]
    return replace(rows, windows=replace(windows, history=history, values=values, codes=codes))


def joined(parts: Sequence[Observed]) -> Observed:
    """Events of one layout, one part after the other; at least one."""
    first = parts[0].windows
    starts = np.cumsum([0, *(len(part.key) for part in parts)])
    values = codes = elapsed = None
    if first.elapsed is not None:
        elapsed = np.concatenate([p.windows.elapsed for p in parts if p.windows.elapsed is not None])
    if first.values is not None:
        own = [(p.windows.values, start) for p, start in zip(parts, starts.tolist(), strict=False)]
        values = ValueWindows(
            np.concatenate([v.at + start for v, start in own if v is not None]),
            np.concatenate([v.history for v, _ in own if v is not None]),
            np.concatenate([v.values for v, _ in own if v is not None]),
        )
    if first.codes is not None:
        codes = CodeWindows(
            np.concatenate([p.windows.codes.earlier for p in parts if p.windows.codes is not None]),
            np.concatenate([p.windows.codes.codes for p in parts if p.windows.codes is not None]),
        )
    size = int(starts[-1])
    history = np.concatenate([part.windows.history for part in parts])
    nothing = np.zeros(size, dtype=np.int64)
    windows = Windows(history, np.arange(size), nothing, np.zeros(size), elapsed, values, codes)
    return Observed(
        windows, np.concatenate([part.key for part in parts]), [text for part in parts for text in part.texts]
    )


def _whole(frame: pl.DataFrame, name: str) -> Int64:
    return np.asarray(frame[name].to_numpy(), dtype=np.int64)


def _numbers(frame: pl.DataFrame, name: str) -> Float64:
    return np.asarray(frame[name].to_numpy(), dtype=np.float64)
