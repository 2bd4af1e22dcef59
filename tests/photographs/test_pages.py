"""The page of a report, word by word, so that a changed page is a decision and no accident; and its pictures.

`PYTHONPATH=.:tests/photographs python tests/photographs/test_pages.py` stores the pages anew; read what changed first.
"""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cbam_lite import LabelledImages, measure
from cbam_lite.explaining.scoring import LocalisationScores
from cbam_lite.photographs import pages
from cbam_lite.photographs.intervals import Estimate
from cbam_lite.photographs.markup import cell, paragraph, section, table, track
from cbam_lite.photographs.pages import enlarged, page_of, shown_mistake
from cbam_lite.photographs.report import Mistake, Report, mistakes_of
from cbam_lite.photographs.warning import warnings_of
from cbam_lite.version import __version__

STORED = Path(__file__).with_suffix(".txt")
CLASSES = ("good", "cr<ack", "pit", "rust")
RIGHT = [(0, 0)] * 24 + [(1, 1)] * 20 + [(2, 2)] * 3  # class, what it is called
WRONG = [(1, 0), (1, 0), (0, 1), (0, 2), (0, 1), (2, 1)]


def photographs(rows: list[tuple[int, int]], *, known: bool) -> tuple[LabelledImages, Tensor]:
    """Images and logits; the later a row, the surer its answer. If all is known, there are masks, groups and paths."""
    N = len(rows)
    truth, called = (torch.tensor(column) for column in zip(*rows, strict=True))
    logits = torch.nn.functional.one_hot(called, 4) * (1 + torch.arange(N)[:, None] / N)
    images = torch.arange(N).view(N, 1, 1, 1).expand(-1, 3, 12, 16).to(torch.uint8)
    masks = torch.zeros(N, 12, 16, dtype=torch.bool)
    masks[truth > 0, 2:6, 3:7] = True
    paths = tuple(f"line & 1/{n}.png" for n in range(N))
    more: dict[str, Any] = {"masks": masks, "groups": torch.arange(N) // 2, "paths": paths} if known else {}
    return LabelledImages(images, truth, CLASSES, **more), logits


def scores() -> LocalisationScores:
    """Invented, with a metric that blind maps win, and one that is undefined."""
    rest = {
        "uniform": (0.1, 0.1, 0.1),
        "centre": (0.4, 0.3, 0.5),
        "edges": (0.25, 0.2, 0.3),
        "ceiling": (0.95, 0.9, 1.0),
    }
    nothing = (math.nan, math.nan, math.nan)
    ours = {"pointing": (0.7, 0.6, 0.8), "energy": (0.3, 0.2, math.nan), "lift": nothing}
    return LocalisationScores({name: {"map": one, **rest} for name, one in ours.items()}, 26, 27, 1, 13, (3, 4), 0.9)


def reported(
    rows: list[tuple[int, int]], *, good: str | None = "good", known: bool = True, layer: str | None = "layer2",
    valid: list[tuple[int, int]] | None = None, shown: int = 2, twice: int = 0,
) -> tuple[str, Report]:  # fmt: skip
    """A page as `report` writes it, its pictures left out, and what it was made of."""
    test, logits = photographs(rows, known=known)
    chosen = None if valid is None else (photographs(valid, known=False)[1], torch.tensor([k for k, _ in valid]))
    measured = measure(
        logits.double(),
        test.labels,
        CLASSES,
        good=good,
        groups=test.groups,
        valid=chosen,
        recall=0.9,
        level=0.9,
        resamples=40,
    )
    localisation = scores() if known and layer else None
    mistakes = mistakes_of(torch.softmax(logits.double(), 1), test, good)
    warnings = tuple(warnings_of(measured, localisation, twice))
    found = Report(warnings, measured, localisation, mistakes, layer, "LayerCAM")
    raw = torch.arange(12.0).view(3, 4)
    maps = {heading: torch.stack([raw + n for n in range(shown)]) for heading in mistakes} if layer else {}
    page = page_of(found, test, maps, good, shown, 'A "title" & more')
    page = re.sub(r"<style>.*</style>", "<style></style>", page, flags=re.S)
    return re.sub(r"base64,[^\"]+", "base64,", page).replace(__version__, "VERSION"), found


REPORTS: dict[str, Any] = {
    "everything is known": lambda: reported(RIGHT + WRONG, valid=RIGHT[20:] + WRONG[:3], twice=3),
    "little is known": lambda: reported(RIGHT + WRONG, known=False, layer=None),
    "no good class": lambda: reported(RIGHT + WRONG[:1], good=None, known=False),
    "no defect": lambda: reported(RIGHT[:24] + WRONG[2:3], known=False, layer=None),
    "no mistake": lambda: reported(RIGHT * 3, valid=RIGHT * 3, layer=None),
    "mostly good": lambda: reported(RIGHT[:24] * 3 + RIGHT[24:30] + WRONG[:1], known=False, layer=None, shown=0),
}


def written(name: str) -> str:
    return f"## {name}\n{REPORTS[name]()[0]}"


@pytest.mark.parametrize("name", REPORTS)
def test_each_page_is_the_one_that_is_stored(name: str) -> None:
    stored = STORED.read_text().split("## ")[1:]
    assert written(name) in [f"## {page}" for page in stored]
    assert len(stored) == len(REPORTS)


# ---- numbers in a table ----------------------------------------------------------------------------------------------


def test_a_cell_has_what_is_known() -> None:
    assert cell(Estimate(None, why="a < b")) == '<td class="none">–<small>a &lt; b</small></td>'
    assert cell(Estimate(0.5)) == '<td><span class="estimate"><span>0.50</span></span></td>'
    small = "<small>0.25 to 0.75</small><small>1 of 2</small></span></td>"
    known = Estimate(0.5, 0.25, 0.75, 1, 2)
    assert cell(known) == f'<td><span class="estimate"><span>0.50</span>{small}'
    assert cell(known, drawn=True) == f'<td><span class="estimate"><span>0.50</span>{track(0.5, 0.25, 0.75)}{small}'
    assert "track" not in cell(Estimate(0.5, 0.25, None), drawn=True)


def test_a_track_stands_where_its_numbers_do() -> None:
    assert track(0.5, 0.25, 0.875) == (
        '<span class="track" aria-hidden="true"><i style="left:25.0%;width:62.5%"></i><b style="left:50.0%"></b></span>'
    )


def test_parts_without_content_are_left_out() -> None:
    assert section("Heading", "", "") == ""
    assert section("a & b", "one", "", "two") == "<section>\n<h2>a &amp; b</h2>\none\ntwo\n</section>"
    assert (paragraph("<i>"), paragraph("x", "quiet")) == ("<p>&lt;i&gt;</p>", '<p class="quiet">x</p>')


def test_cells_that_are_ready_stay_as_they_are() -> None:
    found = table("what", ["a", "b"], [["<1>", "<td>ready</td>", "bare"], ["2", "x", "y"]], "wide")
    assert '<th scope="row">&lt;1&gt;</th><td>ready</td><td>bare</td></tr>\n<tr>' in found
    assert '<table class="wide">' in found


# ---- pictures --------------------------------------------------------------------------------------------------------


def test_pictures_are_framed_in_colours_that_can_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[np.ndarray, str]] = []  # type: ignore[type-arg]
    monkeypatch.setattr(pages, "picture", lambda pixels, alt: drawn.append((pixels, alt)) or "")
    test, _ = photographs(RIGHT, known=True)
    one = Mistake(30, None, "cr<ack", "good", 0.25)
    text = shown_mistake(one, test, torch.eye(3), "P(defect)")
    for (pixels, _), colour in zip(drawn, ((240, 90, 20), (255, 255, 255)), strict=True):
        assert pixels.shape == (192, 256, 3)
        frame = (pixels == colour).all(2)
        rows, columns = np.nonzero(frame)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (31, 96, 47, 112), "around 4 x 4 pixels of 16"
    assert [alt for _, alt in drawn] == [
        "image 30, of the class cr<ack",
        "its map, 3 x 3, runs from 0.00 to 1.00 and is largest at row 0, column 0",
    ]
    assert "cr&lt;ack, called good: P(defect) 0.25<small>image 30; peak of the map 1</small>" in text
    drawn.clear()
    shown_mistake(replace(one, path="a.png"), replace(test, masks=None), None, "its probability")
    ((pixels, alt),) = drawn
    assert alt == "a.png, of the class cr<ack"
    assert (pixels == 30).all(), "no frame without a mask"


def test_the_longer_side_has_256_pixels_and_the_other_one_at_least() -> None:
    assert enlarged(torch.rand(3, 20, 10)).shape == (3, 256, 128)
    assert enlarged(torch.rand(1, 1, 600)).shape == (1, 1, 256)
    stripes = torch.tensor([0.0, 1, 1, 0]).repeat(256).expand(3, 1024, -1)
    assert (enlarged(stripes) - 0.5).abs()[:, 2:-2, 2:-2].max() < 0.02, "averaged, not picked"


if __name__ == "__main__":
    STORED.write_text("".join(written(name) for name in REPORTS))
