"""Sections over published key sequences: HDFS and Hadoop."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from models.registry import DETECTORS
from training.benchmarks.keys import PROBLEMS, READS_LINES, Problem, run
from training.results.markdown import cell, command, number, small, table
from training.results.plots import densities, precision_recall, speeds, training_curves
from training.results.published import published_markdown
from training.results.section import Asked, Pictures, Section, plain
from training.results.shapes import shapes
from training.simple import SIMPLE

NAMES = tuple(name for name in DETECTORS if name not in READS_LINES)
_CORRECTED = (("P*", "precision_star"), ("R", "recall"), ("F1*", "f1_star"))
_PLAIN = (("P", "precision"), ("R", "recall"), ("F1", "f1"))
_TOGETHER = "simple ones together"
_COMMON = (("FPR", "fpr"), ("MCC", "mcc"), ("AUC", "auc"))

Row = Mapping[str, Any]


def measure(problem: Problem, names: Sequence[str], asked: Asked, what: str) -> dict[str, Any]:
    """The benchmark's result with what pictures need, as plain JSON."""
    result, scores, curves = run(
        problem, names, asked.seeds, asked.slow_seeds, asked.jobs, lambda d, total: asked.progress(what, d, total)
    )
    # Pictures show the first seed, like the scores.
    thresholds = {row["detector"]: row["threshold"] for row in reversed(result["rows"]) if "threshold" in row}
    drawn = shapes(scores, problem.test.anomalous, thresholds, problem.prevalence)
    found: dict[str, Any] = plain({**result, "shapes": drawn, "curves": curves})
    return found


def tables(result: Mapping[str, Any], title: str) -> str:
    """One line a detector: its mean where there are several seeds, from the least to the most and each seed's."""
    corrected = result["prevalence"] is not None
    heads = (*(_CORRECTED if corrected else _PLAIN), *_COMMON)
    main = "f1_star" if corrected else "f1"
    trivial = next(row for row in result["rows"] if row["detector"] == "all positive")[main]
    means = {row["detector"]: row for row in result["means"]}
    rows = []
    for name in _ordered(result["rows"]):
        own = [row for row in result["rows"] if row["detector"] == name]
        shown = means.get(name, own[0])
        each = [row[main] for row in own]
        rows.append(
            [
                cell(name),
                *(number(shown[figure], 4 if corrected or figure == "fpr" else 3) for _, figure in heads),
                *([] if corrected else [f"{shown[main] - trivial:+.3f}"]),
                *_spread(each),
                *_costs(name, own),
            ]
        )  # fmt: skip
    beside = [] if corrected else [f"F1 to {trivial:.3f}"]
    last = (*beside, "least..most", "each seed", "µs/event", "fit s")
    text = table(title, ("detector", *(head for head, _ in heads), *last), rows)
    skipped = [f"- {cell(names)}: not measured. {cell(why)}." for names, why in sorted(result["skipped"].items())]
    return "\n".join([text, "", *skipped]) if skipped else text


def show_hdfs(result: dict[str, Any], commands: str, pictures: Pictures) -> str:
    """The HDFS section."""
    title = (
        f"HDFS log keys: fitted on {result['train_sessions']:,} normal sessions, thresholds from held-out normals, "
        "judged "
        f"on {result['test_anomalous']:,} anomalous and {result['test_normal']:,} normal ones; P* and F1* at a "
        "prevalence of "
        f"{result['prevalence']:.2%}; {result['seeds']} seeds, {result['slow_seeds']} of slow detectors"
    )
    about = (
        "Short sessions are judged like all others; duplicates, also of training sessions, stay in. Rows `> 0` need no "
        "threshold; rows `as published` have the threshold of their authors. Detectors without randomness are fitted "
        "once; pictures and times are those of the first seed. The set has no template texts: LogAnomaly reads ids and "
        "counts. logbert and logbert_distance are one network, with one time for both. The ensemble is that of "
        "new_event, length, count_vector and deeplog."
    )
    return "\n\n".join(
        [tables(result, title), command(commands), about, published_markdown("hdfs_keys"), *_drawn(result, pictures)]
    )


