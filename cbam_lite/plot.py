"""The book's pictures: one colour language, small drawing steps, and `show`, which gives every figure its text.

Blue is the feature map, orange the channel gate, green the spatial gate, vermilion the output. The hues are Okabe and
Ito's, darkened so that letters of them can be read; orange and vermilion stand apart by lightness, too, for readers who
see few hues. Values of maps and gates are drawn with viridis, signed values with a diverging map around 0.
"""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cbam_lite.explaining.gradcam import positive, resize

if TYPE_CHECKING:  # Matplotlib takes as long to import as a good part of torch, so those who draw nothing never wait
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

INPUT = "#0072B2"  # feature map F
CHANNEL = "#A86400"  # channel gate M_c
SPATIAL = "#00795A"  # spatial gate M_s
OUTPUT = "#A92A12"  # what comes out
NEUTRAL = "#5A6270"

VALUES = "viridis"  # gates and non-negative maps
SIGNED = "RdBu_r"  # kernels and signed maps, centred at 0

SMALL = 10.5  # points of the smallest letters: on a phone, which shows the 5.6 inches on 350 pixels, 9 pixels

STYLE: Any = {
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": NEUTRAL,
    "axes.titlelocation": "left",
    "image.interpolation": "nearest",
}

Array = NDArray[np.floating]


def as_array(values: Tensor | Array | Sequence[float]) -> Array:
    """A NumPy array of the values, off the graph and the device, for drawing."""
    if isinstance(values, Tensor):
        return values.detach().float().cpu().numpy()
    return np.asarray(values, dtype=float)


# ---- a figure and its text ------------------------------------------------------------------------------------------


@contextmanager
def figure(
    title: str, alt: str, rows: int = 1, columns: int = 1, height: float = 2.4, *, file: str | Path | None = None
) -> Iterator[list[Axes]]:
    """Draw in the book's style, then `show` it, or write it into a file.

    Args:
        title: the figure's message, one sentence, drawn above it.
        alt: the text alternative, made from the plotted numbers.
        rows, columns: the grid; the block gets its axes in reading order.
        height: inches for one row. Every figure is 5.6 inches wide, so that its letters stay readable on a phone.
        file: of the picture, as scripts want it: ``.png``, ``.pdf`` ... Nothing is shown then.
    """
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        picture, axes = plt.subplots(rows, columns, figsize=(5.6, rows * height + 0.4), squeeze=False)
        picture.suptitle(textwrap.fill(title, 54), x=0.01, ha="left", fontsize=12, fontweight="bold")
        yield list(axes.flat)
        if file is None:
            show(picture, alt)
        else:
            picture.savefig(file, dpi=170)
            plt.close(picture)


def show(picture: Figure, alt: str) -> None:
    """Display a figure together with its text, as one output with a picture and a text form.

    Notebook tests compare the text, so a figure whose numbers change is noticed; the book puts the same text into the
    page as the picture's alternative for readers who do not see it. Outside a notebook it calls ``plt.show()``.

    Raises:
        ValueError: the text says too little to stand for the picture.
    """
    import matplotlib.pyplot as plt

    if len(alt) < 20:
        raise ValueError(f"alt={alt!r} is too short to stand for the figure: say what its numbers say")
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        get_ipython = None
    if get_ipython is None or get_ipython() is None:
        plt.show()
        return
    png = base64.b64encode(small_png(picture)).decode()
    plt.close(picture)
    display({"image/png": png, "text/plain": alt}, raw=True)  # type: ignore[no-untyped-call]


def small_png(picture: Figure) -> bytes:
    """The figure as a PNG of 256 colours, well under half the size of a full one, so that pages stay light.

    The palette is fitted: it covers all colours that occur, so rare ones (a thin line, the top of a colour bar) keep
    theirs, and k-means then moves it to where most pixels are. White stays white, and no band shows in a smooth map.
    """
    from PIL import Image  # comes with Matplotlib

    full, small = io.BytesIO(), io.BytesIO()
    picture.savefig(full, format="png", dpi=170)
    pixels = Image.open(full).convert("RGB")
    colours = pixels.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    colours.save(small, format="png", optimize=True)
    return small.getvalue()


def describe(values: Tensor | Array, what: str) -> str:
    """One sentence that a text alternative can be built from: size, range, and where the largest value stands.

    >>> describe(torch.tensor([[0.0, 1.0], [2.0, 3.0]]), "the map")
    'the map, 2 x 2, runs from 0.00 to 3.00 and is largest at row 1, column 1'
    """
    array = as_array(values)
    if array.size == 0:
        raise ValueError(f"{what} is empty: there is nothing to describe")
    size = " x ".join(map(str, array.shape))
    place = np.unravel_index(int(array.argmax()), array.shape)
    where = f"row {place[0]}, column {place[1]}" if array.ndim == 2 else f"index {', '.join(map(str, place))}"
    return f"{what}, {size}, runs from {array.min():.2f} to {array.max():.2f} and is largest at {where}"


# ---- what is drawn --------------------------------------------------------------------------------------------------


