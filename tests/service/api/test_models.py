"""``/models``: what versions say of themselves, which may go live, and the way back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from models.bundle import Bundle
from models.registry import ENSEMBLE
from service.cli.app import app
from service.errors import NotFound
from tests.golden import blocks
from tests.service.serving import NOW, Replica, blocks_bundle, later_shop_lines, shop_bundle, stored


def version_of(
    version: str, parent: str | None = "1", gate: dict[str, Any] | None = None, bundle: Bundle | None = None
) -> Bundle:
    """A bundle (default: the shop's) as another version, as a learner would leave it."""
    bundle = bundle or shop_bundle()
    manifest = bundle.manifest
    metrics = manifest.metrics if gate is None else {**manifest.metrics, "gate": gate}
    return Bundle.seal(replace(manifest, version=version, parent=parent, metrics=metrics), bundle.files)


PASSED = {"passed": True, "reasons": []}
REJECTED = {"passed": False, "reasons": ["3 of 200 normal rows ring", "a confirmed anomaly is quiet"]}


async def model(replica: Replica, source: str = "shop") -> dict[str, Any]:
    models = (await replica.get("/models"))["models"]
    return dict(next(model for model in models if model["source"] == source))


async def post(replica: Replica, what: str, body: object = None, **how: Any) -> tuple[int, dict[str, Any]]:
    response = await replica.http.post(f"/models/shop/{what}", json=body, **how)
    return response.status_code, dict(response.json())


async def test_versions_tell_their_parents_and_gates_and_which_is_live(replica: Replica, tmp_path: Path) -> None:
    stored(tmp_path / "bundles", version_of("2", gate=PASSED), version_of("3", "2", REJECTED))
    told = await model(replica)
    assert told["versions"] == ["1", "2", "3"]
    one, two, three = told["details"]
    assert (one["state"], one["parent"], one["gate"], one["created"]) == ("live", None, None, NOW)
    assert (two["state"], two["parent"], two["gate"], two["rejected"]) == (None, "1", PASSED, None)
    assert (three["parent"], three["rejected"]) == ("2", "; ".join(REJECTED["reasons"]))
    assert [(a["version"], a["how"], a["at"]) for a in told["activations"]] == [("1", "first", NOW)]
    assert told["previous"] is None


async def test_a_rejected_candidate_is_refused_with_the_reasons_of_its_gate(replica: Replica, tmp_path: Path) -> None:
    stored(tmp_path / "bundles", version_of("2", gate=REJECTED))
    status, answer = await post(replica, "activate", {"version": "2", "reset_sessions": True})
    assert status == 409
    for reason in REJECTED["reasons"]:
        assert reason in answer["error"]
    assert (await replica.ingest("shop", later_shop_lines(50)))["versions"]["bundle"] == "1"
    assert (await model(replica))["live"] == "1"


async def test_each_roll_back_goes_one_version_further_back(replica: Replica, tmp_path: Path) -> None:
    stored(tmp_path / "bundles", version_of("2", gate=PASSED), version_of("3", "2", PASSED))
    lines = later_shop_lines(50)
    who = {"headers": {"X-Tocsin-Author": "ada"}}
    for version in ("2", "3"):
        assert (await post(replica, "activate", {"version": version}, **who))[0] == 200
    assert (await replica.ingest("shop", lines))["versions"]["bundle"] == "3"
    assert (await model(replica))["previous"] == "2"
    for was, now in (("3", "2"), ("2", "1")):
        status, answer = await post(replica, "rollback", **who)
        assert (status, answer["was"], answer["live"]) == (200, was, now)
        assert (await replica.ingest("shop", lines))["versions"]["bundle"] == now
    status, answer = await post(replica, "rollback", {})
    assert status == 409
    assert "no version was live before 1" in answer["error"]
    made = (await model(replica))["activations"]
    assert [(one["version"], one["how"], one["by"]) for one in made] == [
        ("1", "first", None),
        ("2", "activated", "ada"),
        ("3", "activated", "ada"),
        ("2", "rolled_back", "ada"),
        ("1", "rolled_back", "ada"),
    ]


async def test_going_back_to_another_tree_needs_reset_sessions(replica: Replica, tmp_path: Path) -> None:
    stored(tmp_path / "bundles", shop_bundle("2", "another tree", 6_000))
    assert (await post(replica, "activate", {"version": "2", "reset_sessions": True}))[0] == 200
    status, answer = await post(replica, "rollback")
    assert status == 409
    assert "reset_sessions" in answer["error"]
    assert (await model(replica))["live"] == "2"
    assert (await post(replica, "rollback", {"reset_sessions": True}))[0] == 200
    versions = (await replica.ingest("shop", later_shop_lines(50)))["versions"]
    assert (versions["bundle"], versions["tree"]) == ("1", "shop-tree")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/models/nowhere/rollback", None, 404),
        ("/models/no%20name/rollback", None, 404),
        ("/models/shop/rollback", {"version": "1"}, 422),
        ("/models/shop/rollback", [], 422),
    ],
)
async def test_a_roll_back_that_makes_no_sense_is_refused(
    replica: Replica, path: str, body: object, status: int
) -> None:
    response = await replica.http.post(path, json=body)
    assert response.status_code == status, response.text
    assert response.json()["error"]


