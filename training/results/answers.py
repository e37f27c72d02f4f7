"""Section over what people's answers come to: a team that marks false alarms, by rules alone and learned, and an author
who marks the true ones."""

import time
from typing import Any

import torch

from models.source.config import Source
from training.corpus import silent
from training.desk import ALONE
from training.learning.replayed import replay_learned
from training.logs import digest, read_labels, read_lines
from training.prequential import GATHER, attack, by_rules, ways
from training.progress import Progress
from training.results.markdown import cell, command, figures, table
from training.results.section import Asked, Pictures, Section, plain
from training.train import Input, TrainSettings, train

SHARES = (0.6, 0.5)
DELAYS = (0, 200)
CLICKS = 200
SEED = 0
_FIGURES = ("precision", "recall", "f1")
_CLICKS = ("clicks", "second_author", "repeated_causes")
_LEARNED = ("candidates", "published", "rejected", "rules_retired")


def measure(source: Source, given: Input, settings: TrainSettings, progress: Progress) -> dict[str, Any]:
    """Train on the earlier part of a labelled log; the rest under a team's answers, which whole sessions are also
    learned from, and under an adversary's."""
    assert given.labels is not None, "labels"
    bundle = train(source, given, settings, version="1", tree_id="results", created=time.time(), fitting=progress)
    log, labels, arrival = given.lines, given.labels, given.arrival
    (_, streamed) = ways(bundle, log, labels, arrival, None, silent)
    team: list[dict[str, Any]] = []
    for delay in DELAYS:
        (learned,) = replay_learned(bundle, log, labels, arrival, delay, streamed=False)
        team += [learned.to_dict(), by_rules(streamed, delay, ALONE).to_dict()]
    found: dict[str, Any] = plain(
        {
            "train_share": settings.train_share,
            "team": team,
            "adversary": [own.to_dict() for own in attack(bundle, log, labels, arrival, CLICKS)],
        }
    )
    return found


def show(result: dict[str, Any], commands: str, _pictures: Pictures) -> str:
    """Tables of the team, of what was learned from it, and of the adversary, a row for each split and protocol."""
    team, learned, adversary = [], [], []
    for split in result["splits"]:
        share = f"first {split['train_share']:.0%} train"
        for own in split["team"]:
            without, answered, *taught = own["rows"]
            where = [cell(share), cell(own["protocol"])]
            if own["delay_lines"] == DELAYS[0]:
                team.append([*where, "no answers", *_counts(without), "0", "0", ""])
            late = f"{own['delay_lines']} lines after it rang"
            team.append([*where, late, *_counts(answered), *(str(own[name]) for name in _CLICKS)])
            for row in taught:
                told = own["learning"]
                team.append([*where, f"{late}, and learned", *_counts(row), *(str(told[name]) for name in _CLICKS)])
                reasons = cell("; ".join(told["reasons"]))
                learned.append([cell(share), late, *(str(told[name]) for name in _LEARNED), reasons])
        for own in split["adversary"]:
            rang = [f"{row['recall']:.3f} ({row['tp']})" for row in own["rows"]]
            adversary.append([cell(share), cell(own["protocol"]), *rang, str(own["clicks"]), str(own["refused"])])
    heads = ("split", "protocol", "answered", "TP", "FP", "P", "R", "F1", "clicks", "a second author's", "cause again")
    against = ("split", "protocol", "before", "after", "after DELETE of the author", "clicks", "refused")
    taking = ("split", "answered", "candidates", "published", "rejected", "rules retired", "why rejected")
    about = (
        "Prequential: every event is judged by the version that is live and the rules in force when it came, and never "
        "again. The team marks each false incident once. An author may silence four verdicts a week alone; a second "
        "one agrees to what passes that, and each such answer is a click. Where it is said so, what a second author "
        f"agreed to is also learned, as `tocsin learner` does, {GATHER:,} lines later, of the lines up to there; "
        "otherwise rules alone. The adversary is one author who marks every true anomaly as false, at once. What makes "
        "two alarms one cause, and the four, were compared on these very sets, so none of this is blind; the "
        "thresholds use no label."
    )
    return "\n\n".join(
        [
            table("A team that answers", heads, team),
            *([table("What was learned of it, whole sessions", taking, learned)] if learned else []),
            table(f"Recall under an author who marks up to {CLICKS} true anomalies as false", against, adversary),
            command(commands),
            about,
        ]
    )


def _counts(row: dict[str, Any]) -> list[str]:
    return [str(row["tp"]), str(row["fp"]), *figures(row, _FIGURES)]


def _make(asked: Asked) -> dict[str, Any]:
    torch.set_num_threads(1)
    log, labels = (asked.data / "hdfs" / name for name in ("hdfs.log.gz", "labels.csv"))
    given = Input(read_lines([log]), digest([log]), read_labels(labels), time.time())
    return {
        "splits": [
            measure(Source.load("hdfs"), given, TrainSettings(train_share=share, seed=SEED), asked.progress)
            for share in SHARES
        ]
    }


def _commands(_asked: Asked) -> str:
    data = "$TOCSIN_DATASETS_DIR/hdfs"
    files = f"--logs {data}/hdfs.log.gz --labels {data}/labels.csv"
    lines = []
    for share in SHARES:
        folder = f"data/hdfs_{share * 100:.0f}"
        lines.append(f"tocsin train hdfs {files} --out {folder} --version 1 --seed {SEED} --train-share {share}")
        answered = f"tocsin evaluate {folder}/hdfs/1 {files} --feedback simulated --delay"
        lines += [f"{answered} {delay}{learned}" for delay in DELAYS for learned in ("", " --learn")]
        lines.append(f"tocsin evaluate {folder}/hdfs/1 {files} --feedback adversary --clicks {CLICKS}")
    return "\n".join(lines)


SECTIONS = (Section("answers", "What people's answers come to", _make, show, lambda _asked: {"seed": SEED}, _commands),)
