"""The detector as a picture: its maps, what leads from one to the other, and the three places for attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cbam_lite.plot import CHANNEL, INPUT, NEUTRAL, OUTPUT, SMALL

if TYPE_CHECKING:  # Matplotlib takes long to import
    from matplotlib.axes import Axes

# Name, shape at 416 x 416, column and row of the middle, colour.
BOXES = {
    "image": ("3 × 416 × 416", 0.0, 4.0, NEUTRAL),
    "stem, 2 stages": ("256 × 52 × 52,\npooled to 26", 0.0, 3.0, INPUT),
    "third stage": ("512 × 26 × 26,\npooled to 13", 0.0, 2.0, INPUT),
    "last": ("512 × 13 × 13", 0.0, 1.0, INPUT),
    "feat1": ("256 × 26 × 26", 1.0, 2.0, CHANNEL),
    "feat2": ("512 × 13 × 13", 1.0, 1.0, CHANNEL),
    "P5": ("256 × 13 × 13", 2.0, 1.0, INPUT),
    "P5_upsample": ("128 × 26 × 26", 2.0, 2.0, CHANNEL),
    "P4": ("384 × 26 × 26", 2.0, 3.0, INPUT),
    "coarse level": ("3 × (5 + K)\n× 13 × 13", 3.0, 1.0, OUTPUT),
    "fine level": ("3 × (5 + K)\n× 26 × 26", 3.0, 3.0, OUTPUT),
}
ARROWS = (
    ("image", "stem, 2 stages"),
    ("stem, 2 stages", "third stage"),
    ("third stage", "last"),
    ("third stage", "feat1"),
    ("last", "feat2"),
    ("feat2", "P5"),
    ("P5", "coarse level"),
    ("P5", "P5_upsample"),
    ("P5_upsample", "P4"),
    ("feat1", "P4"),
    ("P4", "fine level"),
)
WIDE, HIGH = 0.88, 0.74


def draw_network(ax: Axes) -> None:
    """Draw YOLOv4-tiny; orange marks the three places for attention. `ARROWS` and `BOXES` say the same in words."""
    from matplotlib.patches import FancyBboxPatch

    for name, (shape, x, y, colour) in BOXES.items():
        corner, style = (x - WIDE / 2, y - HIGH / 2), "round,pad=0,rounding_size=0.06"
        ax.add_patch(FancyBboxPatch(corner, WIDE, HIGH, boxstyle=style, facecolor="white", edgecolor=colour, lw=1.8))
        ax.text(x, y + 0.18, name, ha="center", va="center", fontsize=SMALL, color="black")
        ax.text(x, y - 0.13, shape, ha="center", va="center", fontsize=SMALL, color="black")
    for start, end in ARROWS:
        ax.annotate("", border(end, start), border(start, end), arrowprops={"arrowstyle": "-|>", "color": NEUTRAL})
    ax.set_xlim(-0.47, 3.47)
    ax.set_ylim(0.6, 4.4)
    ax.axis("off")


def border(inside: str, towards: str) -> tuple[float, float]:
    """Where the line from the middle of one box to that of another leaves the first."""
    (_, x, y, _), (_, other_x, other_y, _) = BOXES[inside], BOXES[towards]
    dx, dy = other_x - x, other_y - y
    reach = min(WIDE / 2 / abs(dx) if dx else 1e9, HIGH / 2 / abs(dy) if dy else 1e9)
    return x + reach * dx, y + reach * dy
