"""A block diagram shows every box and every text, and its arrows go from edge to edge."""

import doctest
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch, Rectangle

from cbam_lite import diagrams, plot
from cbam_lite.diagrams import Arrow, Box, corners, draw_diagram, in_words

BOXES = {
    "F": Box(0, 0, "F", plot.INPUT, width=2),
    "average": Box(-0.6, 1, "average", plot.CHANNEL),
    "MLP": Box(0, 2, "shared\nMLP", plot.CHANNEL, 1.2, 0.6),
    "product": Box(0, 3, "⊗", plot.OUTPUT, width=0.4),
    "end": Box(1, 3, "F′", plot.NEUTRAL),
}
ARROWS = [
    Arrow("F", "average", "C × H × W"),
    Arrow("average", "MLP", "C × 1 × 1", "down"),
    Arrow("MLP", "product", "M_c"),
    Arrow("F", "product", "past the gate", -1.5),
    Arrow("F", "product", "on the right", 1.5),
    Arrow("product", "end", "refined"),
    Arrow("MLP", "end", "aside", "across"),
]


@pytest.fixture
def ax() -> Iterator[Axes]:
    ax = plt.subplots()[1]
    draw_diagram(ax, BOXES, ARROWS)
    yield ax
    plt.close("all")


def test_every_box_is_drawn_in_its_place_and_colour(ax: Axes) -> None:
    drawn = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [
        (patch.get_xy(), patch.get_width(), patch.get_height(), to_hex(patch.get_facecolor())) for patch in drawn
    ] == [
        ((-1, -0.25), 2, 0.5, plot.INPUT.lower()),
        ((-1.0, 0.75), 0.8, 0.5, plot.CHANNEL.lower()),
        ((-0.6, 1.7), 1.2, 0.6, plot.CHANNEL.lower()),
        ((-0.2, 2.75), 0.4, 0.5, plot.OUTPUT.lower()),
        ((0.6, 2.75), 0.8, 0.5, plot.NEUTRAL.lower()),
    ]
    texts = {text.get_text(): text for text in ax.texts}
    for box in BOXES.values():
        assert texts[box.text].get_position() == (box.column, box.row)
        assert texts[box.text].get_color() == "white"


def test_letters_can_be_read_on_a_phone(ax: Axes) -> None:
    assert min(text.get_fontsize() for text in ax.texts) >= 11


def test_every_arrow_has_its_text_beside_its_longest_leg(ax: Axes) -> None:
    assert len(ax.texts) == len(BOXES) + len(ARROWS)
    places = {text.get_text(): (text.xy, text.get_position(), text.get_ha(), text.get_va()) for text in ax.texts[5:]}
    assert places == {
        "C × H × W": ((-0.6, 0.5), (5, 0), "left", "center"),
        "C × 1 × 1": ((-0.6, 1.625), (5, 0), "left", "center"),
        "M_c": ((0.0, 2.525), (5, 0), "left", "center"),
        "past the gate": ((-1.5, 1.5), (-5, 0), "right", "center"),  # outside of the bypass
        "on the right": ((1.5, 1.5), (5, 0), "left", "center"),
        "refined": ((0.4, 3.0), (0, 3), "center", "bottom"),
        "aside": ((1.0, 2.375), (5, 0), "left", "center"),
    }


def test_arrows_are_drawn_from_edge_to_edge(ax: Axes) -> None:
    drawn = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert len(drawn) == len(ARROWS)
    for patch, arrow in zip(drawn, ARROWS, strict=True):
        points = [tuple(point) for point in patch._path_original.vertices]
        assert points == corners(BOXES[arrow.start], BOXES[arrow.end], arrow.path)
        assert patch.get_arrowstyle().__class__.__name__ == "CurveFilledB"  # the head is at the end
        for (x, y), box in ((points[0], BOXES[arrow.start]), (points[-1], BOXES[arrow.end])):
            across, down = abs(x - box.column) * 2 / box.width, abs(y - box.row) * 2 / box.height
            assert max(across, down) == pytest.approx(1)
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            assert x0 == x1 or y0 == y1  # no slanted line


