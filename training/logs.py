"""Reading people's log files and label files. Plain or gzip; bytes that are no UTF-8 become replacement characters."""

import csv
import gzip
import hashlib
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import DataError

TRUE = frozenset({"1", "true", "yes", "anomaly", "anomalous"})
FALSE = frozenset({"0", "false", "no", "normal", "-"})


@dataclass(frozen=True, slots=True)
class Labels:
    """Which sessions are anomalous, and of what kind where the file says so. Used to exclude and to evaluate only."""

    anomalous: dict[str, bool]
    kind: dict[str, str]


def read_lines(paths: Sequence[Path]) -> list[str]:
    """Lines of the files in the order given. Raises DataError where a file is missing, damaged or empty."""
    lines: list[str] = []
    for path in paths:
        try:
            raw = path.read_bytes()
            content = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"cannot read {path}: {error}") from error
        own = content.decode("utf-8", "replace").split("\n")
        if own and not own[-1]:
            own.pop()
        lines.extend(line.removesuffix("\r") for line in own)
    if not lines:
        raise DataError(f"no lines in {', '.join(map(str, paths))}: nothing to do")
    return lines


def digest(paths: Sequence[Path]) -> dict[str, str]:
    """sha256 of each file by its name, for a bundle's provenance; of files with one name by their paths as given."""
    names = Counter(path.name for path in paths)
    return {
        path.name if names[path.name] == 1 else str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def read_labels(path: Path) -> Labels:
    """A CSV with the columns ``session`` and ``anomalous`` (0 or 1), and ``kind`` if wanted.

    Raises DataError naming the line of a label that cannot be read.
    """
    anomalous: dict[str, bool] = {}
    kind: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"session", "anomalous"} - set(reader.fieldnames or ())
            if missing:
                raise DataError(f"{path} has no column {sorted(missing)[0]!r}; it needs session,anomalous")
            for row in reader:
                value = (row["anomalous"] or "").strip().lower()
                if value not in TRUE | FALSE:
                    raise DataError(f"{path} line {reader.line_num}: anomalous is {value!r}, not 0 or 1")
                if not row["session"]:
                    raise DataError(f"{path} line {reader.line_num}: no session id")
                anomalous[row["session"]] = value in TRUE
                if row.get("kind"):
                    kind[row["session"]] = row["kind"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read labels from {path}: {error}") from error
    if not anomalous:
        raise DataError(f"{path} holds no labels")
    return Labels(anomalous, kind)
