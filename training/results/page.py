"""The page of every section that was made: Markdown, and pictures beside it."""

from collections.abc import Sequence
from pathlib import Path

from models.errors import ConfigError
from training.results.markdown import command, small, table
from training.results.section import PICTURES, Pictures, Record, Section

READING = """P, R, F1, FPR, MCC and AUC: precision, recall, their harmonic mean, false alarms as a share of the normal,
Matthews' correlation coefficient and the area under the ROC curve. P\\* and F1\\*: what P and F1 would be at the
prevalence of the whole data set, where a sample holds a larger share of anomalies. Detectors of sessions, lines and
timeframes have thresholds that saw no test data."""


def write_page(path: Path, made: Sequence[tuple[Section, Record]], made_by: str) -> None:
    """Write the page and draw its pictures in the folder ``pictures`` beside it. Raises ConfigError where it cannot."""
    folder = path.parent / PICTURES
    parts = ["# Results", command(made_by).join(("Made by\n\n", "")), READING, _machine(made)]
    for section, record in made:
        shown = section.show(record.result, record.command, Pictures(folder, f"{section.name}-"))
        again = f"Again: `python -m training.results --only {section.name}`"
        parts += [f"## {section.title}", shown, again]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _machine(made: Sequence[tuple[Section, Record]]) -> str:
    rows = [
        [
            f"[{section.title}](#{_anchor(section.title)})",
            record.made[:10],
            str(record.cores),
            small(record.took_s / 60.0),
            ", ".join(f"{name} {value}" for name, value in record.given.items() if isinstance(value, int | float)),
        ]
        for section, record in made
    ]
    measured = table("When and where", ("section", "date (UTC)", "cores", "minutes", "given"), rows)
    by: dict[str, list[str]] = {}
    for section, record in made:
        by.setdefault(", ".join(f"{name} {value}" for name, value in record.versions.items()), []).append(section.name)
    if len(by) == 1:
        return f"{measured}\n\nVersions: {next(iter(by))}."
    return f"{measured}\n\nVersions:\n\n" + "\n".join(f"- {', '.join(names)}: {text}" for text, names in by.items())


def _anchor(title: str) -> str:
    """As GitHub names a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")
