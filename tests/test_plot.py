"""Figures show what they say: the text beside a picture, and what is drawn on the axes."""

import base64
import io
import itertools
import sys

import IPython
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from cbam_lite import overlay, plot

ALT = "A map with values from 0 to 1."


@pytest.fixture
def ax() -> Axes:
    yield plt.subplots()[1]
    plt.close("all")


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list:
    """What a notebook would show: a kernel is running, and its display keeps what it is given."""
    shown: list = []
    plt.switch_backend("Agg")  # pyplot looks for IPython when it picks its backend: before IPython is faked
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append((bundle, raw)))
    return shown


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list:
    """Counts calls of plt.show()."""
    calls: list = []
    monkeypatch.setattr(plt, "show", lambda: calls.append("show"))
    return calls


# ---- a figure and its text ------------------------------------------------------------------------------------------


def test_in_a_notebook_picture_and_text_are_one_output(displayed: list, windows: list) -> None:
    picture = plt.figure(figsize=(2, 1))
    plot.show(picture, ALT)
    ((bundle, raw),) = displayed
    assert raw is True
    assert bundle.keys() == {"image/png", "text/plain"}
    assert bundle["text/plain"] == ALT
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert not plt.fignum_exists(picture.number)
    assert windows == []


def pixels_of(picture: Figure) -> tuple[np.ndarray, np.ndarray]:
    """A figure's pixels (H, W, 3) from 0 to 255: as the book stores them, and as they were drawn."""
    drawn = io.BytesIO()
    picture.savefig(drawn, format="png", dpi=170)
    pictures = (Image.open(file).convert("RGB") for file in (io.BytesIO(plot.small_png(picture)), drawn))
    stored, full = (np.asarray(each).astype(int) for each in pictures)
    plt.close(picture)
    return stored, full


def filled(figsize: tuple[float, float]) -> tuple[Figure, Axes]:
    """A figure, and axes that fill all but a white margin."""
    picture = plt.figure(figsize=figsize)
    ax = picture.add_axes((0.1, 0.1, 0.8, 0.8))
    ax.set_axis_off()
    return picture, ax


def test_the_small_png_keeps_size_and_colours() -> None:
    picture, ax = filled((2, 1))
    ax.add_patch(plt.Rectangle((0, 0), 1, 1, color=plot.OUTPUT))
    stored, _ = pixels_of(picture)
    assert stored.shape == (170, 340, 3)
    assert stored[85, 170].tolist() == [int(plot.OUTPUT[i : i + 2], 16) for i in (1, 3, 5)]
    assert stored[2, 2].tolist() == [255, 255, 255]


@pytest.mark.parametrize("colours", ["viridis", "gray", "RdBu_r"])
def test_a_smooth_map_has_no_bands(colours: str) -> None:
    picture, ax = filled((4, 2))
    ax.imshow(np.linspace(0, 1, 64)[None].repeat(40, 0), cmap=colours, interpolation="bilinear", aspect="auto")
    picture.text(0.1, 0.92, "letters have soft edges, whose shades need room, too", color=plot.SPATIAL)
    stored, drawn = pixels_of(picture)
    assert np.abs(stored - drawn).max() <= 4
    assert (stored[:5] == 255).all()


def test_a_photograph_keeps_its_tints_and_a_rare_colour_stays() -> None:
    picture, ax = filled((4, 2))
    shades = torch.rand(40, 80, 1, generator=torch.Generator().manual_seed(0)).numpy()
    tint = np.where(np.arange(80) < 40, 0.0, 1.0)[None, :, None] * np.array([0.1, 0.0, -0.1]) + [0.6, 0.5, 0.4]
    ax.imshow(tint * (0.5 + 0.5 * shades))
    ax.plot([10, 14], [20, 20], color=plot.INPUT, linewidth=2)
    stored, drawn = pixels_of(picture)
    for half in (np.s_[60:280, 80:300], np.s_[60:280, 380:600]):
        np.testing.assert_allclose(stored[half].mean((0, 1)), drawn[half].mean((0, 1)), atol=1)
    line = (np.abs(drawn - [int(plot.INPUT[i : i + 2], 16) for i in (1, 3, 5)]).max(2) == 0).nonzero()
    assert len(line[0]) > 20
    assert np.abs(stored - drawn)[line].max() <= 12


