"""Drawings as small SVG files that are the same for the same data.

Owns how results look. Does not know how they are measured: it draws what ``shapes`` and the sections give.
"""

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from models.errors import ConfigError

NORMAL, ANOMALOUS, DARK, PALE = "#3b75af", "#d1495b", "#333333", "#b5b5b5"
LINES = (NORMAL, ANOMALOUS, "#5a9e6f", "#b07aa1", "#e1a23b", "#6f6f6f")
COLUMNS = 4
LEAST_SHARE = 1e-4
"""Bottom of a density: what is rarer is not drawn."""
EVENTS_PER_S = 20_000
"""What every online detector should reach; drawn as a line."""

# Any: matplotlib types the names of its settings one by one.
_STYLE: Any = {
    "svg.hashsalt": "tocsin",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7.0,
    "axes.titlesize": 8.0,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#777777",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
}
_DIGITS = re.compile(r"(\d\.\d)\d+")
_WORDLESS = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
_BLANK = re.compile(r"\s*\n\s*")
_LEVEL = re.compile(r' transform="rotate\(-0 [^"]*"')
_FONT = "font-family: 'DejaVu Sans', sans-serif"

Shape = Mapping[str, Any]


def densities(path: Path, panels: Mapping[str, Shape], of: str = "sessions", what: str = "raw output") -> None:
    """One panel a detector (or an entity): how raw outputs (or ``what``) of normal and of anomalous sessions (or ``of``
    what else) are spread, and its threshold where there is one."""

    def panel(axes: Axes, shape: Shape) -> None:
        edges = np.array(shape["edges"])
        zero = 1e-3 * (edges[-1] - edges[0])
        if shape["width"] is not None:
            axes.set_xscale("asinh", linear_width=shape["width"])
        for name, colour in (("normal", NORMAL), ("anomalous", ANOMALOUS)):
            height = np.maximum(np.array(shape[name]), LEAST_SHARE)
            steps = np.append(True, np.diff(height) != 0.0)
            outline = np.append(edges[:-1][steps], edges[-1])
            face, edge = to_rgba(colour, 0.25), to_rgba(colour)
            axes.stairs(
                height[steps], outline, baseline=LEAST_SHARE, fill=True, facecolor=face, edgecolor=edge, linewidth=1.0
            )
        if shape["threshold"] is not None:
            axes.axvline(shape["threshold"], color=DARK, linewidth=0.9, linestyle=(0, (3, 2)))
        axes.set_yscale("log")
        axes.set_ylim(LEAST_SHARE, 1.5)
        axes.set_xlim(edges[0], edges[-1])
        axes.xaxis.set_major_locator(FixedLocator(_ends(edges, shape["width"])))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "0" if abs(value) < zero else f"{value:.2g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(FixedLocator([1.0, 0.01, LEAST_SHARE]))
        axes.yaxis.set_minor_locator(NullLocator())

    legend: list[Any] = [
        Patch(color=NORMAL, alpha=0.5, label="normal"),
        Patch(color=ANOMALOUS, alpha=0.5, label="anomalous"),
    ]
    if any(shape["threshold"] is not None for shape in panels.values()):
        legend.append(Line2D([], [], color=DARK, linewidth=0.9, linestyle=(0, (3, 2)), label="rings from here on"))
    _grid(path, panels, panel, f"share of the class's {of}", what, legend)


def precision_recall(path: Path, panels: Mapping[str, Shape], corrected: bool = False) -> None:
    """One panel a detector: its curve, the ensemble's pale behind it, and where its threshold lies."""
    ensemble = panels.get("ensemble")

    def panel(axes: Axes, shape: Shape) -> None:
        if ensemble is not None and shape is not ensemble:
            axes.step(ensemble["recall"], ensemble["precision"], color=PALE, linewidth=1.0)
        axes.step(shape["recall"], shape["precision"], color=NORMAL, linewidth=1.3)
        if shape["at"] is not None:
            axes.plot(*([value] for value in shape["at"]), "o", color=ANOMALOUS, markersize=4, clip_on=False)
        axes.set_xlim(0.0, 1.02)
        axes.set_ylim(0.0, 1.04)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator([0.0, 0.5, 1.0]))

    legend = [
        Line2D([], [], color=NORMAL, linewidth=1.3, label="detector"),
        Line2D([], [], color=PALE, linewidth=1.0, label="ensemble"),
        Line2D([], [], color=ANOMALOUS, marker="o", linestyle="", markersize=4, label="at its threshold"),
    ]
    if ensemble is None:
        del legend[1]
    _grid(path, panels, panel, "precision, corrected" if corrected else "precision", "recall", legend)


