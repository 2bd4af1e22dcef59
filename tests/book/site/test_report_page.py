"""The page that `report` writes, in a browser: on a phone and on a desk, in the light and in the dark."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from cbam_lite import make_defects, report, trained_defect_net


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with mistakes, masks, warnings and a threshold: the address of the page."""
    folder = tmp_path_factory.mktemp("report")
    model, _ = trained_defect_net("SE")
    report(model, make_defects(120, seed=7), folder, good="clean", layer="layer2", resamples=50)
    return folder / "report.html"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_can_be_read(written: Path, browser: Browser, width: int, theme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(written.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width, "the page scrolls sideways"
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 100)")
    assert [url for url in asked if not url.startswith("data:")] == [written.as_uri()]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (theme == "light")
    found = Axe().run(page)  # contrast of every text, headings, captions, scopes, alternative texts
    assert [each["id"] for each in found.response["violations"]] == []
    context.close()
