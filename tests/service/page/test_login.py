"""The page in a real Chromium where API keys are asked for: in, looking at hostile lines under the policy, and out."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect
from redis.asyncio import Redis

from tests.service.access.making import bearer, made
from tests.service.listening import listening
from tests.service.page.conftest import PATIENCE_MS, small_bundle
from tests.service.page.markup import HOSTILE, line
from tests.service.page.test_browser import heard, opened
from tests.service.serving import Replica, running, stored

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
async def key(redis: Redis) -> str:
    """Of ``ada``, who sends lines, looks and answers."""
    return await made(redis, "ada", "ingest", "read", "feedback")


@pytest.fixture
async def replica(redis_url: str, tmp_path: Path, key: str) -> AsyncIterator[Replica]:
    async with running(redis_url, stored(tmp_path / "bundles", small_bundle())) as replica:
        replica.http.headers.update(bearer(key))
        yield replica


@pytest.fixture
async def address(replica: Replica) -> AsyncIterator[str]:
    async with listening(replica) as address:
        yield address


async def test_a_link_leads_through_the_form_to_the_hostile_line_which_stays_text(
    replica: Replica, address: str, browser: Browser, key: str
) -> None:
    hostile = line(f"unheard of blk_1 {HOSTILE}")
    incident = (await replica.ingest("blocks", [hostile]))["verdicts"][0]["incident"]
    async with opened(browser) as page:
        await page.goto(f"{address}/page/incidents/{incident}")
        await page.get_by_label("API key").fill(key)
        await page.get_by_role("button", name="Log in").click()
        await page.wait_for_url(f"**/page/incidents/{incident}")
        await heard(page)
        await expect(page.locator(".hit")).to_contain_text("<img src=x onerror='window.owned = 1'>")
        assert await page.evaluate("window.owned") is None
        await page.keyboard.press("f")
        await expect(page.locator("#status")).to_contain_text("Silenced: new_event is silent on")
        given = (await replica.get("/feedback"))["feedback"]
        assert [item["author"] for item in given] == ["ada"]

        # The stream of incidents brings the cookie too.
        await page.goto(address)
        await expect(page.locator("#live")).to_have_text("● live")
        later = (await replica.ingest("blocks", [line("never seen before of blk_2")]))["verdicts"][0]["incident"]
        await expect(page.locator(f'li[data-incident="{later}"]')).to_be_visible()
        await page.keyboard.press("?")
        await expect(page.locator("#help")).to_contain_text("Answers are given by ada.")
        await page.get_by_role("button", name="Close").click()

        await page.get_by_role("button", name="Log out ada").click()
        await expect(page.get_by_label("API key")).to_be_visible()
        await page.goto(f"{address}/page/sources")
        await expect(page.get_by_label("API key")).to_be_visible()


async def test_a_script_that_got_into_a_page_would_not_run(
    replica: Replica, address: str, browser: Browser, key: str
) -> None:
    """What the policy is for: even where escaping failed."""
    context = await browser.new_context()
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    await page.goto(address)
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Log in").click()
    await heard(page)
    await page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.owned = 1";
          document.body.append(script);
          document.body.insertAdjacentHTML("beforeend", "<img src='data:,' onerror='window.owned = 2'>");
          document.body.insertAdjacentHTML("beforeend", "<iframe src='https://evil.example/'></iframe>");
        }"""
    )
    await expect(page.locator("iframe")).to_have_count(1)
    for _ in range(600):
        if sum("Content Security Policy" in text for text in refused) >= 3:
            break
        await page.wait_for_timeout(100)
    assert sum("Content Security Policy" in text for text in refused) >= 3, refused
    assert await page.evaluate("window.owned") is None
    await context.close()


async def test_a_wrong_key_is_told(replica: Replica, address: str, browser: Browser) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(address)
    await page.get_by_label("API key").fill("hunter2")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_contain_text("lets nobody in")
    await context.close()