def draw_image(ax: Axes, image: Tensor | Array, title: str = "") -> None:
    """An RGB image: a tensor (3, H, W) or an array (H, W, 3), from 0 to 1."""
    pixels = as_array(image)
    if isinstance(image, Tensor):
        pixels = pixels.transpose(1, 2, 0)
    ax.imshow(np.clip(pixels, 0, 1))
    ax.set_title(title)
    ax.set_axis_off()


def draw_mask(ax: Axes, mask: Tensor | Array, colour: str = OUTPUT) -> None:
    """The outline of a mask (H, W) over what is drawn already; nothing for an empty one."""
    padded = np.pad(as_array(mask), 1)  # so that an outline closes at the border of the image
    if padded.any():
        H, W = padded.shape
        ax.contour(np.arange(W) - 1, np.arange(H) - 1, padded, [0.5], colors=[colour], linewidths=1.3)


def draw_map(
    ax: Axes,
    values: Tensor | Array,
    title: str = "",
    *,
    signed: bool = False,
    limits: tuple[float, float] | None = None,
    bar: bool = False,
) -> AxesImage:
    """A map (H, W) with the book's colours; signed maps are centred at 0. `bar` adds the colour bar."""
    array = as_array(values)
    if limits is None:
        largest = float(np.abs(array).max()) or 1.0
        limits = (-largest, largest) if signed else (float(array.min()), float(array.max()))
    image = ax.imshow(array, cmap=SIGNED if signed else VALUES, vmin=limits[0], vmax=limits[1])
    ax.set_title(title)
    ax.set_axis_off()
    if bar:
        ax.figure.colorbar(image, ax=ax, shrink=0.8)
    return image


def draw_cam(
    ax: Axes,
    image: Tensor | Array,
    values: Tensor,
    title: str = "",
    *,
    mask: Tensor | Array | None = None,
    peak: float | None = None,
    bar: bool = False,
) -> None:
    """A raw map over its image, from 0 to its peak: what speaks for the score in colours, the image in grey.

    Nothing is subtracted, so what is 0 looks like 0. The peak is written below, because maps of any height would look
    alike: where it is not positive, the map says nothing for the score.

    Args:
        ax: where to draw.
        image: (3, H, W) or (H, W, 3), from 0 to 1.
        values: the raw signed map (h, w), as `cam` gives it; it is cut off at 0, then resized.
        mask: (H, W), whose outline is drawn.
        peak: the value of the brightest colour; None takes the map's own. Give one peak to maps that are compared.
        bar: add the colour bar.
    """
    pixels = as_array(image)
    pixels = pixels.transpose(1, 2, 0) if isinstance(image, Tensor) else pixels
    top = float(values.max()) if peak is None else peak
    S = resize(positive(values[None].detach().float()), pixels.shape[:2])[0]
    ax.imshow(pixels.mean(2), cmap="gray", vmin=0, vmax=1)
    layer = ax.imshow(as_array(S), cmap=VALUES, vmin=0, vmax=top if top > 0 else 1, alpha=0.6)
    if mask is not None:
        draw_mask(ax, mask, "white")
    ax.set_title(title)
    ax.set_xlabel(f"peak {float(values.max()):.2g}", fontsize=SMALL, labelpad=2)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    if bar:
        ticks = [0, top] if top > 0 else [0]
        ax.figure.colorbar(layer, ax=ax, shrink=0.8, ticks=ticks, format="%.2g")


def draw_cams(axes: Sequence[Axes], images: Tensor, maps: Mapping[str, Tensor], *, masks: Tensor | None = None) -> None:
    """A grid: one row for each image, the image itself first, then one column for each kind of map.

    Every map has its own peak, written below it.

    Args:
        axes: in reading order, ``len(images) * (1 + len(maps))`` of them.
        images: (N, 3, H, W), from 0 to 1.
        maps: {title of the column: raw signed maps (N, h, w)}, of any networks, methods and layers.
        masks: (N, H, W), whose outlines are drawn.

    Raises:
        ValueError: there are fewer or more axes, or maps, than images.
    """
    N, columns = len(images), 1 + len(maps)
    if len(axes) != N * columns or any(len(values) != N for values in maps.values()):
        raise ValueError(
            f"{N} images with {len(maps)} kinds of maps need {N} maps of each kind and {N * columns} axes, got "
            f"{[len(values) for values in maps.values()]} and {len(axes)}: use figure(rows={N}, columns={columns})"
        )
    for row in range(N):
        mask = None if masks is None else masks[row]
        first, *rest = axes[row * columns : (row + 1) * columns]
        draw_image(first, images[row], "image" if row == 0 else "")
        if mask is not None:
            draw_mask(first, mask)
        for ax, (title, values) in zip(rest, maps.items(), strict=True):
            draw_cam(ax, images[row], values[row], title if row == 0 else "", mask=mask)


