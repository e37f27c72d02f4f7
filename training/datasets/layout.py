"""Archives as published into one log and one CSV of labels, as ``tocsin train`` and ``tocsin evaluate`` read them.

Owns what publishers call their files and how they write labels. Does not know where an archive came from. Nothing is
extracted outside the folder given, whatever an archive's names say.
"""

import csv
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO

from models.errors import DataError

LABELS = "labels.csv"
Rows = Iterable[tuple[str, bool, str]]
"""Session, whether it is anomalous, and what kind (empty where nobody says)."""

_APPLICATION = re.compile(r"application_[0-9]+_[0-9]+")
_INSTANCE = re.compile(r"(?:instance: |/servers/|/instances/)([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RECORD = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} ")
_NODE_AT = 3
"""Place of the node among the words of a BGL or Thunderbird line; the label is the first word."""

Member = tuple[str, IO[bytes]]


def lay_out(name: str, archive: Path, folder: Path) -> tuple[Path, Path]:
    """Log and labels of data set ``name`` made from its ``archive``, in ``folder``. Raises DataError where the archive
    is damaged or lacks a file."""
    folder.mkdir(parents=True, exist_ok=True)
    log, labels = folder / f"{name}.log", folder / LABELS
    try:
        rows = LAYOUTS[name](archive, log)
        with labels.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("session", "anomalous", "kind"))
            writer.writerows((session, int(bad), kind) for session, bad, kind in rows)
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, KeyError, UnicodeDecodeError) as error:
        raise DataError(
            f"{archive} is damaged or not what its publisher describes ({error}); fetch it again"
        ) from error
    return log, labels


def members(archive: Path) -> Iterator[Member]:
    """Every plain file of a zip or tar archive, by its name inside, read only."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if not info.is_dir():
                    with opened.open(info) as file:
                        yield info.filename, file
        return
    with tarfile.open(archive) as bundle:
        for entry in bundle:
            content = bundle.extractfile(entry) if entry.isfile() else None
            if content is not None:
                with closing(content):
                    yield entry.name, content


def _hdfs(archive: Path, log: Path) -> Rows:
    rows: list[tuple[str, bool, str]] = []
    for name, file in members(archive):
        base = PurePosixPath(name).name
        if base == "HDFS.log":
            _copy(file, log)
        elif base == "anomaly_label.csv":
            lines = file.read().decode().splitlines()
            rows = [(row["BlockId"], row["Label"] == "Anomaly", "") for row in csv.DictReader(lines)]
    return _present(rows, archive, "anomaly_label.csv")


def _by_node(archive: Path, log: Path) -> Rows:
    """Alerts stand in front of each line: a node is anomalous where any line of it is an alert, of the first's kind."""
    for name, file in members(archive):
        if PurePosixPath(name).name.lower() == log.name:
            _copy(file, log)
    found: dict[str, str] = {}
    with log.open("rb") as lines:
        for line in lines:
            words = line.split(None, _NODE_AT + 1)
            if len(words) > _NODE_AT:
                label, node = words[0].decode("utf-8", "replace"), words[_NODE_AT].decode("utf-8", "replace")
                if found.setdefault(node, label) == "-":
                    found[node] = label
    return _present(
        [(node, label != "-", "" if label == "-" else label) for node, label in found.items()], archive, "log"
    )


def _hadoop(archive: Path, log: Path) -> Rows:
    """Each application's lines, its id in front of each record; labels name applications under a heading each."""
    kinds: dict[str, str] = {}
    seen: set[str] = set()
    with log.open("w", encoding="utf-8") as out:
        for name, file in members(archive):
            text = file.read().decode("utf-8", "replace")
            application = _APPLICATION.search(name)
            if PurePosixPath(name).name == "abnormal_label.txt":
                kinds |= _under_headings(text)
            elif application is not None and name.endswith(".log"):
                seen.add(application[0])
                out.writelines(
                    f"{application[0]} {line}\n" if _RECORD.match(line) else f"{line}\n" for line in text.splitlines()
                )
    rows = [(name, kinds.get(name, "normal") != "normal", kinds.get(name, "")) for name in sorted(seen)]
    return _present(rows if kinds else [], archive, "abnormal_label.txt")


def _under_headings(text: str) -> dict[str, str]:
    """Application -> the heading that it stands under, in lower case."""
    kinds, kind = {}, ""
    for line in text.splitlines():
        application = _APPLICATION.search(line)
        if application is not None:
            kinds[application[0]] = kind
        elif line.strip().endswith(":"):
            kind = line.strip(" :#*").lower()
    return kinds


def _openstack(archive: Path, log: Path) -> Rows:
    """Every instance that a line names; those of ``anomaly_labels.txt`` are anomalous."""
    anomalous: set[str] = set()
    seen: set[str] = set()
    parts: dict[str, str] = {}
    for name, file in members(archive):
        base, text = PurePosixPath(name).name, file.read().decode("utf-8", "replace")
        if base == "anomaly_labels.txt":
            anomalous |= set(_UUID.findall(text))
        elif base.endswith(".log"):
            parts[base] = text
            seen |= set(_INSTANCE.findall(text))
    # Two normal days, then the one with faults, as their names say.
    order = sorted(parts, key=lambda base: ("abnormal" in base, base))
    log.write_text("".join(parts[base].rstrip("\n") + "\n" for base in order), encoding="utf-8")
    return _present([(name, name in anomalous, "") for name in sorted(seen)] if anomalous else [], archive, "labels")


LAYOUTS: dict[str, Callable[[Path, Path], Rows]] = {
    "hdfs": _hdfs, "bgl": _by_node, "thunderbird": _by_node, "hadoop": _hadoop, "openstack": _openstack,
}  # fmt: skip
"""Data set -> how its archive becomes a log (written) and labels (returned)."""


def _copy(file: IO[bytes], log: Path) -> None:
    with log.open("wb") as out:
        shutil.copyfileobj(file, out)


def _present(rows: list[tuple[str, bool, str]], archive: Path, what: str) -> Rows:
    if not rows:
        raise DataError(f"{archive} holds no {what}: it is not the archive that its publisher describes")
    return rows
