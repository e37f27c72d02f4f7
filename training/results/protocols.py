"""An evaluation of a bundle as JSON with what pictures need, and as Markdown.

Owns the table of ``tocsin evaluate --markdown`` and of the results page. Draws nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from models.bundle import Bundle
from training.evaluation import Protocol
from training.results.markdown import cell, number, small, table
from training.results.shapes import shapes

HEADS = ("detector", "TP", "FP", "FN", "P", "R", "F1", "FPR", "MCC", "AUC", "ms/event")


def protocols_of(bundle: Bundle, protocols: Sequence[Protocol]) -> list[dict[str, Any]]:
    """Plain JSON of each protocol; ``shapes`` of its scores, ``members`` those that have a say in the ensemble."""
    thresholds = {**bundle.manifest.metrics["thresholds"], "ensemble": bundle.manifest.ensemble["threshold"]}
    members = list(bundle.manifest.ensemble["weights"])
    return [
        {
            **protocol.to_dict(),
            "members": members,
            "shapes": shapes(protocol.scores, protocol.actual, thresholds),
        }
        for protocol in protocols
    ]


def protocol_markdown(protocol: Mapping[str, Any]) -> str:
    """The table of one protocol and what it does not say of the ensemble."""
    title = (
        f"{protocol['protocol']}: {protocol['sessions']:,} sessions, {protocol['anomalous']:,} anomalous, "
        f"{protocol['epochs']:,} epochs closed in the whole log"
    )
    members = protocol["members"]
    rows = [
        [
            cell(row["detector"]) + (" (witness)" if _is_witness(row, members) else ""),
            *(f"{row[count]:,}" for count in ("tp", "fp", "fn")),
            *(number(row[figure]) for figure in ("precision", "recall", "f1")),
            number(row["fpr"], 4),
            number(row["mcc"]),
            number(row["auc"]),
            small(row["ms_per_event"]),
        ]
        for row in protocol["rows"]
    ]
    said = [f"- {_gap(protocol['rows'], members)}"]
    delay = next(row["delay_events"] for row in protocol["rows"] if row["detector"] == "ensemble")
    if delay is not None:
        said.append(f"- Detection delay: the ensemble rings at event {delay:.0f} of a caught session (median).")
    said += [
        f"- {cell(kind)}: the ensemble caught {found['caught']} of {found['of']}."
        for kind, found in protocol["recall_by_kind"].items()
    ]
    return "\n".join([table(title, HEADS, rows), "", *said])


def _is_witness(row: Mapping[str, Any], members: Collection[str]) -> bool:
    return row["ms_per_event"] is not None and row["detector"] != "ensemble" and row["detector"] not in members


def _gap(rows: Sequence[Mapping[str, Any]], members: Collection[str]) -> str:
    ensemble = next(row for row in rows if row["detector"] == "ensemble")
    measured = [row for row in rows if row["ms_per_event"] is not None and row is not ensemble]
    member = max((row for row in measured if row["detector"] in members), key=lambda row: row["f1"])
    said = f"Ensemble: F1 {ensemble['f1']:.3f}; its best member alone, {member['detector']}: {member['f1']:.3f} "
    said += f"({ensemble['f1'] - member['f1']:+.3f} to it)"
    witnesses = [row for row in measured if row["detector"] not in members]
    if witnesses:
        best = max(witnesses, key=lambda row: row["f1"])
        said += f"; best witness, {best['detector']}: {best['f1']:.3f} ({ensemble['f1'] - best['f1']:+.3f} to it)"
    return said + "."
