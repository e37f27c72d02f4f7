"""Sources that are configured while running, their templates, and which version judges them."""

import asyncio
from pathlib import Path

import pytest

from models.bundle import Bundle, Manifest
from service.settings import Settings
from tests.service.serving import Replica, later_shop_lines, running, shop_bundle, stored, until

WEB = {
    "header": {"kind": "raw"},
    "session": {"pattern": "user [a-z]+"},
    "masks": [{"name": "NUM", "pattern": "[0-9]+"}],
}


def renamed(bundle: Bundle, version: str) -> Bundle:
    """The same bundle as another version."""
    fields = {name: getattr(bundle.manifest, name) for name in Manifest.__dataclass_fields__}
    return Bundle.seal(Manifest(**{**fields, "version": version}), bundle.files)


async def test_a_source_without_a_model_learns_templates_and_says_so(replica: Replica) -> None:
    put = await replica.http.put("/sources/web", json=WEB)
    assert put.status_code == 200, put.text
    assert put.json()["name"] == "web"
    lines = ["user ada logs in from 10", "user bob logs in from 22", "nobody is named"]
    answer = await replica.ingest("web", lines)
    assert [error["index"] for error in answer["rejected"]] == [2]
    assert [(v["session"], v["state"], v["anomalous"], v["novel"]) for v in answer["verdicts"]] == [
        ("user ada", "learning", False, False),
        ("user bob", "learning", False, False),
    ]
    assert answer["versions"]["bundle"] is None
    listed = {source["name"]: source for source in (await replica.get("/sources"))["sources"]}
    assert (listed["web"]["state"], listed["web"]["templates"], listed["web"]["sessions"]) == ("learning", 1, 2)
    assert (listed["shop"]["state"], listed["shop"]["version"]) == ("scored", "1")
    templates = await replica.get("/sources/web/templates")
    assert [template["template"] for template in templates["templates"]] == ["user <*> logs in from <NUM>"]
    assert (await replica.get("/incidents", source="web"))["incidents"] == []


async def test_a_learning_source_can_be_reconfigured_while_its_format_stays(replica: Replica) -> None:
    assert (await replica.http.put("/sources/web", json={**WEB, "idle_s": 100})).status_code == 200
    await replica.ingest("web", ["user ada logs in"])
    assert (await replica.http.put("/sources/web", json={**WEB, "idle_s": 7})).status_code == 200
    answer = await replica.ingest("web", ["user ada logs in"])
    assert answer["verdicts"][0]["template"] == "user ada logs in"
    listed = {source["name"]: source for source in (await replica.get("/sources"))["sources"]}
    assert (listed["web"]["idle_s"], listed["web"]["templates"]) == (7, 1)
    other = await replica.http.put("/sources/web", json={**WEB, "masks": []})
    assert other.status_code == 409
    assert "choose another name" in other.json()["error"]


async def test_requests_that_wait_while_their_source_is_reconfigured_are_answered(replica: Replica) -> None:
    await replica.http.put("/sources/web", json={**WEB, "idle_s": 100})
    worker = replica.core._workers["web"]
    async with replica.core.sources.live["web"].lock:
        waits = asyncio.create_task(replica.ingest("web", ["user ada logs in"]))
        await until(lambda: worker._arrived.is_set() and not worker._waiting, "it is at work")
        assert (await replica.http.put("/sources/web", json={**WEB, "idle_s": 7})).status_code == 200
        assert (await replica.ingest("web", ["user bob logs in"]))["verdicts"][0]["session"] == "user bob"
        assert not waits.done()
    assert (await waits)["verdicts"][0]["session"] == "user ada"


async def test_past_the_cap_of_new_templates_lines_get_the_overflow_template(replica: Replica) -> None:
    capped = {**WEB, "session": {"whole": True}, "drain": {"new_per_minute": 3}}
    assert (await replica.http.put("/sources/flood", json=capped)).status_code == 200
    lines = [" ".join([f"word{n}"] * (n + 1)) for n in range(8)]
    answer = await replica.ingest("flood", lines)
    assert answer["rejected"] == []
    assert [verdict["template_id"] > 0 for verdict in answer["verdicts"]] == [True] * 3 + [False] * 5
    again = await replica.ingest("flood", lines)
    assert [v["template_id"] for v in again["verdicts"]] == [v["template_id"] for v in answer["verdicts"]]
    assert len(await replica.texts("flood")) == 3


async def test_a_source_that_another_replica_configured_is_served_when_asked_for(
    replica: Replica, redis_url: str, tmp_path: Path
) -> None:
    await replica.http.put("/sources/web", json=WEB)
    await replica.ingest("web", ["user ada logs in"])
    async with running(redis_url, stored(tmp_path / "others")) as other:
        answer = await other.ingest("web", ["user ada logs in"])
        assert answer["versions"]["tree_version"] == 1


@pytest.mark.parametrize(
    ("name", "config", "status", "says"),
    [
        ("web", {**WEB, "colour": 1}, 422, "colour"),
        ("web", {**WEB, "masks": [{"name": "NUM", "pattern": "("}]}, 422, "mask"),
        ("web", {**WEB, "masks": [{"name": "NUM", "pattern": "(?=a)"}]}, 422, "mask"),
        ("web", {**WEB, "idle_s": -1}, 422, "idle_s"),
        ("web", {**WEB, "idle_s": "long"}, 422, "idle_s"),
        ("web", {"header": "raw"}, 422, "header"),
        ("bad name", WEB, 422, "name must be"),
        ("shop", {**WEB}, 409, "parses otherwise"),
    ],
)
async def test_a_wrong_configuration_is_refused_with_the_setting(
    replica: Replica, name: str, config: dict[str, object], status: int, says: str
) -> None:
    response = await replica.http.put(f"/sources/{name}", json=config)
    assert response.status_code == status, response.text
    assert says in response.json()["error"]