def test_outside_a_notebook_a_window_opens(windows: list) -> None:
    picture = plt.figure()
    plot.show(picture, ALT)
    assert windows == ["show"]
    assert plt.fignum_exists(picture.number)
    plt.close(picture)


def test_without_ipython_a_window_opens(windows: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    picture = plt.figure()
    plot.show(picture, ALT)
    assert windows == ["show"]
    plt.close(picture)


def test_a_text_that_says_nothing_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"alt='a plot' is too short to stand for the figure: say what its numbers say"
    ):
        plot.show(plt.figure(), "a plot")
    plt.close("all")


def test_figure_gives_axes_in_reading_order_and_shows(displayed: list) -> None:
    with plot.figure("The message", ALT, rows=2, columns=3, height=1.5) as axes:
        picture = axes[0].figure
        assert len(axes) == 6
        assert picture.get_size_inches().tolist() == [5.6, 3.4]
        assert picture.get_suptitle() == "The message"
        picture.canvas.draw()
        x = [ax.get_position().x0 for ax in axes]
        y = [ax.get_position().y0 for ax in axes]
        assert x[0] < x[1] < x[2]
        assert y[0] > y[3]
        assert displayed == []
    assert displayed[0][0]["text/plain"] == ALT


def test_figure_style_ends_with_the_block(displayed: list) -> None:
    before = plt.rcParams["axes.titlelocation"]
    with plot.figure("The message", ALT):
        assert plt.rcParams["axes.titlelocation"] == "left"
    assert plt.rcParams["axes.titlelocation"] == before


def test_describe_says_size_range_and_place() -> None:
    text = plot.describe(torch.tensor([[0.0, 7.5, 2.0], [2.0, -3.0, 1.0]]), "the map")
    assert text == "the map, 2 x 3, runs from -3.00 to 7.50 and is largest at row 0, column 1"
    assert plot.describe(np.array([1.0, 4.0]), "the gate").endswith("from 1.00 to 4.00 and is largest at index 1")
    assert plot.describe(torch.arange(8.0).reshape(2, 2, 2), "z").endswith("is largest at index 1, 1, 1")
    with pytest.raises(ValueError, match="the map is empty: there is nothing to describe"):
        plot.describe(torch.zeros(0, 3), "the map")


def test_as_array_takes_what_chapters_have() -> None:
    assert plot.as_array(torch.ones(2, dtype=torch.bfloat16, requires_grad=True)).tolist() == [1, 1]
    assert plot.as_array([1, 2]).dtype == float
    assert plot.as_array(np.array([True, False])).tolist() == [1, 0]


def linear(colour: str) -> np.ndarray:
    """Red, green and blue as amounts of light."""
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of an amount of light under D65: equal distances look about equally different."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ light.clip(0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# How red, green and blue arrive without the green, without the red cones: Machado, Oliveira and Fernandes, 2009.
SIGHT = {
    "all cones": np.eye(3),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
}
COLOURS = {name: getattr(plot, name) for name in ("INPUT", "CHANNEL", "SPATIAL", "OUTPUT", "NEUTRAL")}


@pytest.mark.parametrize("eyes", SIGHT)
def test_the_colours_can_be_told_apart(eyes: str) -> None:
    seen = {name: lab(SIGHT[eyes] @ linear(colour)) for name, colour in COLOURS.items()}
    pairs = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in itertools.combinations(seen, 2)}
    assert {pair: distance for pair, distance in pairs.items() if distance < 10} == {}


@pytest.mark.parametrize("name", COLOURS)
def test_letters_of_each_colour_can_be_read_on_white_and_white_ones_on_it(name: str) -> None:
    light = float(linear(COLOURS[name]) @ [0.2126, 0.7152, 0.0722])
    assert 1.05 / (light + 0.05) >= 4.5  # WCAG 2, level AA


