"""The reader's page, measured in a real browser on the built book."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest
import sphinxcontrib.katex
import yaml
from bs4 import BeautifulSoup
from looking import HEIGHTS, ROOT, View, look, serve
from playwright.sync_api import Browser

Views = Mapping[tuple[str, int, str], View]

TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"]] + [chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]]
NOTEBOOKS = [page for page in PAGES if (ROOT / f"{page}.ipynb").is_file()]
CHAPTERS = [chapter["file"] for part in TOC["parts"][:-1] for chapter in part["chapters"]]
BASE = yaml.safe_load((ROOT / "_config.yml").read_text())["html"]["baseurl"]
BUDGET = 1_500_000  # bytes of one page, everything included, with an empty cache

each_page = pytest.mark.parametrize("page", PAGES)
each_notebook = pytest.mark.parametrize("page", NOTEBOOKS)
each_width = pytest.mark.parametrize("width", HEIGHTS)
each_theme = pytest.mark.parametrize("theme", ["light", "dark"])


def soup(book: Path, page: str) -> BeautifulSoup:
    """The page as it was built, before any script ran."""
    return BeautifulSoup((book / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


def words(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())


# ---- loading --------------------------------------------------------------------------------------------------------


@each_page
@each_width
def test_page_is_light(views: Views, page: str, width: int) -> None:
    sizes = views[f"{page}.html", width, "light"].sizes
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:4]
    assert sum(sizes.values()) <= BUDGET, f"{sum(sizes.values()):,} bytes of {BUDGET:,}; the largest: {largest}"


@each_page
@each_width
@each_theme
def test_page_loads_alone_and_without_errors(views: Views, page: str, width: int, theme: str) -> None:
    view = views[f"{page}.html", width, theme]
    assert view.elsewhere == [], "requests to other hosts"
    assert view.failed == [], "requests that failed"
    assert view.errors == [], "errors in the console"


# ---- reading --------------------------------------------------------------------------------------------------------


@each_page
@each_theme
def test_page_fits_a_phone(views: Views, page: str, theme: str) -> None:
    assert views[f"{page}.html", 390, theme].overflow <= 0, "the page scrolls sideways"


@each_page
@each_width
@each_theme
def test_page_is_accessible(views: Views, page: str, width: int, theme: str) -> None:
    assert views[f"{page}.html", width, theme].violations == []


@each_page
def test_every_image_has_a_text_alternative(views: Views, page: str) -> None:
    # The logo's text stands beside it, so its own alternative is empty on purpose.
    images = views[f"{page}.html", 1280, "light"].images
    assert [image["src"] for image in images if not image["alt"].strip() and not is_logo(image)] == []


def is_logo(image: dict[str, str]) -> bool:
    """Whether it is the picture beside the book's name."""
    return image["src"].endswith("/_static/logo.svg") and bool(image["hidden"])


@each_notebook
def test_figures_carry_the_texts_of_the_notebook(views: Views, page: str) -> None:
    images = views[f"{page}.html", 1280, "light"].images
    texts, fixed = [words(image["alt"]) for image in images if image["figure"]], stored_texts(ROOT / f"{page}.ipynb")
    assert [text for text in texts if text in fixed] == fixed
    assert all(texts), "a figure without a text"


