"""Training: nothing of the test part is learned, labels only exclude, and the same input gives the same bundle."""

import io
from dataclasses import replace

import numpy as np
import pytest

from models.bundle import Bundle
from models.errors import DataError
from models.source.config import Source
from tests.golden import blocks
from training.deeplog import DeepLogSettings
from training.logs import Labels
from training.stream import Stream
from training.train import Input, Material, TrainSettings, prepare, train

NOW = 1_800_000_000.0
SIMPLE = ("new_event", "length", "count_vector")


def normal_lines() -> list[str]:
    return blocks.normal_log()


def given(lines: list[str], anomalous: dict[str, bool] | None = None) -> Input:
    labels = None if anomalous is None else Labels(anomalous, {})
    return Input(lines, {"blocks.log": "0" * 64}, labels, NOW)


def trained(source: Source, of: Input, **settings: object) -> Bundle:
    chosen = replace(TrainSettings(detectors=SIMPLE), **settings)  # type: ignore[arg-type]
    return train(source, of, chosen, version="1", tree_id="tree", created=1.0)


def prepared(lines: list[str], anomalous: dict[str, bool] | None = None, share: float = 0.5) -> Material:
    return prepare(blocks.source(), given(lines, anomalous), share, "tree")


def late_line(text: str) -> str:
    return f"240501 015900 12 INFO store.Node: {text}"


def test_nothing_of_the_test_part_is_mined_or_trained_on() -> None:
    lines = normal_lines()
    planted = [late_line(f"planted words about blk_99999 number {at}") for at in range(5)]
    with_plant, without = prepared(lines + planted), prepared([*lines, late_line("served blk_99999 to 10.0.0.3:5001")])
    assert not any("planted" in text for text in with_plant.tree.texts().values())
    assert with_plant.tree.snapshot() == without.tree.snapshot()
    assert "blk_99999" in with_plant.split.test
    assert {s.session for s in with_plant.sessions} <= set(with_plant.split.train)
    assert with_plant.idle_s == blocks.IDLE_S
    assert any("planted" in text for text in prepared(lines + planted, share=1.0).tree.texts().values())


def test_session_that_goes_on_into_the_test_part_is_left_out() -> None:
    lines = normal_lines()
    early = prepared(lines).sessions[0].session
    again = prepared([*lines, late_line(f"served {early} to 10.0.0.3:5001")])
    assert early not in {session.session for session in again.sessions}
    assert again.excluded_open == prepared(lines).excluded_open + 1


def test_labels_exclude_anomalous_sessions_and_do_nothing_else() -> None:
    lines = normal_lines()
    names = [session.session for session in prepared(lines).sessions]
    assert len(names) == len(set(names))
    labels = {name: name in names[:10] for name in names}
    material = prepared(lines, labels)
    assert [session.session for session in material.sessions] == names[10:]
    assert [session.session for session in material.anomalous] == names[:10]
    no_anomaly = trained(blocks.source(), given(lines, dict.fromkeys(names, False)))
    unlabelled = trained(blocks.source(), given(lines))
    assert no_anomaly.files["ensemble.json"] == unlabelled.files["ensemble.json"]


def test_labels_of_another_log_are_an_error_that_shows_both() -> None:
    with pytest.raises(DataError, match=r"no session of the log is in the labels \(log: 'blk_0', labels: 'zzz'\)"):
        prepared(normal_lines(), {"zzz": True})


def test_log_in_which_all_is_anomalous_cannot_be_trained_on() -> None:
    lines = normal_lines()
    names = {session.session: True for session in prepared(lines).sessions}
    with pytest.raises(DataError, match=r"^0 normal sessions closed before the test part are too few"):
        prepared(lines, names)