async def test_a_configuration_that_is_no_object_is_refused(replica: Replica) -> None:
    wrong = [b"[]", b"oops", b'{"idle_s": NaN}', b'{"lateness_s": Infinity}', b'{"\\ud800": 1}']
    for content in (*wrong, b'{"starts_with": "\\ud800"}'):
        response = await replica.http.put("/sources/web", content=content, headers={"Content-Type": "application/json"})
        assert response.status_code == 422, (content, response.text)
        assert response.json()["error"]


async def test_another_version_of_the_same_tree_is_activated_and_rolled_back(replica: Replica, tmp_path: Path) -> None:
    stored(tmp_path / "bundles", renamed(shop_bundle(), "2"))
    lines = later_shop_lines(200)
    assert (await replica.ingest("shop", lines))["versions"]["bundle"] == "1"
    models = {model["source"]: model for model in (await replica.get("/models"))["models"]}
    assert (models["shop"]["versions"], models["shop"]["live"], models["shop"]["here"]) == (["1", "2"], "1", "1")
    switched = await replica.http.post("/models/shop/activate", json={"version": "2"})
    assert switched.status_code == 200, switched.text
    assert (await replica.ingest("shop", lines))["versions"]["bundle"] == "2"
    metrics = await replica.metrics()
    assert metrics['tocsin_model_version{provider="cpu",source="shop",version="1"}'] == 0
    assert metrics['tocsin_model_version{provider="cpu",source="shop",version="2"}'] == 1
    assert (await replica.http.post("/models/shop/activate", json={"version": "1"})).status_code == 200
    assert (await replica.ingest("shop", lines))["versions"]["bundle"] == "1"


async def test_a_version_of_another_tree_needs_reset_sessions(replica: Replica, redis_url: str, tmp_path: Path) -> None:
    other_tree = shop_bundle("3", "another tree", 6_000)
    stored(tmp_path / "bundles", other_tree)
    lines = later_shop_lines(300)
    async with running(redis_url, tmp_path / "bundles") as follower:
        await replica.ingest("shop", lines)
        await follower.ingest("shop", lines)
        refused = await replica.http.post("/models/shop/activate", json={"version": "3"})
        assert refused.status_code == 409
        assert "reset_sessions" in refused.json()["error"]
        assert (await replica.ingest("shop", lines))["versions"]["bundle"] == "1"
        taken = await replica.http.post("/models/shop/activate", json={"version": "3", "reset_sessions": True})
        assert taken.status_code == 200, taken.text
        listed = {source["name"]: source for source in (await replica.get("/sources"))["sources"]}
        assert listed["shop"]["sessions"] == 0
        for one in (replica, follower):
            answer = await one.ingest("shop", lines)
            assert (answer["versions"]["bundle"], answer["versions"]["tree"]) == ("3", "another tree")
            assert not answer["rejected"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/models/shop/activate", {"version": "99"}, 404),
        ("/models/shop/activate", {"version": "../1"}, 404),
        ("/models/nowhere/activate", {"version": "1"}, 404),
        ("/models/shop/activate", {}, 422),
        ("/models/shop/activate", {"version": 1}, 422),
        ("/models/shop/activate", {"version": "1", "force": True}, 422),
    ],
)
async def test_what_cannot_be_activated_is_refused(
    replica: Replica, path: str, body: dict[str, object], status: int
) -> None:
    response = await replica.http.post(path, json=body)
    assert response.status_code == status, response.text
    assert response.json()["error"]


async def test_a_replica_that_lacks_the_live_version_stays_and_says_so(
    replica: Replica, redis_url: str, tmp_path: Path
) -> None:
    lines = later_shop_lines(100)
    async with running(redis_url, stored(tmp_path / "poorer", shop_bundle())) as poorer:
        await poorer.ingest("shop", lines)
        stored(tmp_path / "bundles", renamed(shop_bundle(), "2"))
        assert (await replica.http.post("/models/shop/activate", json={"version": "2"})).status_code == 200
        assert (await poorer.ingest("shop", lines))["versions"]["bundle"] == "1"
        problem = (await poorer.get("/readyz"))["sources"]["shop"]["problem"]
        assert "stays on version 1" in problem
        assert "no bundle shop/2" in problem
        stored(tmp_path / "poorer", renamed(shop_bundle(), "2"))
        assert (await poorer.ingest("shop", lines))["versions"]["bundle"] == "2"
        assert "problem" not in (await poorer.get("/readyz"))["sources"]["shop"]


async def test_readiness_names_provider_versions_and_templates(replica: Replica) -> None:
    ready = await replica.get("/readyz")
    assert ready["ready"] is True
    assert ready["reasons"] == []
    assert ready["provider"] == Settings().provider
    assert ready["sources"]["blocks"]["version"] == "1"
    assert ready["sources"]["blocks"]["provider"] in ("cpu", "cuda")
    assert ready["sources"]["blocks"]["templates"] == len(await replica.texts("blocks")) > 5
    assert (await replica.get("/healthz")) == {"status": "ok"}


async def test_unknown_source_has_no_templates(replica: Replica) -> None:
    assert (await replica.http.get("/sources/nowhere/templates")).status_code == 404
    assert (await replica.http.get("/verdicts", params={"source": "nowhere"})).status_code == 404
