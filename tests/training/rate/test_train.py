"""Rates in a bundle: trained where asked for or by default, and beside everything else."""

import pytest

from models.bundle import Bundle
from models.errors import BundleError, ConfigError
from models.registry import DEFAULT
from tests.golden import rates
from training.train import Input, TrainSettings, train

SMALL = {
    "deeplog": {"h": 2, "epochs": 1, "steps": 5, "hidden": 4, "embedding": 4, "layers": 1, "folds": 2, "screened": 1}
}


def trained(days: float, settings: TrainSettings, peak: float = 6.0) -> tuple[Bundle, list[str]]:
    said: list[str] = []
    lines = list(rates.lines(rates.buckets(days, seed=1, peak=peak), rates.WORDS))
    given = Input(lines, {}, None, 1.8e9)
    bundle = train(rates.source(), given, settings, version="1", tree_id="t", created=1.8e9, say=said.append)
    return Bundle.open({**bundle.files, "manifest.json": bundle.manifest.to_json()}), said


def test_rates_change_nothing_of_what_they_stand_beside() -> None:
    without, _ = trained(2, TrainSettings(detectors=("length",)))
    beside, _ = trained(2, TrainSettings(detectors=("length", "rate")))
    assert without.rate_judge() is None
    judge = beside.rate_judge()
    assert judge is not None
    assert len(judge.detector.keys) == 6
    changed = {name for name in beside.files if beside.files[name] != without.files.get(name)}
    assert changed == {"rate.json", "CARD.md"}
    told = {name: beside.manifest.metrics[name] for name in without.manifest.metrics}
    assert told == dict(without.manifest.metrics)
    card = " ".join(beside.files["CARD.md"].decode().split())
    rate = beside.manifest.detectors["rate"]
    assert (
        f"its 6 most frequent templates, against the rhythm (daily) of {rate['days']:.1f} days; 1 false alarms a week"
        in card
    )
    assert [d.name for d in (*beside.judge().events, *beside.judge().sessions)] == ["new_event", "length"]


def test_default_has_rates_where_the_log_shows_a_rhythm() -> None:
    for days, wanted in ((2.1, True), (1.0, False)):
        bundle, _ = trained(days, TrainSettings(members=SMALL), peak=3.0)
        assert (bundle.rate_judge() is not None) == wanted
        assert set(bundle.manifest.detectors) - {"rate"} == set(DEFAULT)


def test_too_short_a_log_leaves_them_out_and_says_so() -> None:
    bundle, said = trained(0.1, TrainSettings(detectors=("length", "rate")), peak=400.0)
    assert bundle.rate_judge() is None
    assert "rate" not in bundle.manifest.detectors
    assert any(text.startswith("left out: rate needs at least 36 whole buckets") for text in said)


def test_settings_are_checked_before_anything_is_read() -> None:
    with pytest.raises(ConfigError, match=r"rate has no setting 'speed'"):
        TrainSettings(members={"rate": {"speed": 1}})


def test_bundle_without_its_file_is_refused() -> None:
    bundle, _ = trained(0.2, TrainSettings(detectors=("length", "rate")), peak=60.0)
    files = {name: content for name, content in bundle.files.items() if name != "rate.json"}
    with pytest.raises(BundleError, match=r"lacks 'rate.json'"):
        Bundle(bundle.manifest, files).rate_judge()