# ---- what is drawn --------------------------------------------------------------------------------------------------


def drawn(ax: Axes) -> np.ndarray:
    return np.asarray(ax.images[0].get_array())


def test_draw_image_takes_tensors_and_arrays(ax: Axes) -> None:
    image = torch.rand(3, 4, 5)
    plot.draw_image(ax, image, "a cat")
    np.testing.assert_allclose(drawn(ax), image.permute(1, 2, 0))
    assert ax.get_title() == "a cat"
    assert not ax.axison
    plot.draw_image(plt.figure().subplots(), image.permute(1, 2, 0).numpy())


def test_draw_image_cuts_values_outside_0_to_1(ax: Axes) -> None:
    plot.draw_image(ax, torch.full((3, 2, 2), 1.5))
    assert drawn(ax).max() == 1


def test_draw_map_uses_its_own_range(ax: Axes) -> None:
    image = plot.draw_map(ax, torch.tensor([[1.0, 2.0], [3.0, 5.0]]), "gate")
    assert image.get_clim() == (1, 5)
    assert image.get_cmap().name == "viridis"
    assert ax.get_title() == "gate"
    assert len(ax.figure.axes) == 1


def test_draw_map_centres_signed_values(ax: Axes) -> None:
    image = plot.draw_map(ax, np.array([[-1.0, 3.0]]), signed=True)
    assert image.get_clim() == (-3, 3)
    assert image.get_cmap().name == "RdBu_r"
    assert plot.draw_map(ax, np.zeros((2, 2)), signed=True).get_clim() == (-1, 1)


def test_draw_map_takes_limits_and_a_colour_bar(ax: Axes) -> None:
    image = plot.draw_map(ax, torch.rand(3, 3), limits=(0, 2), bar=True)
    assert image.get_clim() == (0, 2)
    assert len(ax.figure.axes) == 2


def test_draw_numbers_writes_every_number_in_its_cell(ax: Axes) -> None:
    mark = np.array([[True, False, False], [False, False, True]])
    plot.draw_numbers(ax, torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.25]]), "F", mark=mark, digits=1)
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    assert texts == {(0, 0): "1.0", (1, 0): "2.0", (2, 0): "3.0", (0, 1): "4.0", (1, 1): "5.0", (2, 1): "6.2"}
    assert drawn(ax).tolist() == mark.astype(float).tolist()
    assert ax.get_title() == "F"


def test_draw_numbers_without_marks_or_digits(ax: Axes) -> None:
    plot.draw_numbers(ax, [[-5, 0]])
    assert [text.get_text() for text in ax.texts] == ["-5", "0"]
    assert not drawn(ax).any()


@pytest.mark.parametrize(("channels", "labels"), [(8, 8), (9, 0)])
def test_draw_gate_has_one_bar_a_channel(ax: Axes, channels: int, labels: int) -> None:
    gate = torch.rand(channels)
    plot.draw_gate(ax, gate, "M_c", colour=plot.SPATIAL)
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], gate)
    assert {to_hex(bar.get_facecolor()).upper() for bar in ax.patches} == {plot.SPATIAL}
    assert len(ax.texts) == labels
    assert ax.lines[0].get_ydata()[0] == 1
    assert (ax.get_xlabel(), ax.get_title()) == ("channel", "M_c")


def test_draw_gate_labels_say_the_values(ax: Axes) -> None:
    plot.draw_gate(ax, [0.5, 0.25])
    assert [text.get_text() for text in ax.texts] == ["0.50", "0.25"]


