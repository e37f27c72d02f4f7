"""Each view: what it shows, that it is whole for people who do not see it, and that no log line becomes markup."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import service.page
from models.bundle import Bundle
from tests.service.page.conftest import small_bundle
from tests.service.page.markup import HOSTILE, Document, line, quarantined
from tests.service.serving import Replica, later_shop_lines, stored

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
KIB = 1024


def as_version(version: str, gate: dict[str, object]) -> Bundle:
    bundle = small_bundle()
    metrics = {**bundle.manifest.metrics, "gate": gate}
    return Bundle.seal(replace(bundle.manifest, version=version, parent="1", metrics=metrics), bundle.files)


async def html(replica: Replica, path: str, status: int = 200) -> str:
    response = await replica.http.get(path, headers=BROWSER)
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("text/html")
    return response.text


async def view(replica: Replica, path: str, status: int = 200) -> Document:
    return Document(await html(replica, path, status))


async def rang(replica: Replica, text: str) -> str:
    """The incident that a line raises."""
    verdict = (await replica.ingest("blocks", [text]))["verdicts"][0]
    assert verdict["incident"]
    return str(verdict["incident"])


async def every_view(replica: Replica) -> list[str]:
    incident = await rang(replica, line(f"unheard of blk_1 {HOSTILE}"))
    return [
        "/",
        f"/page/incidents/{incident}",
        "/page/sources",
        "/page/sources/blocks",
        "/page/versions",
        "/page/versions/blocks/1",
        "/page/traffic",
    ]


async def test_a_browser_gets_the_page_where_shippers_get_what_they_ask_for(replica: Replica) -> None:
    assert "<h1>Incidents</h1>" in await html(replica, "/")
    for headers in ({"Accept": "application/json"}, {"Accept": "*/*"}, {}):
        asked = await replica.http.get("/", headers=headers)
        assert asked.json()["version"]["number"], "Elasticsearch's clients read this"
    assert (await replica.http.head("/")).status_code == 200


async def test_every_view_has_a_strict_policy_and_asks_no_other_host_for_anything(replica: Replica) -> None:
    for path in await every_view(replica):
        response = await replica.http.get(path, headers=BROWSER)
        policy = {part.split()[0]: part.split()[1:] for part in response.headers["content-security-policy"].split(";")}
        assert policy["default-src"] == ["'none'"]
        assert policy["frame-ancestors"] == ["'none'"]
        for kind in ("script-src", "style-src", "img-src", "connect-src"):
            assert policy[kind] == ["'self'"], kind
        page = Document(response.text)
        for element in page.elements:
            for name in ("href", "src", "action"):
                address = element.attributes.get(name) or "/"
                assert address[0] in "/#", (path, element.tag, address)
                assert not address.startswith("//")
            # What the policy would refuse.
            assert "style" not in element.attributes
            assert not [name for name in element.attributes if name.startswith("on")]
        assert [script.attributes.get("src") for script in page.all("script")] == ["/page/static/main.js"]
        assert not page.all("style")
    for file in (Path(service.page.__file__).parent / "static").iterdir():
        addresses = set(re.findall(r"https?://[^\"'\s]+", file.read_text(encoding="utf-8")))
        assert addresses <= {"http://www.w3.org/2000/svg"}, file.name


async def test_the_page_with_all_that_it_loads_is_under_200_kib(replica: Replica) -> None:
    await replica.ingest("blocks", [quarantined(block) for block in range(150)])
    listed = await html(replica, "/")
    assert listed.count("data-incident=") == 100
    files = [path for path in (Path(service.page.__file__).parent / "static").iterdir() if path.is_file()]
    assert len(listed.encode()) + sum(path.stat().st_size for path in files) < 200 * KIB


async def test_static_files_are_served_once_and_found_unchanged(replica: Replica) -> None:
    for path in (Path(service.page.__file__).parent / "static").iterdir():
        first = await replica.http.get(f"/page/static/{path.name}")
        assert first.content == path.read_bytes()
        assert first.headers["x-content-type-options"] == "nosniff"
        again = await replica.http.get(f"/page/static/{path.name}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for name in ("nothing.js", "__init__.py", "..%2fpage.py"):
        assert (await replica.http.get(f"/page/static/{name}")).status_code == 404


async def test_every_view_has_landmarks_a_heading_and_labels(replica: Replica) -> None:
    for path in await every_view(replica):
        page = await view(replica, path)
        assert page.all("html")[0].attributes["lang"] == "en"
        assert [len(page.all(tag)) for tag in ("main", "h1")] == [1, 1], path
        assert page.all("nav")[0].attributes["aria-label"]
        ids = [element.attributes["id"] for element in page.elements if element.attributes.get("id")]
        assert len(ids) == len(set(ids)), path
        labelled = {label.attributes.get("for") for label in page.all("label")}
        for control in page.all("input", "select", "textarea"):
            inside = any(outer.tag == "label" for outer in control.within)
            assert inside or control.attributes.get("id") in labelled, (path, control.attributes)
        for picture in page.all("img"):
            assert "alt" in picture.attributes
        for picture in page.all("svg"):
            named = picture.attributes.get("role") == "img" and picture.attributes.get("aria-label")
            assert named or picture.attributes.get("aria-hidden") == "true"


async def test_a_hostile_line_stays_text_wherever_it_is_shown(replica: Replica) -> None:
    paths = await every_view(replica)
    incident = paths[1]
    await replica.http.post(
        "/feedback",
        json={
            "incident": incident.rsplit("/", 1)[1],
            "label": "true_positive",
            "note": "<b>note</b>",
            "author": "<i>ada",
        },
    )
    shown = 0
    for path in (*paths, "/page/incidents", f"{incident}/answer", "/page/sources/blocks?find=%22%3E%3Cscript%3E"):
        text = await html(replica, path)
        shown += "onerror" in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        page = Document(text)
        assert {image.attributes.get("src") for image in page.all("img")} <= {"/page/static/bell.svg"}
        assert not page.all("b", "i")
        for script in page.all("script"):
            assert script.attributes.get("src") == "/page/static/main.js"
    assert shown >= 4, "the hostile line is not shown where it should be"
    told = await view(replica, incident)
    assert "\\x1b[31mred <script>window.owned = 1</script>" in told.text
    assert "\\u202egpj.exe" in told.text
    assert "“<b>note</b>”" in told.text


async def test_hostile_sessions_templates_and_reasons_stay_text(replica: Replica) -> None:
    session = f"of {HOSTILE[:120]}</b>"
    records = [{"session": session, "line": line(f"never seen {HOSTILE} {number}")} for number in range(3)]
    answer = await replica.http.post("/ingest", json={"source": "blocks", "records": records})
    [incident, *_] = [verdict["incident"] for verdict in answer.json()["verdicts"] if verdict["incident"]]
    deploy = {"kind": "deploy", "reason": "<b>deploy</b>", "author": "<i>ada"}
    assert (await replica.http.post("/sources/blocks/mutes", json=deploy)).status_code == 201
    shown = []
    for path in ("/", "/page/incidents", f"/page/incidents/{incident}", "/page/sources/blocks?find=never"):
        text = await html(replica, path)
        shown.append(text)
        assert "\x1b" not in text
        assert "\u202e" not in text
        page = Document(text)
        assert {image.attributes.get("src") for image in page.all("img")} <= {"/page/static/bell.svg"}
        assert not page.all("b", "i")
        assert not [script for script in page.all("script") if script.attributes.get("src") != "/page/static/main.js"]
    assert "deploy&lt;/b&gt;" in shown[0]
    assert all("onerror" in text for text in shown[1:]), "the hostile text is not shown where it should be"


async def test_incidents_are_filtered_and_paged(replica: Replica) -> None:
    quiet = await rang(replica, quarantined(1))
    await replica.ingest("blocks", [quarantined(block) for block in range(2, 120)])
    await replica.http.post("/feedback", json={"incident": quiet, "label": "false_positive"})
    page = await view(replica, "/?state=silenced&source=blocks")
    rows = [row.attributes["data-incident"] for row in page.all("li") if row.attributes.get("data-incident")]
    assert rows == [quiet]
    assert "– silenced" in page.text
    found: list[str | None] = []
    address = "/?state=&source=blocks"
    while address:
        page = await view(replica, address)
        found += [row.attributes["data-incident"] for row in page.all("li") if row.attributes.get("data-incident")]
        address = next((str(link.attributes["href"]) for link in page.all("a") if link.text == "Older"), "")
    assert len(found) == len(set(found)) == 119
    assert "Nothing rang." in (await view(replica, "/?state=resolved")).text
    assert "no source" in (await view(replica, "/?source=nowhere", 404)).text
    assert "cursor must be" in (await view(replica, "/?cursor=oops", 422)).text


async def test_an_incident_tells_line_story_reasons_and_what_a_false_alarm_would_silence(replica: Replica) -> None:
    await replica.ingest("blocks", [line("allocate blk_5 for /jobs/3/part-4")])
    incident = await rang(replica, line("quarantine of blk_5 ordered by operator al", 1))
    page = await view(replica, f"/page/incidents/{incident}")
    assert "quarantine of blk_5 ordered by operator al" in page.text
    story = next(element for element in page.all("ol") if element.attributes.get("class") == "story")
    assert story.text.index("allocate <BLK>") < story.text.index("Then:") < story.text.index("quarantine of <BLK>")
    assert "A template that training never saw." in page.text
    form = next(element for element in page.all("form") if "data-answer" in element.attributes)
    assert form.attributes["data-answer"] == incident
    said = (await replica.http.post("/feedback", json={"incident": incident, "label": "false_positive"})).json()
    for sentence in said["silences"]:
        assert sentence in form.text, "said only once it was silenced"
    scopes = [radio.attributes["value"] for radio in page.all("input") if radio.attributes.get("type") == "radio"]
    assert scopes == ["", *(await replica.get(f"/incidents/{incident}"))["scopes"]]
    after = await view(replica, f"/page/incidents/{incident}/answer")
    assert [button.attributes["data-undo"] for button in after.all("button") if "data-undo" in button.attributes] == [
        said["id"]
    ]
    assert "Not there" in (await view(replica, "/page/incidents/0123456789abcdef", 404)).text


async def test_a_network_tells_what_it_expected_and_the_workflow_where_it_was_left(replica: Replica) -> None:
    """The shipped bundle on its own sample, which has faults after its first part."""
    found = await replica.ingest("postgres", later_shop_lines(600, 20_000), params={"verdicts": "anomalous"})
    incidents = dict.fromkeys(verdict["incident"] for verdict in found["verdicts"])
    drawn = told = 0
    for incident in list(incidents)[:8]:
        reason = (await replica.get(f"/incidents/{incident}"))["reasons"][0]
        if "expected" not in reason:
            continue
        told += 1
        page = await view(replica, f"/page/incidents/{incident}")
        table = next(element for element in page.all("table") if element.text.lstrip().startswith("What it expected"))
        for guess in reason["expected"]:
            assert guess["template"] in table.text
        amounts = [cell.text for cell in page.all("td") if cell.attributes.get("class") == "amount"]
        assert len(amounts) >= len(reason["expected"])
        assert all(amount.endswith(" %") for amount in amounts)
        bars = [e for e in page.all("rect") if e.attributes.get("class") == "fill" and table in e.within]
        assert float(bars[0].attributes["width"] or 0) == pytest.approx(
            100 * reason["expected"][0]["probability"], abs=0.01
        )
        assert "up to" in page.text
        drawn += any(picture.attributes.get("class") == "graph" for picture in page.all("svg"))
    assert told
    assert drawn, "no picture of a workflow"


async def test_templates_are_found_by_what_they_hold(replica: Replica) -> None:
    await replica.ingest("blocks", [quarantined(1)])
    every = await view(replica, "/page/sources/blocks")
    assert "receiving" in every.text
    assert "new: training never saw it" in every.text
    some = await view(replica, "/page/sources/blocks?find=QUARANTINE")
    assert "quarantine of <BLK>" in some.text
    assert "receiving" not in some.text
    assert "no source" in (await view(replica, "/page/sources/nowhere", 404)).text


async def test_versions_tell_their_gate_and_what_they_would_change(replica: Replica, tmp_path: Path) -> None:
    stored(
        tmp_path / "bundles",
        as_version("2", {"passed": True, "reasons": []}),
        as_version("3", {"passed": False, "reasons": ["a confirmed anomaly is <quiet>"]}),
    )
    page = await view(replica, "/page/versions")
    assert "✓ passed its gate" in page.text
    assert "✗ rejected by its gate: a confirmed anomaly is <quiet>" in page.text
    offered = {
        button.attributes["data-activate"] for button in page.all("button") if "data-activate" in button.attributes
    }
    assert "2" in offered
    assert "3" not in offered, "what its gate rejected cannot go live"
    assert "It cannot be compared" in (await view(replica, "/page/versions/blocks/2")).text
    await replica.ingest("blocks", [quarantined(1)])
    await replica.core.spool.flush()
    changes = await view(replica, "/page/versions/blocks/2")
    assert "Against version 1" in changes.text
    assert "no version" in (await view(replica, "/page/versions/blocks/9", 404)).text
    await replica.http.post("/models/blocks/activate", json={"version": "2"})
    back = (await view(replica, "/page/versions")).all("button")
    assert ("1", "blocks") in {(b.attributes.get("data-rollback"), b.attributes.get("data-source")) for b in back}