def test_too_short_a_log_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"too few; Tocsin needs 50 \(a longer log"):
        trained(blocks.source(), given(blocks.normal_log(30)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_share": 0.0}, "train share 0.0 must be above 0"),
        ({"train_share": 60.0}, "train share 60.0"),
        ({"budget": 1.0}, "alert budget 1.0"),
        ({"budget": float("nan")}, "alert budget nan"),
        ({"detectors": ("new_event", "oracle")}, "no detector 'oracle'; there are new_event"),
        ({"detectors": ("",)}, "no detector ''"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_read(settings: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TrainSettings(**settings)  # type: ignore[arg-type]


def test_same_input_and_seed_give_the_same_bundle() -> None:
    first = trained(blocks.source(), given(normal_lines()), seed=3)
    again = trained(blocks.source(), given(normal_lines()), seed=3)
    assert first.manifest.to_json() == again.manifest.to_json()
    other = trained(blocks.source(), given(normal_lines()), seed=4)
    assert first.files["ensemble.json"] != other.files["ensemble.json"]


def test_bundle_opens_again_and_tells_what_it_was_trained_on() -> None:
    bundle = trained(blocks.source(), given(normal_lines()), train_share=0.8)
    told = bundle.manifest.provenance
    assert told["sessions_in_log"] == 220
    assert told["sessions_trained"] + told["sessions_left_out_open"] == 176
    assert (told["lines"], told["lines_rejected"], told["labels"]) == (len(normal_lines()), 0, False)
    assert bundle.source == blocks.source()
    assert set(bundle.manifest.metrics["held_out_false_alarm_rate"]) == {*SIMPLE, "ensemble"}
    assert not any(name.endswith((".pkl", ".pickle", ".joblib", ".pt")) for name in bundle.files)


def test_card_says_what_the_manifest_says() -> None:
    bundle = trained(blocks.source(), given(normal_lines()), train_share=0.8)
    card = bundle.files["CARD.md"].decode()
    assert card.startswith("# blocks 1\n")
    assert "the oldest 80% of the sessions" in card
    assert f"of these {bundle.manifest.provenance['sessions_trained']} normal" in " ".join(card.split())
    assert f"A session ends after {blocks.IDLE_S:.0f} s of silence" in card
    assert all(f"| {name} |" in card for name in (*SIMPLE, "ensemble"))


def test_normal_sessions_are_kept_for_incidents_to_be_compared_with() -> None:
    bundle = trained(blocks.source(), given(normal_lines()))
    normals = bundle.judge().normals
    assert normals is not None
    told = bundle.manifest.metrics["normals"]
    assert told == {"kept": len(normals), "sessions": normals.sessions}
    assert 0 < told["kept"] <= told["sessions"] <= bundle.manifest.provenance["sessions_trained"]
    assert f"Incidents are compared with {told['kept']} normal sessions" in bundle.files["CARD.md"].decode()
    without = {name: content for name, content in bundle.files.items() if name != "normals.json"}
    assert Bundle.seal(bundle.manifest, without).judge().normals is None, "older bundles lack them"


def test_members_are_those_asked_for_and_new_event() -> None:
    bundle = trained(blocks.source(), given(normal_lines()), detectors=("length",))
    judge = bundle.judge()
    assert [d.name for d in (*judge.events, *judge.sessions)] == ["new_event", "length"]


@pytest.fixture(scope="module")
def deeplog_bundle() -> Bundle:
    settings = DeepLogSettings(
        h=4, embedding=4, hidden=8, layers=1, epochs=1, steps=30, folds=2, screened=1, weight_powers=(1.0,)
    )
    chosen = TrainSettings(detectors=("deeplog", "new_event"), members={"deeplog": settings.to_dict()})
    bundle = train(blocks.source(), given(normal_lines()), chosen, version="1", tree_id="t", created=1.0)
    return Bundle.open({**bundle.files, "manifest.json": bundle.manifest.to_json()})


def test_deeplog_is_in_the_bundle_to_serve_and_to_fine_tune_from(deeplog_bundle: Bundle) -> None:
    assert {"deeplog.onnx", "deeplog.safetensors", "replay.npz"} <= deeplog_bundle.files.keys()
    (detector,) = [d for d in deeplog_bundle.judge().events if d.name == "deeplog"]
    assert detector.window == deeplog_bundle.manifest.session.tail == 4
    assert deeplog_bundle.manifest.detectors["deeplog"]["h"] == 4


def test_deeplogs_reasons_name_templates_in_words(deeplog_bundle: Bundle) -> None:
    stream = Stream(deeplog_bundle)
    (verdict,) = stream.feed([late_line("quarantine of blk_6 ordered by nobody")], NOW).verdicts
    (reason,) = [reason for reason in verdict["reasons"] if reason["detector"] == "deeplog"]
    assert reason["template"] == verdict["template"] == "quarantine of <BLK> ordered by nobody"
    texts = {*deeplog_bundle.tree().texts().values(), "(session ends)"}
    assert len(reason["expected"]) == 5
    assert {one["template"] for one in reason["expected"]} <= texts


def test_replayed_windows_load_without_pickle(deeplog_bundle: Bundle) -> None:
    with np.load(io.BytesIO(deeplog_bundle.files["replay.npz"]), allow_pickle=False) as sample:
        assert sample["history"].shape == (len(sample["key"]), 4)