def training_curves(path: Path, panels: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """One panel a detector: its losses by epoch."""

    def panel(axes: Axes, curves: Mapping[str, Sequence[float]]) -> None:
        longest = 1
        for (name, values), colour in zip(sorted(curves.items()), LINES * len(curves), strict=False):
            chosen = np.unique(np.linspace(0, len(values) - 1, 60).round().astype(np.int64))[: len(values)].tolist()
            heights = [math.nan if values[at] is None else float(values[at]) for at in chosen]
            marker = "o" if len(chosen) == 1 else ""
            axes.plot([at + 1 for at in chosen], heights, color=colour, label=name, linewidth=1.2, marker=marker)
            longest = max(longest, len(values))
        axes.xaxis.set_major_locator(FixedLocator([1, longest] if longest > 1 else [1]))
        axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(3))
        axes.legend(frameon=False, fontsize=6, handlelength=1.2)

    _grid(path, panels, panel, "loss", "epoch", [])


def speeds(path: Path, ms: Mapping[str, float]) -> None:
    """Milliseconds of scoring an event by detector, on a log scale."""
    ordered = sorted(ms.items(), key=lambda entry: entry[1], reverse=True)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.2, 0.5 + 0.2 * len(ordered)), layout="constrained")
        axes = figure.add_subplot()
        limit = 1e3 / EVENTS_PER_S
        values = [value for _, value in ordered]
        low = 10 ** math.floor(math.log10(min([*values, limit])))
        high = 10 ** math.ceil(math.log10(max([*values, limit]) * 2.0))
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.axvline(limit, color=ANOMALOUS, linewidth=0.9, linestyle=(0, (3, 2)))
        axes.annotate(
            f"{EVENTS_PER_S:,} events/s", (limit, 1.0), (2, 1), xycoords=("data", "axes fraction"),
            textcoords="offset points", color=ANOMALOUS, fontsize=6, va="bottom",
        )  # fmt: skip
        for place, (_, value) in enumerate(ordered):
            axes.plot([low, value], [place, place], color=PALE, linewidth=0.8)
            axes.plot([value], [place], "o", color=NORMAL, markersize=4)
            axes.annotate(f"{value:.2g}", (value, place), (5, 0), textcoords="offset points", fontsize=6, va="center")
        axes.set_yticks(range(len(ordered)), [name for name, _ in ordered])
        axes.set_ylim(-0.7, len(ordered) - 0.3)
        axes.xaxis.set_major_locator(LogLocator(numticks=8))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("milliseconds an event")
        _save(figure, path)


def draw_protocols(protocols: Sequence[Shape], folder: Path, prefix: str = "") -> list[tuple[str, Path]]:
    """Pictures of evaluations as JSON with their ``shapes``: what each shows, and its file in ``folder``."""
    drawn: list[tuple[str, Path]] = []
    for protocol in protocols:
        title = protocol["protocol"]
        stem = f"{prefix}{'whole' if title.startswith('whole') else 'streamed'}"
        path = folder / f"{stem}-densities.svg"
        densities(path, protocol["shapes"]["density"])
        drawn.append((f"Densities of raw outputs ({title})", path))
        if protocol["shapes"]["precision_recall"]:
            path = folder / f"{stem}-precision-recall.svg"
            precision_recall(path, protocol["shapes"]["precision_recall"])
            drawn.append((f"Precision and recall ({title})", path))
    ms = {row["detector"]: row["ms_per_event"] for row in protocols[0]["rows"] if row["ms_per_event"]}
    if ms:
        path = folder / f"{prefix}speed.svg"
        speeds(path, ms)
        drawn.append(("Milliseconds of scoring an event", path))
    return drawn


def _grid(
    path: Path,
    panels: Mapping[str, Any],
    panel: Callable[[Axes, Any], None],
    ylabel: str,
    xlabel: str,
    legend: list[Any],
) -> None:
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(max(4.0, 2.0 * columns), 0.6 + 1.35 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(panels):
                axes.set_axis_off()
                continue
            name = list(panels)[place]
            axes.set_title(name, pad=3)
            panel(axes, panels[name])
            if place % columns and ylabel != "loss":
                axes.tick_params(left=False, labelleft=False)
        figure.supylabel(ylabel, fontsize=7)
        figure.supxlabel(xlabel, fontsize=7)
        if legend:
            figure.legend(handles=legend, loc="outside upper center", ncols=len(legend), frameon=False)
        _save(figure, path)


def _ends(edges: Any, width: float | None) -> list[float]:
    """Both ends of an axis and its middle as it is drawn."""
    first, last = float(edges[0]), float(edges[-1])
    return [first, (first + last) / 2.0 if width is None else float(edges[len(edges) // 2]), last]


def _save(figure: Figure, path: Path) -> None:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    text = _LEVEL.sub("", _DIGITS.sub(r"\1", _WORDLESS.sub("", buffer.getvalue())))
    text = _BLANK.sub("\n", text).replace("\nL ", "L").replace(f"{_FONT}; ", "")
    text = text.replace("*{stroke-linejoin", f"text{{{_FONT}}}*{{stroke-linejoin", 1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write a picture to {path}: {error.strerror}") from error
