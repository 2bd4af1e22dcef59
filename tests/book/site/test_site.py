"""The reader's page, measured in a real browser on the built book."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest
import sphinxcontrib.katex
import yaml
from bs4 import BeautifulSoup
from looking import HEIGHTS, ROOT, THEMES, View, look, serve
from playwright.sync_api import Browser

from cbam_lite import plot

TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"]] + [chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]]
NOTEBOOKS = [page for page in PAGES if (ROOT / f"{page}.ipynb").is_file()]
CHAPTERS = [
    chapter["file"] for part in TOC["parts"][:-1] for chapter in part["chapters"] if chapter["file"] in NOTEBOOKS
]
BASE = yaml.safe_load((ROOT / "_config.yml").read_text())["html"]["baseurl"]
BUDGET = 1_500_000  # bytes of one page, everything included, with an empty cache
# A figure is 5.6 inches wide: on so many pixels its smallest letters, `plot.SMALL` points, are 9 pixels high.
FIGURE = 9 * 72 * 5.6 / plot.SMALL

each_page = pytest.mark.parametrize("page", PAGES)
each_notebook = pytest.mark.parametrize("page", NOTEBOOKS)


def soup(book: Path, page: str) -> BeautifulSoup:
    """The page as it was built, before any script ran."""
    return BeautifulSoup((book / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


def words(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())


# ---- one visit for each page and width, a look in each theme; each check gives what is wrong, or nothing -------------


def is_light(view: View) -> Iterator[str]:
    if sum(view.sizes.values()) > BUDGET:
        largest = sorted(view.sizes.items(), key=lambda item: -item[1])[:4]
        yield f"{sum(view.sizes.values()):,} bytes of {BUDGET:,}; the largest: {largest}"


def loads_alone_and_without_errors(view: View) -> Iterator[str]:
    yield from (f"a request to another host: {url}" for url in view.elsewhere)
    yield from (f"a request that failed: {url}" for url in view.failed)
    yield from (f"an error in the console: {error}" for error in view.errors)


def fits_the_window(view: View) -> Iterator[str]:
    if view.overflow > 0:
        yield f"the page scrolls sideways by {view.overflow} pixels"


def is_accessible(view: View) -> Iterator[str]:
    yield from view.violations


def images_have_a_text(view: View) -> Iterator[str]:
    # The logo's text stands beside it, so its own alternative is empty on purpose.
    bare = [image["src"] for image in view.images if not image["alt"].strip() and not is_logo(image)]
    yield from (f"an image without a text alternative: {source}" for source in bare)


def is_logo(image: dict[str, Any]) -> bool:
    """Whether it is the picture beside the book's name."""
    return bool(image["src"].endswith("/_static/logo.svg") and image["hidden"])


def equations_are_drawn(view: View) -> Iterator[str]:
    if view.equations["wrong"]:
        yield f"KaTeX marks {view.equations['wrong']} errors"
    if view.equations["rendered"] < view.equations["sources"]:
        yield f"{view.equations['rendered']} of {view.equations['sources']} equations are drawn"
    if raw := re.findall(r"\$\$|\\\(|\\\[", view.text):
        yield f"raw TeX is left: {raw}"


def equation_links_say_their_number(view: View) -> Iterator[str]:
    yield from (f"a link to an equation: {link}" for link in view.equation_links if link["link"] != link["equation"])


def shows_no_traceback(view: View) -> Iterator[str]:
    if view.tracebacks:
        yield f"{view.tracebacks} tracebacks are shown"


def code_can_be_copied(view: View) -> Iterator[str]:
    if view.copy_buttons != view.cells:
        yield f"{view.copy_buttons} copy buttons for {view.cells} cells"


def wide_boxes_say_so(view: View) -> Iterator[str]:
    """What hides something says so, until its end is seen; what shows all it holds says nothing."""
    for box in view.boxes:
        what, start, end = box["what"], box["start"], box["end"]
        if box["hidden"] and not box["scrolls"]:
            yield f"cut off without a way to see it: {what}"
        elif box["hidden"]:
            if not (start["more"] == "right" and start["faded"] and start["hint"]):
                yield f"hides {box['hidden']} pixels without a cue: {what}, {start}"
            if not box["focus"]:
                yield f"scrolls, and cannot be reached by keyboard, or has no name: {what}"
            if end["more"] != "left" or end["hint"]:
                yield f"says that it goes on where it ends: {what}, {end}"
        elif start["more"] or start["faded"] or start["hint"] or box["focus"]:
            yield f"says that it goes on, and does not: {what}, {start}"


def outputs_are_whole_on_a_desk(view: View) -> Iterator[str]:
    if view.width >= 1280:
        yield from (f"an output is cut: {box['what']}" for box in view.boxes if box["output"] and box["hidden"])


def formulas_stay_on_the_page(view: View) -> Iterator[str]:
    yield from (f"a formula reaches out of the text: {formula}" for formula in view.beyond)
    yield from (f"a number lies over its equation: {number}" for number in view.numbers)


def figures_are_large_enough_to_read(view: View) -> Iterator[str]:
    small = [image for image in view.images if image["figure"] and image["width"] < FIGURE]
    yield from (f"a figure {image['width']:.0f} pixels wide, of {FIGURE:.0f}: {image['alt'][:40]}" for image in small)


def solutions_open_by_keyboard(view: View) -> Iterator[str]:
    if view.solution == "stuck":
        yield "a hidden solution does not open by keyboard"


