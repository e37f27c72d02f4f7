"""A small log with its source file and labels, and a bundle that `tocsin train` made of it."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from service.cli.app import app
from tests.golden import blocks


@dataclass(frozen=True, slots=True)
class Workplace:
    """Files of one small project."""

    folder: Path
    source: Path
    log: Path
    labels: Path
    bundles: Path


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    folder = tmp_path_factory.mktemp("cli")
    place = Workplace(
        folder, folder / "blocks.yaml", folder / "blocks.log", folder / "labels.csv", folder / "own bundles"
    )
    place.source.write_text(yaml.safe_dump(blocks.source().to_dict()))
    late = [
        f"240501 0159{second:02d} 12 INFO store.Node: {words}"
        for second, words in enumerate(["blk_9001 is gone for good", "allocate blk_9002 for /jobs/1/part-2"])
    ]
    place.log.write_text("\n".join([*blocks.normal_log(), *late]) + "\n")
    labels = [f"blk_{number},0," for number in range(220)] + ["blk_9001,1,[red]lost", "blk_9002,0,"]
    place.labels.write_text("session,anomalous,kind\n" + "\n".join(labels) + "\n")
    return place


@pytest.fixture(scope="session")
def bundle(workplace: Workplace) -> Path:
    """Folder of version 1."""
    done = CliRunner().invoke(app, train_command(workplace))
    assert done.exit_code == 0, done.output
    return workplace.bundles / "blocks" / "1"


@pytest.fixture
def run() -> CliRunner:
    return CliRunner()


@pytest.fixture(scope="session")
def training(workplace: Workplace) -> list[str]:
    """A command that trains on the earlier part of the log."""
    return train_command(workplace)


def train_command(place: Workplace) -> list[str]:
    return [
        "train", str(place.source), "--logs", str(place.log), "--labels", str(place.labels), "--train-share", "0.9",
        "--detectors", "new_event,length,count_vector", "--out", str(place.bundles), "--json",
    ]  # fmt: skip
