"""Pictures are valid SVG, small, white behind, and the same for the same data."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from models.errors import ConfigError
from models.registry import DETECTORS
from training.results import plots
from training.results.shapes import shapes

LIMIT = 60 * 1024


@pytest.fixture(scope="module")
def drawn() -> dict[str, dict[str, object]]:
    """Shapes of as many detectors as there are, with outputs of every kind."""
    random = np.random.default_rng(0)
    actual = random.random(2000) < 0.1
    kinds = [
        random.poisson(1.0 + 2.0 * actual).astype(float),
        random.lognormal(0.0, 3.0, 2000) * (1 + 20 * actual),
        random.normal(size=2000) + 2 * actual,
        np.where(random.random(2000) < 0.1, -np.inf, 0.5 * actual),
    ]
    scores = {name: kinds[place % 4] for place, name in enumerate(DETECTORS)}
    return shapes({**scores, "ensemble": kinds[2]}, actual, dict.fromkeys(scores, 2.5), 0.03)


def parsed(path: Path) -> str:
    ET.parse(path)
    assert path.stat().st_size < LIMIT
    text = path.read_text()
    assert "fill: #ffffff" in text
    return text


def test_densities_and_curves_of_every_detector_are_small(drawn: dict[str, dict[str, object]], tmp_path: Path) -> None:
    plots.densities(tmp_path / "one" / "densities.svg", drawn["density"])
    plots.precision_recall(tmp_path / "curves.svg", drawn["precision_recall"])
    for text in (parsed(tmp_path / "one" / "densities.svg"), parsed(tmp_path / "curves.svg")):
        assert all(f">{name}</text>" in text for name in drawn["density"])


def test_drawing_again_gives_the_same_bytes(drawn: dict[str, dict[str, object]], tmp_path: Path) -> None:
    few = dict(list(drawn["density"].items())[:2])
    for name in ("a", "b"):
        plots.densities(tmp_path / name, few)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_training_curves_of_one_epoch_none_and_lost_numbers(tmp_path: Path) -> None:
    plots.training_curves(tmp_path / "t.svg", {"x": {"loss": [1.0]}, "y": {"loss": [], "other": [1.0, None, 0.5]}})
    assert ">other</text>" in parsed(tmp_path / "t.svg")


def test_speeds(tmp_path: Path) -> None:
    plots.speeds(tmp_path / "s.svg", {"slow": 3.0, "quick": 1e-4})
    text = parsed(tmp_path / "s.svg")
    assert ">20,000 events/s</text>" in text
    assert text.index(">slow<") < text.index(">quick<")


def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write a picture"):
        plots.speeds(tmp_path / "file" / "s.svg", {"quick": 1e-4})
