"""The page in a real Chromium: keys, live rows, answers and their undoing, and that it can be read by everybody."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.service.page.conftest import PATIENCE_MS
from tests.service.page.markup import HOSTILE, line, quarantined
from tests.service.page.test_views import as_version, every_view
from tests.service.serving import Replica, stored

PHONE = {"width": 375, "height": 700}
SCHEMES = ("light", "dark")
expect.set_options(timeout=PATIENCE_MS)

# Texts whose contrast with what lies behind them is below 4.5, or 3 where they are large.
FAINT = """() => {
  const channels = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    throw new Error("nothing is painted behind it");
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const ink = channels(element.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const [one, other] = [light(ink), light(behind(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (contrast < (large ? 3 : 4.5)) faint.push(`${contrast.toFixed(2)} ${element.textContent.trim().slice(0, 60)}`);
  }
  return faint;
}"""


@asynccontextmanager
async def opened(browser: Browser, **how: Any) -> AsyncIterator[Page]:
    """A page in which nothing may go wrong: no error in a script, nothing that the policy refused."""
    context = await browser.new_context(**how)
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    # A refusal that a test asks for is an answer, though the browser notes its status.
    assert [text for text in wrong if "status of 409" not in text] == []
    await context.close()


async def heard(page: Page) -> None:
    """Wait until the scripts of the page that was just opened listen: a key pressed before is lost."""
    await expect(page.locator("html[data-scripted]")).to_be_attached()


async def ring(replica: Replica, block: int) -> dict[str, Any]:
    return dict((await replica.ingest("blocks", [quarantined(block)]))["verdicts"][0])


async def test_a_false_alarm_by_keyboard_silences_the_next_such_line_and_undo_makes_it_ring_again(
    replica: Replica, address: str, browser: Browser
) -> None:
    first = await ring(replica, 1)
    async with opened(browser) as page:
        await page.goto(address)
        await expect(page.locator("#live")).to_have_text("● live")
        await page.keyboard.press("j")
        row = page.locator(f'li[data-incident="{first["incident"]}"]')
        await expect(row.locator("a")).to_be_focused()
        before = page.locator("#panel form[data-answer] .choice").first
        await expect(before).to_contain_text("new_event is silent on “quarantine of <BLK>")
        await page.keyboard.press("f")
        await expect(page.locator("#status")).to_contain_text("Silenced: new_event is silent on")
        await expect(row).to_contain_text("silenced")
        again = await ring(replica, 2)
        assert (again["state"], again["incident"]) == ("silenced", None)

        await expect(page.locator("#panel [data-undo]")).to_be_visible()
        await page.keyboard.press("u")
        await expect(page.locator("#status")).to_contain_text("Undone")
        await expect(row).to_contain_text("open")
        rings = await ring(replica, 3)
        assert rings["anomalous"]
        await expect(page.locator(f'li[data-incident="{rings["incident"]}"]')).to_be_visible()
        await expect(page.locator("#status")).to_contain_text("new incident")


async def test_j_and_k_move_enter_opens_and_t_protects_on_the_incidents_own_page(
    replica: Replica, address: str, browser: Browser
) -> None:
    for block in (1, 2, 3):
        await ring(replica, block)
    listed = [one["id"] for one in (await replica.get("/incidents"))["incidents"]]
    async with opened(browser) as page:
        await page.goto(address)
        for key, at in (("j", 0), ("j", 1), ("j", 2), ("j", 2), ("k", 1)):
            await page.keyboard.press(key)
            await expect(page.locator(f'li[data-incident="{listed[at]}"] a')).to_be_focused()
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/page/incidents/{listed[1]}")
        await heard(page)
        await expect(page.locator("#panel form[data-answer]")).to_be_visible()
        await page.keyboard.press("t")
        await expect(page.locator("main > .heading [data-badge]")).to_have_text("✓ true")
        assert (await replica.get(f"/incidents/{listed[1]}"))["state"] == "acknowledged"

        # What was called true must not be silenced by another answer, and the page says so.
        await page.goto(f"{address}/page/incidents/{listed[0]}")
        await expect(page.locator("#panel form[data-answer]")).to_be_visible()
        await page.keyboard.press("f")
        await expect(page.locator("#alert")).to_contain_text("called a real anomaly")


async def test_keys_type_where_text_is_typed_and_can_be_turned_off(
    replica: Replica, address: str, browser: Browser
) -> None:
    incident = (await ring(replica, 1))["incident"]
    async with opened(browser) as page:
        await page.goto(f"{address}/page/incidents/{incident}")
        await page.keyboard.press("?")
        await expect(page.locator("#help")).to_be_visible()
        await page.get_by_label("Answers are given by").fill("Åda")
        await page.get_by_role("button", name="Close").click()
        await page.get_by_label("Note (optional)").fill("")
        await page.get_by_label("Note (optional)").press_sequentially("fjtu?")
        await expect(page.get_by_label("Note (optional)")).to_have_value("fjtu?")
        assert (await replica.get("/feedback"))["feedback"] == []
        await page.get_by_role("button", name="False alarm").click()
        await expect(page.locator("#panel .given").last).to_contain_text("“fjtu?”")
        given = (await replica.get("/feedback"))["feedback"][0]
        assert (given["author"], given["note"]) == ("Åda", "fjtu?")

        await page.keyboard.press("?")
        await page.get_by_label("Single keys act").uncheck()
        await page.get_by_role("button", name="Close").click()
        await page.keyboard.press("u")
        await page.reload()
        await page.keyboard.press("u")
        await page.get_by_role("button", name="Undo").click()
        await expect(page.locator("#status")).to_contain_text("Undone")
        audit = (await replica.get("/feedback/audit"))["audit"]
        assert [(entry["action"], entry["author"]) for entry in audit] == [("undo", "Åda"), ("give", "Åda")]


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_view_fits_a_phone_and_has_contrast(
    replica: Replica, address: str, browser: Browser, scheme: Any
) -> None:
    """With a line that would be more than text."""
    paths = await every_view(replica)
    async with opened(browser, viewport=PHONE, color_scheme=scheme) as page:
        for path in paths:
            await page.goto(address + path)
            if path == "/page/traffic":
                await expect(page.locator(".legend").first).to_contain_text("blocks")
            assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
            assert await page.evaluate(FAINT) == [], path
            await page.keyboard.press("Tab")
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert await page.evaluate(outline) not in ("none", ""), path


async def test_a_hostile_line_is_shown_as_text(replica: Replica, address: str, browser: Browser) -> None:
    async with opened(browser) as page:
        await page.goto(address)
        await expect(page.locator("#live")).to_have_text("● live")
        found = await replica.ingest("blocks", [line(f"unheard of blk_1 {HOSTILE}")])
        incident = found["verdicts"][0]["incident"]
        await expect(page.locator(f'li[data-incident="{incident}"]')).to_contain_text("\\x1b[31mred <script>")
        await page.keyboard.press("j")
        await expect(page.locator("#panel .line")).to_contain_text("<script>window.owned")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/page/incidents/{incident}")
        await heard(page)
        await expect(page.locator(".hit")).to_contain_text("<img src=x onerror='window.owned = 1'> \\u202egpj.exe")
        await page.keyboard.press("f")
        await expect(page.locator("#status")).to_contain_text("unheard of <BLK>")
        assert await page.evaluate("window.owned") is None
        assert await page.locator("main img").count() == 0


async def test_a_version_is_made_live_after_a_question_and_rolled_back(
    replica: Replica, address: str, browser: Browser, tmp_path: Path
) -> None:
    stored(tmp_path / "bundles", as_version("2", {"passed": True, "reasons": []}))
    async with opened(browser) as page:
        await page.goto(f"{address}/page/versions")
        of_blocks = page.locator("html[data-scripted] section#blocks")
        live = of_blocks.locator("li", has=page.locator(".badge.live")).locator("strong")
        for button, version in (("Activate", "2"), ("Roll back to 1", "1")):
            await of_blocks.get_by_role("button", name=button).click()
            await expect(page.locator("#activation-what")).to_contain_text(f"version {version}", ignore_case=True)
            await page.get_by_role("button", name="Make it live").click()
            await expect(live).to_have_text(version)
            assert replica.core.sources.live["blocks"].version == version


async def test_traffic_is_drawn_from_the_services_own_counters(
    replica: Replica, address: str, browser: Browser
) -> None:
    await ring(replica, 1)
    async with opened(browser) as page:
        await page.goto(f"{address}/page/traffic")
        lines = page.locator('figure[data-metric="tocsin_lines_total"]')
        await expect(lines.locator(".legend")).to_contain_text("blocks")
        await expect(lines.locator("svg.lines path.pen")).not_to_have_count(0)
