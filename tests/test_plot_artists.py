"""Every drawing step against its stored description, so that a changed picture is a decision and no accident.

`PYTHONPATH=. python tests/test_plot_artists.py` writes the description anew; look at what changed before you commit it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from cbam_lite import plot

STORED = Path(__file__).with_suffix(".txt")

image = torch.linspace(-0.2, 1.2, 3 * 4 * 6).reshape(3, 4, 6)
values = torch.tensor([[-1.0, 0.5, 2.0], [0.0, 0.25, -3.0]])
mask = torch.zeros(4, 6, dtype=torch.bool)
mask[1:3, 2:] = True
marked = np.array([[True, False, True], [False, False, True]])
pair = torch.stack([image, 1 - image]).clamp(0, 1)
maps = {"LayerCAM": torch.stack([values, -values]), "Grad-CAM": torch.stack([values.T, values.T * 2])}
masks = torch.stack([mask, mask.flip(1)])

PICTURES: dict[str, tuple[int, Callable[..., object]]] = {  # axes, and what draws on them
    "image": (1, lambda ax: plot.draw_image(ax, image, "title")),
    "image, array": (1, lambda ax: plot.draw_image(ax, image.permute(1, 2, 0).numpy())),
    "mask": (1, lambda ax: plot.draw_mask(ax, mask)),
    "mask in another colour": (1, lambda ax: plot.draw_mask(ax, mask.numpy(), plot.INPUT)),
    "map": (1, lambda ax: plot.draw_map(ax, values, "title")),
    "signed map": (1, lambda ax: plot.draw_map(ax, values, signed=True, bar=True)),
    "map of zeros": (1, lambda ax: plot.draw_map(ax, torch.zeros(2, 2), signed=True)),
    "map with limits": (1, lambda ax: plot.draw_map(ax, values, limits=(0, 4), bar=True)),
    "cam": (1, lambda ax: plot.draw_cam(ax, image, values, "title", mask=mask, bar=True)),
    "cam over an array": (1, lambda ax: plot.draw_cam(ax, image.permute(1, 2, 0).numpy(), values, peak=5)),
    "cam with nothing positive": (1, lambda ax: plot.draw_cam(ax, image, -values.abs(), bar=True)),
    "cams": (6, lambda *axes: plot.draw_cams(axes, pair, maps, masks=masks)),
    "cams without masks": (6, lambda *axes: plot.draw_cams(axes, pair, maps)),
    "numbers": (1, lambda ax: plot.draw_numbers(ax, values, "title", mark=marked, digits=2)),
    "numbers without marks": (1, lambda ax: plot.draw_numbers(ax, values)),
    "gate": (1, lambda ax: plot.draw_gate(ax, [0.5, 1.5, 1.0], "title")),
    "gate of 8": (1, lambda ax: plot.draw_gate(ax, torch.linspace(0, 1, 8))),
    "gate of 9": (1, lambda ax: plot.draw_gate(ax, torch.linspace(0, 1, 9), colour=plot.SPATIAL)),
    "intervals": (1, lambda ax: plot.draw_intervals(ax, ["a", "b"], [0.9, 0.8], [0.1, 0.05])),
    "intervals with a line": (
        1,
        lambda ax: plot.draw_intervals(
            ax, ["a", "b"], [0.9, 0.8], [0.1, 0.05], colour=[plot.SPATIAL, plot.OUTPUT], reference=0.85
        ),
    ),
    "flow": (1, lambda ax: plot.draw_flow(ax, [("F", plot.INPUT), ("M_c", plot.CHANNEL)])),
    "flow in rows": (1, lambda ax: plot.draw_flow(ax, [(c, plot.INPUT) for c in "abcde"], columns=2)),
    "overlay": (1, lambda ax: plot.draw_image(ax, plot.overlay(image, values))),
}


def rounded(numbers: object) -> str:
    return np.array2string(np.asarray(numbers, dtype=float) + 0.0, precision=3, suppress_small=True, threshold=10**4)


def described(artist: Artist) -> str:
    """What of an artist can be seen, in a line."""
    words = [type(artist).__name__, f"zorder {artist.get_zorder():g}", f"alpha {artist.get_alpha()}"]
    if isinstance(artist, AxesImage):
        words += [artist.get_cmap().name, f"limits {artist.get_clim()}", rounded(artist.get_array())]
    elif isinstance(artist, Text):
        words += [repr(artist.get_text()), rounded(artist.get_position()), f"size {artist.get_fontsize():g}"]
        words += [to_hex(artist.get_color()), artist.get_ha(), artist.get_va()]
        box = artist.get_bbox_patch()
        if box is not None:
            style = box.get_boxstyle()
            words += [
                f"{type(style).__name__} pad {style.pad:g}",
                to_hex(box.get_facecolor()),
                to_hex(box.get_edgecolor(), True),
            ]
        arrow = getattr(artist, "arrow_patch", None)
        if arrow is not None:
            words += [rounded(artist.xy), f"{arrow.get_linewidth():g}", to_hex(arrow.get_edgecolor())]
            words += [type(arrow.get_arrowstyle()).__name__, f"shrinks by {arrow.shrinkA:g} and {arrow.shrinkB:g}"]
            words += [f"between {[type(patch).__name__ for patch in (arrow.patchA, arrow.patchB)]}"]
    elif isinstance(artist, Line2D):
        words += [to_hex(artist.get_color()), f"width {artist.get_linewidth():g}", artist.get_linestyle()]
        words += [str(artist.get_marker()), f"{artist.get_markersize():g}", rounded(artist.get_xydata())]
    elif isinstance(artist, Patch):
        words += [to_hex(artist.get_facecolor())]
        words += [rounded(artist.get_bbox().bounds)] if hasattr(artist, "get_bbox") else []
    elif hasattr(artist, "get_paths"):
        words += [to_hex(c) for c in artist.get_edgecolor()] + [rounded(artist.get_linewidth())]
        words += [rounded(path.vertices) for path in artist.get_paths()]
        words += [rounded(segment) for segment in getattr(artist, "get_segments", list)()]
    return " ".join(" ".join(words).split())


def lines_of(ax: Axes) -> Iterator[str]:
    """Everything on the axes that somebody drew."""
    yield f"axis {ax.axison}, x {rounded(ax.get_xlim())}, y {rounded(ax.get_ylim())}"
    yield f"title {ax.get_title(loc='left')!r}, below {ax.get_xlabel()!r} {ax.xaxis.label.get_fontsize():g}"
    yield f"pad {ax.xaxis.labelpad:g}, spines {[spine.get_visible() for spine in ax.spines.values()]}"
    for axis in (ax.xaxis, ax.yaxis):
        yield f"ticks {rounded(axis.get_ticklocs())} {[label.get_text() for label in axis.get_ticklabels()]}"
        tick = axis.get_major_ticks()[:1]
        grid = [t.gridline for t in tick]
        yield f"lines {[(g.get_visible(), to_hex(g.get_color()), g.get_linewidth()) for g in grid]}"
        yield f"tick length {[t.tick1line.get_markersize() for t in tick]}"
    own = {
        ax.patch,
        ax.xaxis,
        ax.yaxis,
        *ax.spines.values(),
        ax.title,
        *(c for c in ax.get_children() if c is ax.title),
    }
    for child in ax.get_children():
        empty = isinstance(child, Text) and not child.get_text() and not hasattr(child, "xy")
        if child not in own and not empty and not isinstance(child, Container):
            yield described(child)


def written(name: str) -> str:
    """One picture in words."""
    count, draw = PICTURES[name]
    with mpl.rc_context(plot.STYLE):
        figure, grid = plt.subplots(1, count, squeeze=False)
        draw(*grid.flat)
        figure.canvas.draw()
        bars = [ax for ax in figure.axes if ax not in set(grid.flat)]
        lines = [f"## {name}, {len(bars)} colour bars"]
        for number, ax in enumerate(grid.flat):
            lines += [f"# axes {number}", *lines_of(ax)]
        for bar in bars:
            box = bar.get_position()
            labels = [label.get_text() for label in bar.get_yticklabels()]
            lines += [f"# bar, height {box.height:.2f}, x {box.x0:.2f} {rounded(bar.get_yticks())} {labels}"]
            lines += [f"of {bar._colorbar.mappable is grid.flat[0].images[-1]}"]
    plt.close(figure)
    return "\n".join(lines) + "\n"


def test_pictures_are_as_described() -> None:
    stored = STORED.read_text()
    for name in PICTURES:
        now = written(name)
        assert now in stored, f"the picture {name!r} has changed:\n{now}"
    assert stored.count("## ") == len(PICTURES)


def letters(figure: Figure) -> dict[str, float]:
    """The size in points of every text that can be seen."""
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    return {text.get_text(): text.get_fontsize() for text in texts}


@pytest.mark.parametrize("name", PICTURES)
def test_letters_can_be_read_on_a_phone(name: str) -> None:
    count, draw = PICTURES[name]
    with mpl.rc_context(plot.STYLE):
        figure, grid = plt.subplots(1, count, squeeze=False)
        draw(*grid.flat)
        figure.canvas.draw()
    sizes = letters(figure)
    plt.close(figure)
    assert {text: size for text, size in sizes.items() if size < plot.SMALL} == {}


def test_small_letters_have_9_pixels_where_a_phone_shows_5_6_inches_on_350() -> None:
    assert plot.SMALL / 72 * 350 / 5.6 >= 9
    figure = plt.figure()
    figure.text(0, 0, "too small", fontsize=8)
    assert letters(figure) == {"too small": 8}
    plt.close(figure)


@pytest.mark.parametrize("wrong", [{**maps, "short": maps["Grad-CAM"][:1]}, {"LayerCAM": maps["LayerCAM"]}])
def test_maps_and_axes_that_do_not_fit_are_refused(wrong: dict[str, torch.Tensor]) -> None:
    figure, grid = plt.subplots(1, 6)
    with pytest.raises(ValueError, match="need 2 maps of each kind"):
        plot.draw_cams(list(grid), pair, wrong)
    plt.close(figure)


def test_overlay_of_a_dark_image_stays_a_picture() -> None:
    assert plot.overlay(torch.full((3, 2, 2), -9.0), torch.rand(2, 2)).min() == 0


if __name__ == "__main__":
    mpl.use("agg")
    STORED.write_text("".join(written(name) for name in PICTURES))