@pytest.mark.parametrize(
    ("a", "b", "path", "expected"),
    [
        ((0, 0), (0, 1), "straight", [(0, 0.25), (0, 0.75)]),
        ((0, 1), (0, 0), "straight", [(0, 0.75), (0, 0.25)]),
        ((0, 0), (2, 0), "straight", [(0.5, 0), (1.5, 0)]),
        ((2, 0), (0, 0), "straight", [(1.5, 0), (0.5, 0)]),
        ((0, 0), (2, 1), "across", [(0.5, 0), (2, 0), (2, 0.75)]),
        ((2, 1), (0, 0), "across", [(1.5, 1), (0, 1), (0, 0.25)]),
        ((0, 0), (2, 1), "down", [(0, 0.25), (0, 1), (1.5, 1)]),
        ((2, 1), (0, 0), "down", [(2, 0.75), (2, 0), (0.5, 0)]),
        ((0, 0), (0, 2), 1, [(0.5, 0), (1, 0), (1, 2), (0.5, 2)]),
        ((0, 0), (0, 2), -1.0, [(-0.5, 0), (-1.0, 0), (-1.0, 2), (-0.5, 2)]),
        ((0, 0), (2, 2), 1, [(0.5, 0), (1, 0), (1, 2), (1.5, 2)]),
    ],
)
def test_where_arrows_turn(a, b, path, expected) -> None:
    assert corners(Box(*a, "a", "", width=1), Box(*b, "b", "", width=1), path) == expected


def test_a_straight_arrow_meets_the_narrow_box_in_its_middle() -> None:
    wide, narrow = Box(0, 0, "wide", "", width=2), Box(1, 1, "narrow", "")
    assert corners(wide, narrow, "straight") == [(1, 0.25), (1, 0.75)]
    assert corners(narrow, wide, "straight") == [(1, 0.75), (1, 0.25)]
    with pytest.raises(
        ValueError, match="'wide' does not stand beside or over 'narrow': use path='across', 'down' or a "
    ):
        corners(wide, narrow._replace(column=1.01), "straight")


def test_the_axes_hold_boxes_and_bypasses(ax: Axes) -> None:
    assert ax.get_xlim() == (-1.54, 1.54)
    assert ax.get_ylim() == (3.29, -0.29)  # rows count downwards
    assert not ax.axison


def test_names_and_paths_that_are_not_there_are_named() -> None:
    ax = plt.subplots()[1]
    message = r"^box of an arrow='mlp' is not one of 'F', 'average', 'MLP', 'product', 'end'"
    with pytest.raises(ValueError, match=message):
        draw_diagram(ax, BOXES, [Arrow("F", "mlp")])
    with pytest.raises(ValueError, match=r"box of an arrow='averag' is not one of .*; did you mean 'average'"):
        draw_diagram(ax, BOXES, [Arrow("averag", "MLP")])
    with pytest.raises(ValueError, match=r"path='acros' is not one of .*; did you mean 'across'"):
        draw_diagram(ax, BOXES, [Arrow("F", "MLP", "", "acros")])
    plt.close("all")


def test_the_words_name_every_arrow() -> None:
    assert in_words([*ARROWS[:2], Arrow("MLP", "end")]) == (
        "F to average (C × H × W), average to MLP (C × 1 × 1), MLP to end."
    )


def test_the_examples_run(tmp_path: Path) -> None:
    names = {**vars(diagrams), "plot": plot}
    plt.switch_backend("Agg")
    for thing in (draw_diagram, in_words):
        for test in doctest.DocTestFinder().find(thing, thing.__name__, globs=names):
            assert test.examples
            assert doctest.DocTestRunner().run(test).failed == 0
    plt.close("all")


def test_the_package_does_not_import_it() -> None:
    program = "import sys, cbam_lite; print('cbam_lite.diagrams' in sys.modules, 'matplotlib' in sys.modules)"
    alone = "import sys, cbam_lite.diagrams; print('matplotlib' in sys.modules)"
    root = Path(__file__).resolve().parents[1]
    for code, expected in ((program, "False False\n"), (alone, "False\n")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=root)
        assert done.stdout == expected, done.stderr