@pytest.mark.parametrize(("columns", "arrows", "rows"), [(None, 4, 1), (3, 3, 2), (5, 4, 1), (1, 0, 5)])
def test_draw_flow_wraps_boxes_into_rows(ax: Axes, columns, arrows: int, rows: int) -> None:
    names = ["F", "pool", "MLP", "gate", "F'"]
    plot.draw_flow(ax, [(name, plot.INPUT) for name in names], columns=columns)
    boxes = [text for text in ax.texts if text.get_text()]
    assert [box.get_text() for box in boxes] == names
    assert len(ax.texts) - len(boxes) == arrows
    heights = [box.get_position()[1] for box in boxes]
    assert len(set(heights)) == rows
    assert heights == sorted(heights, reverse=True)


def test_draw_flow_arrows_reach_from_edge_to_edge(ax: Axes) -> None:
    plot.draw_flow(ax, [("a wide box\nof two lines", plot.INPUT), ("F", plot.CHANNEL), ("F'", plot.OUTPUT)])
    ax.figure.canvas.draw()
    boxes = [text.get_bbox_patch().get_window_extent() for text in ax.texts if text.get_text()]
    arrows = [text.arrow_patch.get_window_extent() for text in ax.texts if not text.get_text()]
    for left, right, arrow in zip(boxes[:-1], boxes[1:], arrows, strict=True):
        assert left.x1 < arrow.x0 < left.x1 + 6
        assert right.x0 - 6 < arrow.x1 < right.x0


# ---- overlay --------------------------------------------------------------------------------------------------------


def test_overlay_has_the_size_of_the_image_and_values_of_a_picture() -> None:
    picture = overlay(torch.rand(3, 20, 30), torch.rand(5, 4))
    assert picture.shape == (20, 30, 3)
    assert picture.min() >= 0
    assert picture.max() <= 1


def test_overlay_mixes_grey_and_colours_by_alpha() -> None:
    image, gate = torch.rand(3, 6, 6), torch.rand(6, 6)
    grey = image.mean(0)[..., None].numpy()
    np.testing.assert_allclose(overlay(image, gate, alpha=0), np.broadcast_to(grey, (6, 6, 3)), rtol=1e-6)
    stretched = (gate - gate.min()) / (gate.max() - gate.min())
    colours = plt.get_cmap("viridis")(stretched.numpy())[..., :3]
    np.testing.assert_allclose(overlay(image, gate, alpha=1), colours, atol=0.01)
    np.testing.assert_allclose(overlay(image, gate, 0.25), 0.75 * grey + 0.25 * colours, atol=0.01)


def test_overlay_puts_the_brightest_colour_at_the_largest_gate() -> None:
    gate = torch.zeros(4, 4)
    gate[3, 0] = 2
    picture = overlay(torch.zeros(3, 40, 40), gate, alpha=1)
    row, column = np.unravel_index(picture.sum(2).argmax(), (40, 40))
    assert row > 30
    assert column < 10


def test_overlay_of_an_even_map_is_its_lowest_colour() -> None:
    picture = overlay(torch.zeros(3, 4, 4), np.full((2, 2), 0.5), alpha=1)
    np.testing.assert_allclose(picture, np.broadcast_to(plt.get_cmap("viridis")(0.0)[:3], (4, 4, 3)))


@pytest.mark.parametrize(
    ("image", "gate"),
    [
        (torch.zeros(1, 3, 8, 8), torch.zeros(4, 4)),
        (torch.zeros(8, 8, 3), torch.zeros(4, 4)),
        (torch.zeros(3, 8, 8), torch.zeros(2, 4, 4)),
    ],
)
def test_overlay_says_which_shapes_it_needs(image: torch.Tensor, gate: torch.Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"one image \(3, H, W\) and one map \(h, w\), got .*maps.spatial\[name\]\[0\]"
    ):
        overlay(image, gate)


def test_overlay_refuses_alpha_outside_0_to_1() -> None:
    with pytest.raises(ValueError, match=r"alpha=1.5 must be between 0 \(image only\) and 1 \(map only\)"):
        overlay(torch.zeros(3, 8, 8), torch.zeros(4, 4), alpha=1.5)