def stored_texts(notebook: Path) -> list[str]:
    """The text that the notebook stores with each figure that comes out the same wherever it runs."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    varies = {"remove-cell", "nbval-ignore-output"}  # with the machine, or with the data that are at hand
    shown = [cell for cell in cells if not varies & set(cell["metadata"].get("tags", []))]
    forms = [output.get("data", {}) for cell in shown for output in cell.get("outputs", [])]
    return [words("".join(form["text/plain"])) for form in forms if "image/png" in form]


@each_page
def test_equations_are_drawn(views: Views, page: str) -> None:
    view = views[f"{page}.html", 1280, "light"]
    assert view.equations["wrong"] == 0, "KaTeX marks errors"
    assert view.equations["rendered"] >= view.equations["sources"]
    assert re.findall(r"\$\$|\\\(|\\\[", view.text) == [], "raw TeX is left"
    assert view.equations["rendered"] > 0 or page not in CHAPTERS, "a chapter without an equation"


@pytest.mark.parametrize("page", PAGES)
def test_equation_links_say_the_number_of_their_equation(views: Views, page: str) -> None:
    links = views[f"{page}.html", 1280, "light"].equation_links
    assert [link for link in links if link["link"] != link["equation"]] == []


def test_some_chapter_refers_to_an_equation(views: Views) -> None:
    assert any(views[f"{page}.html", 1280, "light"].equation_links for page in CHAPTERS)


@each_page
def test_no_traceback_is_shown(views: Views, page: str) -> None:
    assert views[f"{page}.html", 1280, "light"].tracebacks == 0


def test_katex_style_sheet_and_script_are_one_version() -> None:
    style = (ROOT / "book/_static/katex/katex.min.css").read_text()
    version = sphinxcontrib.katex.katex_version
    assert f'"{version}"' in style, (
        f"take the style sheet and fonts of katex@{version}, see book/_static/katex/README.md"
    )


# ---- finding one's way ----------------------------------------------------------------------------------------------


@each_page
def test_links_inside_the_book_lead_somewhere(book: Path, page: str) -> None:
    broken = []
    for link in soup(book, page).find_all("a", href=True):
        address, anchor = urldefrag(link["href"])
        if urlparse(address).scheme:
            continue
        target = book / page if not address else book / urljoin(f"{page}.html", unquote(address))
        target = target.with_suffix(".html") if not address else target
        if not target.is_file() or (anchor and not has_anchor(target, unquote(anchor))):
            broken.append(link["href"])
    assert broken == []


def has_anchor(file: Path, anchor: str) -> bool:
    """Whether some element of the page has this id."""
    return f'id="{anchor}"' in file.read_text(encoding="utf-8") or anchor == ""


@each_page
def test_previous_and_next_page(book: Path, page: str) -> None:
    html = soup(book, page)
    place = PAGES.index(page)
    assert bool(html.select_one("a.left-prev")) == (place > 0)
    assert bool(html.select_one("a.right-next")) == (place < len(PAGES) - 1)


def test_search_finds_a_word(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}search.html")
    page.locator("input[name=q]:visible").first.fill("kernel")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    assert page.locator("#search-results li a").count() > 0
    page.close()


# ---- buttons --------------------------------------------------------------------------------------------------------


@each_page
def test_colab_opens_this_very_notebook(book: Path, page: str) -> None:
    repository = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    name = repository.removeprefix("https://github.com/")
    here = [f"https://colab.research.google.com/github/{name}/blob/main/{page}.ipynb"]
    links = [link["href"] for link in soup(book, page).find_all("a", href=True) if "colab.research" in link["href"]]
    assert links == (here if page in NOTEBOOKS else []), "only notebooks open in Colab"


@each_notebook
def test_download_gives_this_very_notebook(book: Path, page: str) -> None:
    link = soup(book, page).select_one("a.btn-download-source-button")
    assert link is not None
    copy = book / urljoin(f"{page}.html", link["href"])
    assert copy.read_bytes() == (ROOT / f"{page}.ipynb").read_bytes()


@each_notebook
def test_every_code_cell_can_be_copied(views: Views, page: str) -> None:
    view = views[f"{page}.html", 1280, "light"]
    assert view.copy_buttons == view.cells > 0


def test_theme_can_be_switched(browser: Browser, address: str) -> None:
    page = browser.new_page(color_scheme="light")
    page.goto(f"{address}{PAGES[0]}.html")
    background = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    for _ in range(3):  # the button goes round auto, light, dark
        page.locator(".theme-switch-button:visible").first.click()
        if page.locator("html").get_attribute("data-theme") == "dark":
            break
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.wait_for_function(f"{background} !== {json.dumps(before)}")
    page.close()


@pytest.mark.parametrize("page_name", CHAPTERS)
def test_hidden_solutions_open_by_keyboard(browser: Browser, address: str, page_name: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}{page_name}.html")
    hidden = page.locator("div.tag_solution details")
    assert hidden.count() > 0, "a chapter without a hidden solution"
    hidden.first.locator("summary").focus()
    assert hidden.first.get_attribute("open") is None
    page.keyboard.press("Enter")
    assert hidden.first.get_attribute("open") is not None
    page.close()


# ---- when the page is shared ----------------------------------------------------------------------------------------


@each_page
def test_social_card(book: Path, page: str) -> None:
    html = soup(book, page)
    card = {tag["property"]: tag["content"] for tag in html.select("meta[property^=og]")}
    assert html.html["lang"] == "en"
    assert html.title.text.strip()
    assert card["og:title"].strip()
    assert card["og:url"] == f"{BASE}{page}.html"
    assert len(card["og:description"]) >= 40
    assert card["og:image"].startswith(BASE), "social networks need an absolute address"
    assert (book / card["og:image"].removeprefix(BASE)).is_file()


# ---- these tests can fail -------------------------------------------------------------------------------------------

BROKEN = """<!doctype html><html lang="en"><head><title>Broken</title></head><body><main>
<h1>Broken</h1><p>$$ x $$</p><img src="missing.png"><img src="https://elsewhere.invalid/picture.png" alt="a picture">
<table><tr><td><div style="width: 900px">wide</div></td></tr></table>
<p style="color: #ccc; background: #fff">too pale to read</p>
<span class="math"><span class="katex-error">x</span></span>
<div class="math" id="equation-a"><span class="eqno">(2)</span></div><a href="#equation-a">Eq. (1)</a>
<div class="cell"><div class="cell_output">Traceback (most recent call last)</div></div>
<script>console.error("an error of the page")</script></main></body></html>"""


@pytest.fixture(scope="module")
def broken(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> View:
    """A page with one fault of every kind, seen as the book's pages are seen."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "broken.html").write_text(BROKEN)
    with serve(folder) as address:
        return look(browser, address, "broken.html", 390, "light")


def test_broken_page_loading_is_noticed(broken: View) -> None:
    assert broken.elsewhere == ["https://elsewhere.invalid/picture.png"]
    assert any(failure.startswith("404") and failure.endswith("missing.png") for failure in broken.failed)
    assert "an error of the page" in broken.errors
    assert sum(broken.sizes.values()) > 0


def test_broken_page_reading_is_noticed(broken: View) -> None:
    assert broken.overflow > 400
    assert broken.tracebacks == 1
    assert [image["alt"] for image in broken.images] == ["", "a picture"]
    assert any(violation.startswith("image-alt") for violation in broken.violations)
    assert any(violation.startswith("color-contrast") for violation in broken.violations)


def test_broken_equations_are_noticed(broken: View) -> None:
    assert "$$" in broken.text
    assert broken.equations["wrong"] == 1
    assert broken.equations["rendered"] < broken.equations["sources"]
    assert broken.equation_links == [{"link": "1", "equation": "2"}]