def show_hadoop(result: dict[str, Any], commands: str, pictures: Pictures) -> str:
    """The Hadoop section, every row beside the trivial one."""
    trivial = next(row for row in result["rows"] if row["detector"] == "all positive")["f1"]
    title = (
        f"Hadoop: fitted on {result['train_sessions']} normal sessions, judged on {result['test_anomalous']} "
        "anomalous and "
        f"{result['test_normal']} normal ones; to flag everything scores F1 {trivial:.3f}"
    )
    about = (
        f"What it means: with {result['train_sessions']} sessions to train on, too few can be held out to place a "
        f"threshold, and networks refuse to learn. {result['test_anomalous']} of the "
        f"{result['test_anomalous'] + result['test_normal']} judged sessions are anomalous, so a detector that "
        "rings on every "
        f"session scores {trivial:.3f}: a result at that figure flags everything, and one below it is worse than that "
        "by this measure."
    )  # fmt: skip
    return "\n\n".join(
        [tables(result, title), command(commands), about, published_markdown("hadoop"), *_drawn(result, pictures)]
    )


def _ordered(rows: Sequence[Row]) -> list[str]:
    """Trivial rows, the ensemble, members, classical ones."""
    names = list(dict.fromkeys(row["detector"] for row in rows))
    trivial = [row["detector"] for row in rows[: names.index(next(n for n in names if n in DETECTORS))]]
    return [*trivial, *(n for n in names if n == "ensemble"), *(n for n in names if n not in {*trivial, "ensemble"})]


def _costs(name: str, own: Sequence[Row]) -> list[str]:
    """Microseconds an event and seconds of fitting: nothing of those that are only timed together."""
    if name in SIMPLE:
        return ["", ""]
    return [small(own[0].get("us_per_event")), small(own[0].get("fit_s"))]


def _spread(each: Sequence[float]) -> list[str]:
    """From the least to the most, and each; nothing of one seed alone."""
    if len(each) < 2:
        return ["", ""]
    return [f"{min(each):.4f}..{max(each):.4f}", " ".join(f"{value:.4f}" for value in each)]


def _drawn(result: Mapping[str, Any], pictures: Pictures) -> list[str]:
    links = []
    drawn = result["shapes"]
    if drawn["density"]:
        path = pictures.path("densities")
        densities(path, drawn["density"])
        links.append(pictures.link("Raw outputs of normal and anomalous sessions by detector, first seed", path))
    if drawn["precision_recall"]:
        path = pictures.path("precision-recall")
        precision_recall(path, drawn["precision_recall"], corrected=result["prevalence"] is not None)
        links.append(pictures.link("Precision and recall by detector, first seed", path))
    curves = {name: own for name, own in result["curves"].items() if own}
    if curves:
        path = pictures.path("training")
        training_curves(path, curves)
        links.append(pictures.link("Losses by epoch, first seed", path))
    ms = {
        _TOGETHER if row["detector"] in SIMPLE else row["detector"]: row["us_per_event"] / 1e3
        for row in result["rows"]
        if row.get("us_per_event")
    }
    if ms:
        path = pictures.path("speed")
        speeds(path, ms)
        links.append(pictures.link("Milliseconds of scoring an event by detector", path))
    return links


def _make(name: str, asked: Asked) -> dict[str, Any]:
    return measure(PROBLEMS[name](asked.data), NAMES, asked, name)


def _commands(name: str, asked: Asked) -> str:
    seeds = f"--seeds {asked.seeds} --slow-seeds {asked.slow_seeds}"
    return f"python -m training.benchmarks.keys --set {name} {seeds} --jobs {asked.jobs}"


def _given(asked: Asked) -> dict[str, Any]:
    return {"seeds": asked.seeds, "slow_seeds": asked.slow_seeds}


SECTIONS = tuple(
    Section(name, title, partial(_make, name), show, _given, partial(_commands, name))
    for name, title, show in (
        ("hdfs_keys", "HDFS as key sequences", show_hdfs),
        ("hadoop", "Hadoop as key sequences", show_hadoop),
    )
)
