"""Section over faults planted in parameters and timing."""

from typing import Any

import torch

from training.benchmarks.values import run
from training.results.markdown import cell, command, number, table
from training.results.section import Asked, Pictures, Section, plain

SEED = 0
SHARE = 0.6


def show(result: dict[str, Any], commands: str, _pictures: Pictures) -> str:
    """Recall by material, kind and size of fault: a column a detector."""
    rows = result["rows"]
    detectors = list(dict.fromkeys(row["detector"] for row in rows))
    parts = []
    for material in dict.fromkeys(row["material"] for row in rows):
        own = [row for row in rows if row["material"] == material]
        cases = dict.fromkeys((row["fault"], row["sigma"], row["faults"]) for row in own)
        lines = []
        for fault, sigma, count in cases:
            by = {
                row["detector"]: row
                for row in own
                if (row["fault"], row["sigma"], row["faults"]) == (fault, sigma, count)
            }
            shown = [number(by[name]["recall"]) if name in by else "" for name in detectors]
            lines.append([cell(fault), "" if sigma is None else f"{sigma:g}", f"{count:,}", *shown])
        false = {row["detector"]: row.get("own_fpr") for row in own}
        lines.append(["false positives at raw 1", "", "", *(number(false.get(name), 4) for name in detectors)])
        title = (
            f"Recall of planted faults at {result['rate']:.0%} false positives of lines, {material}: split by time, "
            "seed "
            f"{result['seed']}"
        )
        parts += [table(title, ("fault", "sigma", "faults", *map(cell, detectors)), lines), command(commands)]
    about = (
        "A fault adds so many standard deviations (of that number in the training sessions) to what was logged: "
        "exactly 3, 4 or 6, or, under `3 to 30 sigma`, a size of its own, even on a logarithm, so that as many "
        "lie between 3 and 6 as between 6 and 12; training plants such faults in held-out lines of its own to "
        "choose limits by. `own scale` takes the deviations of the logarithm where the detector does. *series* "
        "are made-up sessions with autoregressive numbers, a tenth of them missing; *sample* is the recorded "
        "PostgreSQL log. `constant` changes a number that had one value only; a drift grows over five lines "
        "(`held`: and stays for five more) and counts as caught at any of them. `limits, best possible` is no "
        "detector: it is the most that one fixed upper limit for each number could catch, chosen on these very "
        "lines and faults, anew for each size. At exactly 3 sigma it says how far the sample itself lets any such"
        " limits come. Raw 1 is where training puts 1 % of false positives."
    )
    return "\n\n".join([*parts, about])


def _make(_asked: Asked) -> dict[str, Any]:
    torch.set_num_threads(1)
    found: dict[str, Any] = plain(run(SHARE, SEED))
    return found


SECTIONS = (
    Section(
        "values",
        "Parameter values and timing: planted faults",
        _make,
        show,
        lambda _asked: {"seed": SEED, "train_share": SHARE},
        lambda _asked: f"python -m training.benchmarks.values --train-share {SHARE} --seed {SEED}",
    ),
)