def draw_numbers(
    ax: Axes,
    values: Tensor | Array,
    title: str = "",
    *,
    mark: NDArray[np.bool_] | None = None,
    digits: int = 0,
) -> None:
    """A small matrix as a grid of numbers; `mark` (bool, same shape) tints the cells to look at."""
    array = as_array(values)
    H, W = array.shape
    tint = np.zeros((H, W)) if mark is None else mark.astype(float)
    ax.imshow(tint, cmap="Blues", vmin=0, vmax=3)
    for i in range(H):
        for j in range(W):
            ax.text(j, i, f"{array[i, j]:.{digits}f}", ha="center", va="center", fontsize=11)
    ax.set_xticks(np.arange(-0.5, W), [])
    ax.set_yticks(np.arange(-0.5, H), [])
    ax.grid(color=NEUTRAL, linewidth=0.6)
    ax.tick_params(length=0)
    ax.set_title(title)


def draw_gate(
    ax: Axes,
    gate: Tensor | Array | Sequence[float],
    title: str = "",
    *,
    colour: str = CHANNEL,
) -> None:
    """A channel gate (C,) as one bar a channel, with the line at 1 where nothing changes."""
    array = as_array(gate)
    bars = ax.bar(np.arange(len(array)), array, color=colour, width=0.8)
    if len(array) <= 8:  # few enough to read
        ax.bar_label(bars, fmt="%.2f", fontsize=SMALL)
    ax.axhline(1, color=NEUTRAL, linewidth=0.8, linestyle="--")
    ax.set_xlabel("channel")
    ax.set_title(title)


def draw_intervals(
    ax: Axes,
    names: Sequence[str],
    means: Sequence[float],
    halves: Sequence[float],
    *,
    colour: str | Sequence[str] = INPUT,
    reference: float | None = None,
) -> None:
    """One row for each name, from the top: the mean as a dot, its interval as a line; `reference` is a dashed line."""
    rows = np.arange(len(names))[::-1]
    colours = [colour] * len(names) if isinstance(colour, str) else colour
    for row, mean, half, shade in zip(rows, means, halves, colours, strict=True):
        ax.errorbar(mean, row, xerr=half, fmt="o", color=shade, capsize=4, linewidth=2)
    if reference is not None:
        ax.axvline(reference, color=NEUTRAL, linewidth=0.9, linestyle="--", zorder=0)
    ax.set_yticks(rows, names)
    ax.set_ylim(-0.7, len(names) - 0.3)


def draw_flow(ax: Axes, boxes: Sequence[tuple[str, str]], *, columns: int | None = None) -> None:
    """Boxes (text, colour) from left to right with arrows between them; `columns` wraps them into rows."""
    columns = columns or len(boxes)
    rows = -(-len(boxes) // columns)
    left = None
    for index, (text, colour) in enumerate(boxes):
        x, y = index % columns, rows - 1 - index // columns
        frame = {"boxstyle": "round,pad=0.4", "facecolor": colour, "edgecolor": "none"}
        box = ax.text(x, y, text, ha="center", va="center", fontsize=SMALL, color="white", bbox=frame, zorder=2)
        if left is not None and index % columns:
            ends = {"patchA": left.get_bbox_patch(), "patchB": box.get_bbox_patch(), "shrinkA": 2, "shrinkB": 2}
            arrow = {"arrowstyle": "-|>", "color": NEUTRAL, "linewidth": 1.4, **ends}  # from edge to edge
            ax.annotate("", xy=(x, y), xytext=(x - 1, y), arrowprops=arrow, zorder=3)
        left = box
    ax.set_xlim(-0.5, columns - 0.5)
    ax.set_ylim(-0.5, rows - 0.5)
    ax.set_axis_off()


def overlay(image: Tensor, gate: Tensor | Array, alpha: float = 0.55) -> Array:
    """Lay a spatial map over an image, for `draw_image` or ``plt.imshow``.

    The map is stretched to its own range, so the colours tell places apart; say the range beside the picture.
    A map with one value everywhere is drawn as its lowest colour.

    Args:
        image: (3, H, W), from 0 to 1.
        gate: a map (h, w) of any size; it is resized with bilinear interpolation.
        alpha: the weight of the map's colours, from 0 (image only) to 1 (map only).

    Returns:
        An array (H, W, 3) from 0 to 1.

    Raises:
        ValueError: the shapes are not (3, H, W) and (h, w), or alpha is not between 0 and 1.

    Example:
        >>> overlay(cat_photo(), torch.rand(7, 7)).shape
        (192, 192, 3)
    """
    from matplotlib import colormaps

    values = torch.as_tensor(as_array(gate), dtype=torch.float32)
    if image.dim() != 3 or image.shape[0] != 3 or values.dim() != 2:
        raise ValueError(
            f"overlay needs one image (3, H, W) and one map (h, w), got {tuple(image.shape)} and "
            f"{tuple(values.shape)}: pick one of the batch with images[0] and maps.spatial[name][0]"
        )
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha} must be between 0 (image only) and 1 (map only)")
    H, W = image.shape[1:]
    resized = torch.nn.functional.interpolate(values[None, None], (H, W), mode="bilinear", align_corners=False)[0, 0]
    resized = (resized - resized.min()) / (resized.max() - resized.min()).clamp_min(1e-12)
    colours = colormaps[VALUES](resized.numpy())[..., :3]
    grey = as_array(image).mean(0)[..., None]  # grey, so that only the map has colours
    return np.clip((1 - alpha) * grey + alpha * colours, 0, 1)
