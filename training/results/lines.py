"""Section over BGL_2k: what judges single lines and what judges timeframes, as a smoke test."""

from typing import Any

from training.autolog.smoke import autolog_compared, bgl_settings
from training.benchmarks.lines import ROWS, SHARE, read
from training.benchmarks.lines import Asked as Lines
from training.benchmarks.lines import run as run_lines
from training.cldtlog import CLDTLogSettings
from training.results.markdown import cell, command, figures, number, table
from training.results.plots import densities
from training.results.published import published_markdown
from training.results.section import Asked, Pictures, Section, plain
from training.results.shapes import by_entity

SEED = 0
_FIGURES = ("precision", "recall", "f1")
_HEADS = ("detector", "TP", "FP", "P", "R", "F1", "FPR", "MCC", "AUC")


def show(result: dict[str, Any], commands: str, pictures: Pictures) -> str:
    """Lines and timeframes: a table each, and how AutoLog's errors of each entity are spread."""
    lines, frames = result["lines"], result["frames"]
    tested = lines["lines"] - lines["train"]
    by_line = table(
        f"BGL_2k by line, a smoke test: the first {lines['train']:,} lines train ({lines['train_anomalous']} "
        "anomalous), "
        f"{lines['test_anomalous']} of the {tested} later ones are anomalous; seed {lines['seed']}, encoder "
        f"{lines['encoder']}",
        _HEADS,
        [_row(row) for row in lines["rows"]],
    )  # fmt: skip
    judged = sum(frames["rows"][0][count] for count in ("tp", "fp", "fn", "tn"))
    by_frame = table(
        f"BGL_2k by timeframe of {frames['chunk_s']:.0f} s, a smoke test: trained before {SHARE:.0%} of the lines, "
        f"{frames['rows'][0]['tp']} of the {judged:,} later timeframes are anomalous; seed {SEED}",
        _HEADS,
        [_row(row) for row in frames["rows"]],
    )
    about = (
        "Both say whether the parts work together; they say little of BGL. The set is a sample of one line in some "
        "2,400, "
        "split by time, with thresholds from the training part. Its anomalies come in bursts, and no text of those "
        "to judge "
        "was seen in training. `at 0.5` and `90th percentile` are the decisions of the papers. Most timeframes are "
        "empty."
    )  # fmt: skip
    links = []
    if frames.get("entities"):
        path = pictures.path("entities")
        densities(path, frames["entities"], "timeframes with a line of it", "AutoLog's squared error of the entity")
        links.append(pictures.link("Densities of AutoLog's errors by entity", path))
    return "\n\n".join(
        [by_line, command(commands.splitlines()[0]), by_frame, command(commands.splitlines()[1]), about,
         published_markdown("lines"), *links]
    )  # fmt: skip


def _row(row: dict[str, Any]) -> list[str]:
    return [
        cell(row["detector"]), f"{row['tp']:,}", f"{row['fp']:,}", *figures(row, _FIGURES), number(row["fpr"], 4),
        *figures(row, ("mcc", "auc")),
    ]  # fmt: skip


def _make(asked: Asked) -> dict[str, Any]:
    path = asked.data / "loghub2k" / "BGL_2k.log"
    lines = run_lines(path, list(ROWS), Lines(SEED, CLDTLogSettings(), asked.progress))
    bgl, settings = read(path), bgl_settings()
    compared = autolog_compared(bgl.records, bgl.anomalous, settings, SEED, SHARE, asked.progress)
    entities = by_entity(compared.errors, compared.active, compared.actual, compared.entities)
    frames = {
        "chunk_s": settings.chunk_s, "rows": [row.to_dict() for row in compared.rows], "entities": entities,
    }  # fmt: skip
    found: dict[str, Any] = plain({"lines": lines, "frames": frames})
    return found


SECTIONS = (
    Section(
        "lines",
        "Lines and timeframes: BGL_2k",
        _make,
        show,
        lambda _asked: {"seed": SEED},
        lambda _asked: f"python -m training.benchmarks.lines --seed {SEED}\npython -m training.results --only lines",
    ),
)  # fmt: skip