def test_outline_closes_around_the_mask_also_at_the_border() -> None:
    mask = torch.zeros(6, 8, dtype=torch.bool)
    mask[0:2, 5:8] = True
    picture, ax = plt.subplots()
    plot.draw_image(ax, torch.rand(3, 6, 8))
    plot.draw_mask(ax, mask)
    (outline,) = ax.collections
    vertices = outline.get_paths()[0].vertices
    assert vertices.min(0).tolist() == [4.5, -0.5]  # pixel 5 begins at 4.5
    assert vertices.max(0).tolist() == [7.5, 1.5]
    plt.close(picture)


def test_empty_mask_draws_nothing() -> None:
    picture, ax = plt.subplots()
    plot.draw_mask(ax, torch.zeros(4, 4, dtype=torch.bool))
    assert not ax.collections
    plt.close(picture)


def test_intervals_stand_in_order_from_the_top() -> None:
    picture, ax = plt.subplots()
    plot.draw_intervals(ax, ["first", "second"], [0.5, 0.7], [0.1, 0.2], colour=["red", "blue"], reference=0.5)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first", "second"]
    assert ax.get_yticks().tolist() == [1, 0]
    ends = [container.lines[2][0].get_segments()[0][:, 0].tolist() for container in ax.containers]
    assert ends == [pytest.approx([0.4, 0.6]), pytest.approx([0.5, 0.9])]
    plt.close(picture)


def test_cam_is_drawn_from_zero_to_its_peak_which_is_written_below() -> None:
    picture, ax = plt.subplots()
    values = torch.tensor([[-1.0, 0.0], [0.5, 2.0]])
    plot.draw_cam(ax, torch.rand(3, 8, 8), values, "title", mask=torch.ones(8, 8), bar=True)
    _photo, layer = ax.images
    assert layer.get_clim() == (0, 2)  # nothing is subtracted, and nothing below 0 is shown
    assert layer.get_array().shape == (8, 8)
    assert layer.get_array().min() == 0
    assert ax.get_xlabel() == "peak 2"
    assert len(ax.collections) == 1  # the outline of the mask
    bar = picture.axes[1]
    assert [label.get_text() for label in bar.get_yticklabels()] == ["0", "2"]
    plt.close(picture)


def test_cam_without_anything_positive_says_so() -> None:
    picture, ax = plt.subplots()
    plot.draw_cam(ax, torch.rand(3, 8, 8), -torch.ones(2, 2), bar=True)
    assert ax.get_xlabel() == "peak -1"
    assert ax.images[1].get_array().max() == 0
    assert ax.images[1].get_clim() == (0, 1)
    assert [label.get_text() for label in picture.axes[1].get_yticklabels()] == ["0"]
    plt.close(picture)


def test_cams_compared_share_a_peak() -> None:
    picture, ax = plt.subplots()
    plot.draw_cam(ax, np.zeros((8, 8, 3)), torch.ones(2, 2), peak=4)
    assert ax.images[1].get_clim() == (0, 4)
    assert ax.get_xlabel() == "peak 1"
    plt.close(picture)


def test_grid_has_a_row_for_each_image_and_a_column_for_each_map() -> None:
    picture, axes = plt.subplots(2, 3)
    maps = {"plain": torch.rand(2, 4, 4), "CBAM": torch.rand(2, 8, 8)}
    plot.draw_cams(list(axes.flat), torch.rand(2, 3, 16, 16), maps, masks=torch.ones(2, 16, 16))
    assert [ax.get_title("left") or ax.get_title() for ax in axes[0]] == ["image", "plain", "CBAM"]
    assert [len(ax.images) for ax in axes.flat] == [1, 2, 2] * 2
    assert axes[1, 2].get_xlabel() == f"peak {maps['CBAM'][1].max():.2g}"
    plot.draw_cams(list(axes.flat), torch.rand(2, 3, 16, 16), maps)  # without masks
    with pytest.raises(ValueError, match=r"use figure\(rows=3, columns=3\)"):
        plot.draw_cams(list(axes.flat), torch.rand(3, 3, 16, 16), maps)
    plt.close(picture)
