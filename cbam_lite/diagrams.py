"""Block diagrams in the book's colours: boxes on a grid, and arrows that say the shape of what they carry."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cbam_lite.checks import choose
from cbam_lite.plot import NEUTRAL

if TYPE_CHECKING:  # as in plot.py: those who draw nothing never wait for Matplotlib
    from matplotlib.axes import Axes


class Box(NamedTuple):
    """A box: its middle on the grid (rows count downwards; halves and negative numbers do), its text and colour."""

    column: float
    row: float
    text: str
    colour: str
    width: float = 0.8  # in columns
    height: float = 0.5  # in rows


class Arrow(NamedTuple):
    """An arrow between two boxes, by their names, and its text: the shape of what it carries.

    `path` is "straight", "across" (sideways first, then up or down), "down" (up or down first, then sideways), or a
    number: the column in which the arrow passes by what stands between the boxes.
    """

    start: str
    end: str
    text: str = ""
    path: str | float = "straight"


def corners(a: Box, b: Box, path: str | float) -> list[tuple[float, float]]:
    """Where an arrow from a to b begins, turns and ends: on the edges of the boxes."""
    right, down = (1 if b.column > a.column else -1), (1 if b.row > a.row else -1)
    if not isinstance(path, str):
        out, back = (1 if path > a.column else -1), (1 if path > b.column else -1)
        return [
            (a.column + out * a.width / 2, a.row),
            (path, a.row),
            (path, b.row),
            (b.column + back * b.width / 2, b.row),
        ]
    side, top = b.column - right * b.width / 2, b.row - down * b.height / 2
    if choose("path", path, ("straight", "across", "down")) == "across":
        return [(a.column + right * a.width / 2, a.row), (b.column, a.row), (b.column, top)]
    if path == "down":
        return [(a.column, a.row + down * a.height / 2), (a.column, b.row), (side, b.row)]
    if a.row == b.row:
        return [(a.column + right * a.width / 2, a.row), (side, b.row)]
    if abs(a.column - b.column) <= max(a.width, b.width) / 2:  # one stands over the other: in the narrow one's middle
        column = min(a, b, key=lambda box: box.width).column
        return [(column, a.row + down * a.height / 2), (column, top)]
    raise ValueError(f"{a.text!r} does not stand beside or over {b.text!r}: use path='across', 'down' or a column")


def draw_diagram(ax: Axes, boxes: Mapping[str, Box], arrows: Sequence[Arrow]) -> None:
    """Draw boxes by name and the arrows between them. Three beside each other still have words to read on a phone.

    An arrow's text stands above its longest leg, or right of it if that leg is upright; of a bypass on the left, left.

    Raises:
        ValueError: an arrow names no box, or its path does not fit.

    Example:
        >>> boxes = {"F": Box(0, 0, "F", plot.INPUT), "gate": Box(0, 1, "$M_c$", plot.CHANNEL)}
        >>> arrows = [Arrow("F", "gate", "64 × 8 × 8")]
        >>> with plot.figure("From a map to its gate", in_words(arrows)) as (ax,):
        ...     draw_diagram(ax, boxes, arrows)
    """
    from matplotlib.patches import FancyArrowPatch, Rectangle
    from matplotlib.path import Path

    look: Any = {"arrowstyle": "-|>", "mutation_scale": 13, "color": NEUTRAL, "linewidth": 1.6, "zorder": 3}
    for box in boxes.values():
        corner = (box.column - box.width / 2, box.row - box.height / 2)
        ax.add_patch(Rectangle(corner, box.width, box.height, color=box.colour, linewidth=3, joinstyle="round"))
        ax.text(box.column, box.row, box.text, ha="center", va="center", fontsize=11.5, color="white")
    xs = [box.column + side * box.width / 2 for box in boxes.values() for side in (-1, 1)]
    ys = [box.row + side * box.height / 2 for box in boxes.values() for side in (-1, 1)]
    for arrow in arrows:
        a, b = (boxes[choose("box of an arrow", name, boxes)] for name in (arrow.start, arrow.end))
        points = corners(a, b, arrow.path)
        xs += [x for x, _ in points]
        ax.add_patch(FancyArrowPatch(path=Path(points), **look))
        (x, y), (x1, y1) = max(itertools.pairwise(points), key=lambda leg: float(np.abs(np.subtract(*leg)).sum()))
        left = not isinstance(arrow.path, str) and arrow.path < a.column
        place: Any = (
            {"ha": "center", "va": "bottom"} if y == y1 else {"ha": "right" if left else "left", "va": "center"}
        )
        shift = (0, 3) if y == y1 else (-5 if left else 5, 0)
        ax.annotate(arrow.text, ((x + x1) / 2, (y + y1) / 2), shift, textcoords="offset points", fontsize=11, **place)
    ax.set(xlim=(min(xs) - 0.04, max(xs) + 0.04), ylim=(max(ys) + 0.04, min(ys) - 0.04))
    ax.set_axis_off()


def in_words(arrows: Sequence[Arrow]) -> str:
    """The diagram in words, for the text of its figure: what each arrow joins, by the names of the boxes, and carries.

    >>> in_words([Arrow("F", "channel gate", "64 × 8 × 8"), Arrow("channel gate", "product")])
    'F to channel gate (64 × 8 × 8), channel gate to product.'
    """
    return ", ".join(f"{a.start} to {a.end}" + (f" ({a.text})" if a.text else "") for a in arrows) + "."
