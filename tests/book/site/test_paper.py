"""What a reader prints: the sheet of chapter 3 alone and on one page, and of a chapter what is of use on paper."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

SCREEN_ONLY = (
    ".bd-sidebar, .bd-header-article, .prev-next-footer, .live, .tag_solution, .print-sheet, details > summary"
)
VISIBLE = "(all) => all.filter((each) => each.checkVisibility()).map((each) => each.textContent.trim())"


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=request.param)
    yield opened
    opened.close()


def printed(page: Page, url: str, paper: str = "A4") -> int:
    """How many pages come out; the page stays in its printed form."""
    page.goto(url, wait_until="networkidle")
    page.emulate_media(media="print")
    return len(re.findall(rb"/Type /Page\b", page.pdf(format=paper)))


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_the_sheet_is_printed_alone_on_one_page(paper: str, page: Page, address: str) -> None:
    page.goto(f"{address}/book/cbam.html")
    link = page.locator(".print-sheet a")
    link.click()
    assert printed(page, page.url, paper) == 1
    (heading,) = page.locator("h1, h2, h3").evaluate_all(VISIBLE)
    assert "One example, all shapes" in heading
    section = page.locator("section:has(> .print-sheet)")
    assert section.locator("table").is_visible()
    assert section.locator(".cell_input").is_visible()
    assert page.locator(SCREEN_ONLY).evaluate_all(VISIBLE) == []


def test_a_chapter_is_printed_black_on_white_with_the_sheet_on_a_page_of_its_own(page: Page, address: str) -> None:
    assert printed(page, f"{address}/book/cbam.html") > 10
    assert page.locator(SCREEN_ONLY).evaluate_all(VISIBLE) == []
    assert len(page.locator(".bd-article h2").evaluate_all(VISIBLE)) > 10
    style = "(each) => { const s = getComputedStyle(each); return [s.color, s.breakBefore, s.breakAfter]; }"
    assert page.locator("section:has(> .print-sheet)").evaluate(style) == ["rgb(0, 0, 0)", "page", "page"]
    colours = "(all) => [...new Set(all.map((each) => getComputedStyle(each).color))]"
    assert page.locator(".bd-article :is(p, a, code, pre span, td)").evaluate_all(colours) == ["rgb(0, 0, 0)"]
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    page.set_viewport_size({"width": 680, "height": 900})  # A4 within its margins
    assert page.evaluate(wide) <= 0