CHECKS: list[Callable[[View], Iterator[str]]] = [
    is_light,
    loads_alone_and_without_errors,
    fits_the_window,
    is_accessible,
    images_have_a_text,
    equations_are_drawn,
    equation_links_say_their_number,
    shows_no_traceback,
    code_can_be_copied,
    wide_boxes_say_so,
    outputs_are_whole_on_a_desk,
    formulas_stay_on_the_page,
    figures_are_large_enough_to_read,
    solutions_open_by_keyboard,
]


@each_page
@pytest.mark.parametrize("width", HEIGHTS)
def test_page(browser: Browser, address: str, page: str, width: int) -> None:
    views = look(browser, address, f"{page}.html", width)
    assert list(views) == list(THEMES)
    for theme, view in views.items():
        assert [f"{theme}, {check.__name__}: {wrong}" for check in CHECKS for wrong in check(view)] == []
        if page in NOTEBOOKS:
            assert view.cells > 0
            figures = [words(image["alt"]) for image in view.images if image["figure"]]
            assert figures == stored_texts(ROOT / f"{page}.ipynb"), "the page's figures are those of the notebook"
        if page in CHAPTERS:
            assert view.equations["rendered"] > 0, "a chapter without an equation"
            assert view.solution == "opens", "a chapter without a hidden solution"


def stored_texts(notebook: Path) -> list[str]:
    """The text that the notebook stores with each figure, in the order of the page."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    shown = [cell for cell in cells if "remove-cell" not in cell["metadata"].get("tags", [])]
    forms = [output.get("data", {}) for cell in shown for output in cell.get("outputs", [])]
    return [words("".join(form["text/plain"])) for form in forms if "image/png" in form]


@each_page
def test_equations_are_linked_by_number(book: Path, page: str) -> None:
    """What the visits compare is there to be compared: each link to an equation leads to one."""
    links = soup(book, page).select('a[href^="#equation-"]:not(.headerlink)')
    assert all(has_anchor(book / f"{page}.html", link["href"][1:]) for link in links)


def test_some_chapter_refers_to_an_equation(book: Path) -> None:
    assert any(soup(book, page).select('a[href^="#equation-"]:not(.headerlink)') for page in CHAPTERS)


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


def test_every_work_is_cited_and_listed_once(book: Path) -> None:
    works = re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text(encoding="utf-8"), re.M)
    listed = soup(book, "book/bibliography").select("div.citation-list div.citation")
    assert len(works) == len(set(works))
    assert len(listed) == len(works), "the page lists what is cited: cite the others, or take them out"


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
<pre style="background: #fff"><span style="color: #111">dark</span> <span style="color: #bbb">pale code</span></pre>
<span class="math"><span class="katex-error">x</span></span>
<div class="math" id="equation-a"><span class="katex-display">E = mc</span>
<span class="eqno" style="margin-left: -3em">(2)</span></div><a href="#equation-a">Eq. (1)</a>
<span class="math"><span class="base" style="position: absolute; left: 800px">y = far away</span></span>
<pre style="overflow-x: auto; width: 200px">a line that says nothing of how it goes on and on and on</pre>
<pre data-more="right" tabindex="0" role="group" aria-label="Code">short</pre>
<p style="overflow: hidden; white-space: nowrap; width: 100px">a sentence that nobody can read to its end</p>
<div><pre style="overflow-x: auto; width: 200px; mask-image: linear-gradient(red, blue)" data-more="right" tabindex="0"
 role="group" aria-label="Code">a line that never says it has come to an end</pre>
<span class="scroll-hint">scroll</span></div>
<style>.scroll-hint::after { content: "scroll" }</style>
<div class="tag_solution"><details><summary onkeydown="event.preventDefault()">stuck</summary>x</details></div>
<div class="cell"><div class="cell_input"><div class="highlight">x</div></div>
<div class="cell_output"><img src="missing.png" alt="a figure as small as a stamp" style="display: block; width: 90px">
Traceback (most recent call last)</div></div>
<script>console.error("an error of the page")</script></main></body></html>"""


@pytest.fixture(scope="module", params=THEMES)
def broken(browser: Browser, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> View:
    """A page with one fault of every kind, seen as the book's pages are seen."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "broken.html").write_text(BROKEN)
    with serve(folder) as address:
        return look(browser, address, "broken.html", 390)[request.param]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_broken_page_is_noticed(broken: View, check: Callable[[View], Iterator[str]]) -> None:
    if check is is_light:
        broken = View(sizes={"picture.png": BUDGET + 1})
    if check is outputs_are_whole_on_a_desk:
        broken = View(width=1280, boxes=[{"what": "a table of numbers", "output": True, "hidden": 9}])
    assert list(check(broken)) != []


def test_every_fault_of_the_broken_page_is_named(broken: View) -> None:
    wrong = "\n".join(wrong for check in CHECKS for wrong in check(broken))
    faults = (
        "another host: https://elsewhere.invalid/picture.png",
        "404",
        "missing.png",
        "an error of the page",
        "image-alt",
        "color-contrast",
        "raw TeX",
        "KaTeX marks 1",
        "0 of 3 equations",
        "'link': '1', 'equation': '2'",
        "1 tracebacks",
        "0 copy buttons for 1",
        "pale code",
        "without a cue: pre. a line that says nothing",
        "cannot be reached by keyboard, or has no name: pre. a line that says nothing",
        "says that it goes on, and does not: pre. short",
        "cut off without a way to see it: p. a sentence",
        "says that it goes on where it ends: pre. a line that never",
        "out of the text: y = far away",
        "over its equation: (2)",
        "a figure 90 pixels wide",
        "does not open by keyboard",
    )
    assert [fault for fault in faults if fault not in wrong] == []
    assert broken.overflow > 400
    assert sum(broken.sizes.values()) > 0
