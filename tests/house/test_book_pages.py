"""What the book's own Sphinx extension adds to the reference: links to the source, and how to import an entry."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import cbam_lite
from cbam_lite.photographs.intervals import wilson

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("sphinx")
SPEC = importlib.util.spec_from_file_location("book_pages", ROOT / "book" / "_ext" / "book_pages.py")
assert SPEC is not None
assert SPEC.loader is not None
book_pages: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(book_pages)


@pytest.fixture
def source() -> Callable[[str, dict[str, str]], str | None]:
    theme = {"repository_url": "https://example.org/book", "repository_branch": "main"}
    config = SimpleNamespace(html_theme_options=theme, linkcode_resolve=None)
    book_pages.link_to_source(SimpleNamespace(srcdir=ROOT), config)
    assert config.linkcode_resolve is not None
    return config.linkcode_resolve


@pytest.mark.parametrize(
    ("module", "name", "first"),
    [
        ("explaining.localize", "energy", "def energy("),
        ("attention.cbam", "CBAM", "class CBAM("),
        ("attention.cbam", "CBAM.paper", "    @classmethod"),
        ("plot", "figure", "@contextmanager"),
    ],
)
def test_an_entry_links_to_its_lines(source: Any, module: str, name: str, first: str) -> None:
    address, _, lines = source("py", {"module": f"cbam_lite.{module}", "fullname": name}).partition("#L")
    start, end = (int(number) for number in lines.split("-L"))
    file = address.removeprefix("https://example.org/book/blob/main/")
    text = (ROOT / file).read_text().splitlines()
    assert text[start - 1].startswith(first)
    assert end > start


@pytest.mark.parametrize("name", ["TAUS", "nothing.of.this"])
def test_what_has_no_source_has_no_link(source: Any, name: str) -> None:
    assert source("py", {"module": "cbam_lite.explaining.localize", "fullname": name}) is None


@pytest.mark.parametrize(
    ("name", "thing", "words"),
    [
        ("cbam_lite.attention.cbam.CBAM", cbam_lite.CBAM, "``from cbam_lite import CBAM``"),
        (
            "cbam_lite.explaining.localize.energy",
            cbam_lite.localize.energy,
            "``from cbam_lite import localize``, then ``localize.energy``",
        ),
    ],
)
def test_an_entry_says_how_to_import_it_by_its_short_name(name: str, thing: object, words: str) -> None:
    lines = ["Summary.", "", "More."]
    book_pages.say_import(None, "function", name, thing, None, lines)
    assert [line for line in lines if line] == ["Summary.", words, "More."]


def test_an_entry_with_its_long_name_only_says_nothing() -> None:
    lines = ["Summary."]
    book_pages.say_import(None, "function", "cbam_lite.photographs.intervals.wilson", wilson, None, lines)
    assert lines == ["Summary."]


def test_parameters_are_no_entries() -> None:
    """`score` is a function of ours and a parameter of `cam`: a link would be wrong half of the time."""
    assert {"score", "method"} <= book_pages.parameters()
    assert "cam" not in book_pages.parameters()


def test_a_folded_solution_says_what_it_is() -> None:
    summary = (
        '<details class="hide">\n<summary aria-label="Toggle hidden content"><p>Show code cell content</p></summary>'
    )
    other = f'<div class="cell tag_hide-cell docutils container">\n{summary}'
    context = {
        "body": f'<div class="cell tag_hide-cell tag_solution docutils container">\n{summary}\n</details>{other}'
    }
    book_pages.name_solutions(None, "page", "page.html", context, None)
    assert context["body"].count("Show the solution") == context["body"].count("Show code cell content") == 1
    assert context["body"].index("Show the solution") < context["body"].index("Show code cell content")
    assert 'aria-label="Solution"' in context["body"]
    book_pages.name_solutions(None, "page", "page.html", {}, None)
