"""An incident's neighbours over HTTP and on the page: the nearest normal session, and similar incidents."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from models.bundle import Bundle
from models.bundles import BundleStore
from models.normals import NORMALS
from service.page.neighbours import beside
from tests.service.page.conftest import small_bundle
from tests.service.page.markup import Document, Element, line
from tests.service.serving import Replica, running, stored

LATER = "2"
NOTE = '<b>"><script>window.owned = 1</script> {{ 7 * 7 }}'


def told(*steps: tuple[str, str], **more: Any) -> dict[str, Any]:
    count = {kind: sum(step == kind for step, _ in steps) for kind in ("same", "missing", "extra")}
    found = [{"step": step, "template_id": 1, "template": template} for step, template in steps]
    return {
        "sessions": 1, "begun": True, "ended": True, "out_of_turn": 0, "before": 0, "after": 0, "steps": found,
        **count, **more,
    }  # fmt: skip


def test_a_long_run_of_equal_steps_is_folded() -> None:
    found = beside(told(*(("same", f"step {number}") for number in range(9)), ("missing", "last")))
    assert found is not None
    assert [row.template or row.folded for row in found.rows] == [
        "step 0", "7 steps that both have", "step 8", "last",
    ]  # fmt: skip
    assert found.said == "Steps that differ: 1 missing; 9 are the same."
    assert found.notes == ["1 session of training went as the normal one does."]


def test_what_was_not_compared_is_said() -> None:
    found = beside(told(("same", "a"), ("earlier", "b"), out_of_turn=1, begun=False, ended=False, after=1))
    assert found is not None
    assert "1 out of turn" in found.said
    assert "was not kept" in found.notes[1]
    assert "1 more step, which are not missing: this one was not over." in found.notes[2]
    assert found.rows[1].word == "before its turn"


def test_no_more_rows_than_can_be_read_are_shown() -> None:
    found = beside(told(*(("extra", "a") for _ in range(1000))))
    assert found is not None
    assert (len(found.rows), found.left) == (200, 800)
    assert beside(None) is None


async def html(replica: Replica, incident: str) -> str:
    response = await replica.http.get(f"/page/incidents/{incident}", headers={"Accept": "text/html"})
    assert response.status_code == 200, response.text
    return response.text


def section(page: Document, title: str) -> Element | None:
    return next((part for part in page.all("section") if part.attributes.get("aria-labelledby") == title), None)


async def rang(replica: Replica, *messages: str) -> str:
    """The incident of the last of some lines, sent one by one."""
    verdict: dict[str, Any] = {}
    for second, message in enumerate(messages):
        (verdict,) = (await replica.ingest("blocks", [line(message, second)]))["verdicts"]
    assert verdict["incident"]
    return str(verdict["incident"])


def life(block: int) -> list[str]:
    """A block's first steps, as every normal one has them but for the last."""
    return [f"allocate blk_{block} for /jobs/3/part-4", f"quarantine of blk_{block} ordered by operator al"]


async def test_an_incident_lies_beside_the_nearest_normal_session(replica: Replica) -> None:
    incident = await rang(replica, *life(5))
    nearest = (await replica.get(f"/incidents/{incident}"))["nearest"]
    assert [(step["step"], step["template"].split(" <")[0]) for step in nearest["steps"]] == [
        ("same", "allocate"),
        ("extra", "quarantine of"),
    ]
    assert (nearest["begun"], nearest["ended"], nearest["same"], nearest["extra"]) == (True, False, 1, 1)
    assert nearest["after"] > 0
    assert nearest["sessions"] > 0
    found = section(Document(await html(replica, incident)), "normal-title")
    assert found is not None
    assert "1 extra" in found.text
    assert found.text.index("allocate <BLK>") < found.text.index("+ extra") < found.text.index("quarantine of <BLK>")
    assert "this one was not over" in found.text


async def test_an_ended_session_lacks_what_normal_ones_have(replica: Replica) -> None:
    """The count vector rings at the end: nothing was stored."""
    steps = ["allocate blk_6 for /jobs/3/part-4", *["receiving blk_6 from 10.0.0.9:5001"] * 2, "deleted blk_6"]
    await replica.ingest("blocks", [line(message, second) for second, message in enumerate(steps)])
    (ended,) = [
        incident for incident in (await replica.get("/incidents"))["incidents"] if incident["kind"] == "session"
    ]
    nearest = (await replica.get(f"/incidents/{ended['id']}"))["nearest"]
    assert (nearest["begun"], nearest["ended"]) == (True, True)
    missing = {step["template"].split(" <")[0] for step in nearest["steps"] if step["step"] == "missing"}
    assert missing == {"stored", "replica map updated with"}
    found = section(Document(await html(replica, ended["id"])), "normal-title")
    assert found is not None
    assert "− missing" in found.text


async def test_similar_incidents_say_why_and_what_people_said(replica: Replica) -> None:
    first, other = await rang(replica, *life(5)), await rang(replica, "checksum of blk_9 differs from what was kept")
    second = await rang(replica, *life(6))
    hostile = {"incident": first, "label": "true_positive", "note": NOTE, "author": "<i>ada"}
    assert (await replica.http.post("/feedback", json=hostile)).status_code == 201
    (similar,) = (await replica.get(f"/incidents/{second}"))["similar"]
    assert (similar["id"], similar["state"]) == (first, "acknowledged")
    assert "the same cause" in similar["because"]
    ((said),) = similar["said"]
    assert said["label"] == "true_positive"
    assert (said["author"], said["note"]) == ("<i>ada", NOTE)
    assert said["time"] > 0
    text = await html(replica, second)
    page = Document(text)
    found = section(page, "similar-title")
    assert found is not None
    assert "Like this one: the same cause" in found.text
    assert "✓ true" in found.text
    assert "True, <i>ada" in " ".join(found.text.split())
    assert f"“{NOTE}”" in found.text
    assert "<b>" not in text
    assert not page.all("i", "b")
    links = [link.attributes["href"] for link in page.all("a") if found in link.within]
    assert links == [f"/page/incidents/{first}"]
    assert (await replica.get(f"/incidents/{other}"))["similar"] == []
    assert section(Document(await html(replica, other)), "similar-title") is None


async def test_an_older_version_that_kept_no_normal_sessions_says_nothing_of_them(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    new = small_bundle()
    old = Bundle.seal(new.manifest, {name: content for name, content in new.files.items() if name != NORMALS})
    async with running(redis_url, stored(tmp_path / "bundles", old)) as replica:
        incident = await rang(replica, *life(5))
        assert (await replica.get(f"/incidents/{incident}"))["nearest"] is None
        assert section(Document(await html(replica, incident)), "normal-title") is None
        later = Bundle.seal(replace(new.manifest, version=LATER, parent="1"), new.files)
        BundleStore(tmp_path / "bundles", shipped=None).save("blocks", later)
        done = await replica.http.post("/models/blocks/activate", json={"version": LATER})
        assert done.status_code == 200, done.text
        nearest = (await replica.get(f"/incidents/{incident}"))["nearest"]
        assert nearest is not None, "an incident of before is compared with what is normal now"