def stricter(version: str, threshold: float, bundle: Bundle | None = None) -> Bundle:
    """A bundle (default: the block store's) with another threshold."""
    bundle = version_of(version, bundle=bundle or blocks_bundle())
    ensemble = orjson.loads(bundle.files[ENSEMBLE]) | {"threshold": threshold}
    return Bundle.seal(bundle.manifest, {**bundle.files, ENSEMBLE: orjson.dumps(ensemble)})


async def test_diff_tells_which_verdicts_on_live_traffic_a_version_would_change(
    replica: Replica, tmp_path: Path
) -> None:
    stored(tmp_path / "bundles", stricter("2", 1e9), version_of("3", bundle=blocks_bundle()))
    verdicts = (await replica.ingest("blocks", blocks.golden_log()))["verdicts"]
    rang = sum(v["anomalous"] for v in verdicts if v["kind"] == "line")
    await replica.core.spool.flush()
    told = await replica.get("/models/blocks/diff", to="2")
    assert (told["source"], told["from"], told["to"]) == ("blocks", "1", "2")
    assert told["events"]["quiet"] == rang > 0
    assert told["events"]["rings"] == told["events"]["both"] == 0
    line = next(change for change in told["changes"] if change["kind"] == "line")
    assert line["change"] == "quiet"
    assert line["template"] == (await replica.texts("blocks"))[line["template_id"]]
    back = await replica.get("/models/blocks/diff", **{"from": "2", "to": "1"})
    assert back["events"]["rings"] == rang
    same = await replica.get("/models/blocks/diff", to="3")
    assert (same["changes"], same["events"]["both"]) == ([], rang)
    less = await replica.get("/models/blocks/diff", to="3", limit=5)
    assert 0 < less["events"]["all"] < same["events"]["all"]


async def test_diff_without_spooled_traffic_says_what_to_do(replica: Replica, tmp_path: Path) -> None:
    stored(tmp_path / "bundles", version_of("2"), shop_bundle("3", "another tree", 6_000))
    nothing = await replica.http.get("/models/shop/diff", params={"to": "2"})
    assert nothing.status_code == 404
    assert "TOCSIN_SPOOL_ROWS" in nothing.json()["error"]
    other = await replica.http.get("/models/shop/diff", params={"to": "3"})
    assert other.status_code == 409
    assert "different template trees" in other.json()["error"]
    for query, status in (({"to": "9"}, 404), ({}, 422), ({"to": "2", "limit": "0"}, 422)):
        assert (await replica.http.get("/models/shop/diff", params=query)).status_code == status
    assert (await replica.http.get("/models/nowhere/diff", params={"to": "2"})).status_code == 404


async def test_diff_on_the_command_line_reads_the_same_spool(replica: Replica, tmp_path: Path) -> None:
    stored(tmp_path / "bundles", stricter("2", 1e9))
    await replica.ingest("blocks", blocks.golden_log())
    await replica.core.spool.flush()
    places = ["--bundles", str(tmp_path / "bundles"), "--spool", str(tmp_path / "spool")]
    done = CliRunner().invoke(app, ["bundles", "diff", "blocks", "1", "2", *places, "--json"])
    told = orjson.loads(done.stdout)
    served = await replica.get("/models/blocks/diff", to="2")
    assert (told["events"], told["sessions"]) == (served["events"], served["sessions"])
    shown = CliRunner().invoke(app, ["bundles", "diff", "blocks", "1", "2", *places])
    assert f"{told['events']['quiet']:,} with 1 alone" in " ".join(shown.stdout.split())
    empty = CliRunner().invoke(app, ["bundles", "diff", "blocks", "1", "2", *places[:2], "--spool", str(tmp_path)])
    assert isinstance(empty.exception, NotFound)
    assert str(tmp_path) in str(empty.exception)
