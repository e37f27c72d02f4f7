"""What a section of the page is, and what is kept of one that was made.

Owns the cache: one JSON file a section. Does not know what sections there are.
"""

import math
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from models.errors import ConfigError
from training.progress import Progress

PACKAGES = ("tocsin", "numpy", "polars", "torch", "onnxruntime", "onnxruntime-gpu", "scikit-learn")
PICTURES = "pictures"
"""Folder beside the page."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller chose: the folder of data sets, how many seeds (of slow detectors fewer), how many fits at
    a time, and where progress goes."""

    data: Path
    seeds: int
    slow_seeds: int
    jobs: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class Record:
    """A section that was made: ``result`` is plain JSON, ``made`` an ISO date in UTC, ``given`` what of the request
    decides the result."""

    section: str
    command: str
    given: dict[str, Any]
    made: str
    took_s: float
    cores: int
    versions: dict[str, str]
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Where a section's pictures go: files of ``folder`` whose names begin with ``prefix``."""

    folder: Path
    prefix: str

    def path(self, name: str) -> Path:
        """File of one picture."""
        return self.folder / f"{self.prefix}{name}.svg"

    def link(self, caption: str, path: Path) -> str:
        """The picture in Markdown, seen from the page."""
        return f"![{caption}]({self.folder.name}/{path.name})"


@dataclass(frozen=True, slots=True)
class Section:
    """``make`` measures, and raises DataError where a data set is missing; ``show`` gives Markdown and draws;
    ``given`` is what of the request decides the result; ``commands`` reproduce it without the page."""

    name: str
    title: str
    make: Callable[[Asked], dict[str, Any]]
    show: Callable[[dict[str, Any], str, Pictures], str]
    given: Callable[[Asked], dict[str, Any]]
    commands: Callable[[Asked], str]


def versions() -> dict[str, str]:
    """Of Python and of the packages that figures depend on, where installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def read_record(folder: Path, section: str) -> Record | None:
    """What is kept of a section. None where nothing is, or where it was kept by another version of this page."""
    try:
        content = orjson.loads((folder / f"{section}.json").read_bytes())
        return Record(**content)
    except FileNotFoundError:
        return None
    except (orjson.JSONDecodeError, TypeError):
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {folder / section}.json: {error.strerror}") from error


def write_record(folder: Path, record: Record) -> None:
    """Keep a section: all of it or nothing. Raises ConfigError where the folder cannot be written."""
    path = folder / f"{record.section}.json"
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(orjson.dumps(asdict(record), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def plain(value: Any) -> Any:
    """JSON of numbers, texts, lists and mappings; what is no finite number becomes None."""
    if isinstance(value, Mapping):
        return {str(key): plain(own) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(own) for own in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    return float(value) if math.isfinite(value) else None
