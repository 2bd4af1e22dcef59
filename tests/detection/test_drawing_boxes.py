"""Boxes and their maps as pictures: what is on the axes, where labels stand, and what the files are called."""

import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.offsetbox import AnnotationBbox
from matplotlib.patches import Rectangle
from torch import Tensor

from cbam_lite import plot
from cbam_lite.detection.drawing_boxes import draw_boxes, draw_explained, safe, save_explained
from cbam_lite.detection.explaining_boxes import Explanation, explain_boxes
from cbam_lite.detection.letterboxing import Letterbox

NAMES = ("scratch", "missing thread", "pit")


@pytest.fixture
def ax() -> Iterator[Axes]:
    with plt.rc_context(plot.STYLE):
        yield plt.subplots(figsize=(2.8, 2.8))[1]
    plt.close("all")


def rectangles(ax: Axes) -> list[Rectangle]:
    return [artist for artist in ax.patches if isinstance(artist, Rectangle)]


def labels_of(ax: Axes) -> list[AnnotationBbox]:
    return [artist for artist in ax.artists if isinstance(artist, AnnotationBbox)]


def words(label: AnnotationBbox) -> str:
    return label.offsetbox.get_text()


def explained(n: int = 2, H: int = 40, W: int = 60, layers: tuple[str, ...] = ("feat1",)) -> Explanation:
    """An explanation that no network had to give."""
    g = torch.Generator().manual_seed(1)
    boxes = torch.tensor([[10.0, 12, 30, 28], [0, 0, 20, 10], [40, 30, 60, 40]])[:n]
    raw = tuple({layer: torch.randn(4, 6, generator=g) for layer in layers} for _ in range(n))
    return Explanation(
        boxes,
        torch.tensor([2, 1, 0])[:n],
        torch.tensor([0.874, 0.5, 0.251])[:n],
        torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0], [1, 2, 2, 3]])[:n],
        image=torch.rand(3, H, W, generator=g),
        seen=torch.rand(3, 64, 64, generator=g),
        where=Letterbox((H, W), (64, 64)),
        raw=raw,
        maps=torch.rand(n, H, W, generator=g),
        classes=NAMES,
        threshold=0.25,
        best=(0.874, "pit") if n else (0.131, "pit"),
    )


# ---- boxes ----------------------------------------------------------------------------------------------------------


def test_boxes_stand_on_their_pixels_with_white_around(ax: Axes) -> None:
    image, boxes = torch.rand(3, 40, 60), torch.tensor([[10.0, 12, 30, 28], [0, 0, 60, 40]])
    draw_boxes(ax, image, boxes, torch.tensor([2, 1]), NAMES, torch.tensor([0.874, 0.5]), "found")
    (pixels,) = ax.images
    np.testing.assert_allclose(pixels.get_array(), image.permute(1, 2, 0).numpy())
    assert ax.get_title(loc="left") == "found"
    drawn = [(to_hex(r.get_edgecolor()), r.get_bbox().extents.tolist()) for r in rectangles(ax)]
    first, second = [9.5, 11.5, 29.5, 27.5], [-0.5, -0.5, 59.5, 39.5]  # the corner of pixel 0 is at -0.5
    ours = plot.OUTPUT.lower()
    assert drawn == [("#ffffff", second), (ours, second), ("#ffffff", first), (ours, first)]
    white, coloured = rectangles(ax)[:2]
    assert white.get_linewidth() > coloured.get_linewidth()
    assert not white.get_fill()
    assert [words(label) for label in labels_of(ax)] == ["missing thread 0.50", "pit 0.87"]  # the surest one on top
    frame = labels_of(ax)[0].patch
    assert (to_hex(frame.get_facecolor()), to_hex(frame.get_edgecolor())) == (ours, "#ffffff")


def test_letters_are_by_default_as_small_as_the_book_allows(ax: Axes) -> None:
    draw_boxes(ax, torch.rand(3, 40, 60), torch.tensor([[10.0, 12, 30, 28]]), [2], NAMES)
    draw_explained(ax, explained(), 0)
    sizes = [label.offsetbox._text.get_fontsize() for label in labels_of(ax)]
    assert sizes == [plot.SMALL] * 2


def test_letters_are_readable_on_every_colour_of_the_book() -> None:
    """White letters on the colours of boxes: 4.5 to 1, as accessibility guidelines want it."""
    for colour in (plot.OUTPUT, plot.INPUT, plot.SPATIAL, plot.CHANNEL, plot.NEUTRAL):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
        assert 1.05 / (luminance + 0.05) >= 4.5, colour


def test_colours_names_alone_and_arrays(ax: Axes) -> None:
    pixels = np.random.default_rng(0).random((40, 60, 3))
    boxes = torch.tensor([[10, 12, 30, 28], [0, 0, 20, 10]])
    draw_boxes(ax, pixels, boxes, [0, 2], NAMES, colour=[plot.INPUT, plot.SPATIAL], size=6)
    np.testing.assert_allclose(ax.images[0].get_array(), pixels)
    assert {to_hex(r.get_edgecolor()) for r in rectangles(ax)} == {
        "#ffffff",
        plot.INPUT.lower(),
        plot.SPATIAL.lower(),
    }
    assert [words(label) for label in labels_of(ax)] == ["pit", "scratch"]
    assert labels_of(ax)[0].offsetbox._text.get_fontsize() == 6


def test_no_box_is_the_image_alone_and_no_name_a_box_alone(ax: Axes) -> None:
    draw_boxes(ax, torch.rand(3, 8, 8), torch.zeros(0, 4), [], NAMES)
    assert len(ax.images) == 1
    assert not rectangles(ax)
    draw_boxes(ax, torch.rand(3, 8, 8), torch.tensor([[0.0, 0, 4, 4]]), [0], ("",))
    assert len(rectangles(ax)) == 2
    assert not labels_of(ax)


@settings(max_examples=40)
@example(x=(0.0, 1.0), y=(0.0, 75.0), wide=1.3, aspect=2.0, label=1)
@given(
    x=st.tuples(st.floats(-20, 120), st.floats(1, 100)),
    y=st.tuples(st.floats(0, 99), st.floats(1, 100)),
    wide=st.sampled_from([1.3, 2.0, 5.0]),
    aspect=st.sampled_from([0.5, 1.0, 2.0]),
    label=st.integers(0, 2),
)
def test_labels_are_never_cut_off(
    x: tuple[float, float], y: tuple[float, float], wide: float, aspect: float, label: int
) -> None:
    (x0, width), (y0, height) = x, y
    box = torch.tensor([[x0, y0, x0 + width, min(y0 + height, 100)]]) * torch.tensor([aspect, 1, aspect, 1])
    with plt.rc_context(plot.STYLE):
        picture, ax = plt.subplots(figsize=(wide, max(wide / aspect, 1.2)))
        draw_boxes(ax, torch.rand(3, 100, round(100 * aspect)), box, [label], NAMES, [0.87], size=6)
        picture.canvas.draw()
        frame = labels_of(ax)[0].patch.get_window_extent()
        inside = ax.get_window_extent()
        plt.close(picture)
    assert inside.x0 - 1 <= frame.x0 < frame.x1 <= inside.x1 + 1
    assert inside.y0 - 1 <= frame.y0 < frame.y1 <= inside.y1 + 1


def test_a_label_stands_beside_its_box_where_there_is_room(ax: Axes) -> None:
    boxes = torch.tensor([[40.0, 50, 60, 70], [40, 0, 60, 20], [0, 0, 100, 100], [70, 90, 90, 100]])
    draw_boxes(ax, torch.rand(3, 100, 100), boxes, [2, 2, 2, 2], NAMES)
    ax.figure.canvas.draw()
    to_pixels = ax.transData.inverted()
    frames = [to_pixels.transform_bbox(label.patch.get_window_extent()) for label in reversed(labels_of(ax))]
    middle, top, whole, bottom = [(frame.y1, frame.y0) for frame in frames]  # from above, counted downwards
    assert 30 < middle[0] < middle[1] < 50
    assert 19 < top[0] < top[1] < 40
    assert 0 < whole[0] < whole[1] < 20
    assert 70 < bottom[0] < bottom[1] < 90
    assert (frames[0].x0 + frames[0].x1) / 2 == pytest.approx(49.5, abs=1)


def test_boxes_at_one_place_take_turns(ax: Axes) -> None:
    boxes = torch.tensor([[30.0, 40, 60, 60], [31, 41, 61, 61], [29, 39, 60, 61]])
    draw_boxes(ax, torch.rand(3, 100, 100), boxes, [0, 1, 2], NAMES)
    ax.figure.canvas.draw()
    frames = [label.patch.get_window_extent() for label in labels_of(ax)]
    assert not any(a.overlaps(b) for a in frames for b in frames if a is not b)


def test_labels_of_boxes_beside_each_other_do_not_cover_each_other(ax: Axes) -> None:
    boxes = torch.tensor([[40.0, 42, 52, 52], [54, 44, 74, 70], [10, 40, 36, 50]])  # none overlaps another
    draw_boxes(ax, torch.rand(3, 100, 100), boxes, [0, 0, 0], ("inclusion",))
    ax.figure.canvas.draw()
    frames = [label.patch.get_window_extent() for label in labels_of(ax)]
    assert not any(a.overlaps(b) for a in frames for b in frames if a is not b)


def test_boxes_without_letters_take_no_room() -> None:
    with plt.rc_context(plot.STYLE):
        axes = plt.subplots(1, 2, figsize=(5.6, 2.8))[1]
        for ax, names in zip(axes, (("", "pit"), ("stain", "pit")), strict=True):
            boxes = torch.tensor([[40.0, 50, 60, 70], [42, 50, 60, 70]])
            draw_boxes(ax, torch.rand(3, 100, 100), boxes, [0, 1], names)
    (alone,), (second, first) = map(labels_of, axes)
    plt.close("all")
    assert [label.xy[1] for label in (alone, first, second)] == [49.5, 49.5, 69.5]  # above, above, below


def test_boxes_at_one_place_at_the_bottom_have_their_labels_inside(ax: Axes) -> None:
    draw_boxes(ax, torch.rand(3, 100, 100), torch.tensor([[30.0, 94, 60, 100]] * 2), [0, 1], NAMES)
    ax.figure.canvas.draw()
    bottoms = [label.patch.get_window_extent().y0 for label in labels_of(ax)]
    assert min(bottoms) >= ax.get_window_extent().y0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": [0]}, ValueError, "2 boxes, 1 labels, 1 confidences"),
        ({"confidences": [0.5]}, ValueError, "2 boxes, 2 labels, 1 confidences"),
        ({"labels": [0, 3]}, ValueError, "label 3 has no name among 3, scratch, missing thread, pit"),
        ({"labels": [0, -1]}, ValueError, "label -1 has no name"),
        ({"names": "pit"}, TypeError, "names='pit' must be a list of names"),
        ({"boxes": torch.rand(2, 5)}, ValueError, r"boxes \(2, 5\) must be \(n, 4\)"),
        ({"boxes": torch.full((2, 4), torch.nan)}, ValueError, "without NaN or infinity"),
        ({"boxes": [[0, 0, 1, 1]] * 2}, TypeError, "boxes must be a torch.Tensor"),
        ({"colour": ["red"]}, ValueError, "1 colours for 2 boxes"),
        ({"image": torch.rand(1, 3, 8, 8)}, ValueError, r"image is \(1, 3, 8, 8\): give a tensor \(3, H, W\)"),
        ({"image": torch.rand(8, 8, 3)}, ValueError, r"image is \(8, 8, 3\)"),
        ({"image": np.zeros((8, 8))}, ValueError, r"or an array \(H, W, 3\)"),
    ],
)
def test_wrong_parts_are_named(change: dict, error: type[Exception], message: str, ax: Axes) -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4], [2, 2, 8, 8]])
    options = {"image": torch.rand(3, 8, 8), "boxes": boxes, "labels": [0, 1], "names": NAMES}
    with pytest.raises(error, match=message):
        draw_boxes(ax, **(options | change))
    assert not ax.images  # nothing is half drawn


# ---- maps -----------------------------------------------------------------------------------------------------------


def test_a_map_over_its_image_with_box_and_peak(ax: Axes) -> None:
    why = explained()
    draw_explained(ax, why, 1)
    grey, values = ax.images
    np.testing.assert_allclose(grey.get_array(), why.image.mean(0).numpy(), rtol=1e-5)
    np.testing.assert_allclose(values.get_array(), why.maps[1].numpy(), rtol=1e-5)
    assert values.get_clim() == (0, pytest.approx(why.maps[1].max().item()))
    assert ax.get_title(loc="left") == f"peak {why.raw[1]['feat1'].max():.2g}"  # of the raw map
    assert ax.get_xlabel() == ""
    assert [words(label) for label in labels_of(ax)] == ["missing thread 0.50"]
    assert rectangles(ax)[0].get_bbox().extents.tolist() == [-0.5, -0.5, 19.5, 9.5]


def test_titles(ax: Axes) -> None:
    why = explained(layers=("feat1", "P5_upsample"))
    peaks = [f"{layer} {values.max():.2g}" for layer, values in why.raw[0].items()]
    draw_explained(ax, why, 0, "LayerCAM", size=5)
    assert ax.get_title(loc="left") == f"LayerCAM, peak {peaks[0]},\n{peaks[1]}"
    assert labels_of(ax)[0].offsetbox._text.get_fontsize() == 5


def test_a_map_of_nothing_is_drawn_as_nothing(ax: Axes) -> None:
    why = explained(1)
    why.maps.zero_()
    why.raw[0]["feat1"].fill_(-0.5)
    draw_explained(ax, why, 0)
    assert ax.get_title(loc="left") == "peak -0.5"
    assert ax.images[1].get_clim() == (0, 1)


def test_boxes_that_are_not_there(ax: Axes) -> None:
    for i, message in ((2, "i=2 must be at most 1"), (-1, "i=-1 must be at least 0")):
        with pytest.raises(ValueError, match=message):
            draw_explained(ax, explained(), i)
    with pytest.raises(
        ValueError, match=r"no box to draw: nothing above 0.25; the highest confidence is 0.131 \(pit\)"
    ):
        draw_explained(ax, explained(0), 0)
    with pytest.raises(TypeError, match="explanation must be what explain_boxes gives, got Tensor"):
        draw_explained(ax, torch.rand(3), 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="explanation must be what explain_boxes gives, got list"):
        save_explained([], "boxes")  # type: ignore[arg-type]


# ---- files ----------------------------------------------------------------------------------------------------------


def test_a_file_for_each_box(tmp_path: Path) -> None:
    why = explained(3)
    folder = tmp_path / "new" / "boxes"
    paths = save_explained(why, folder)
    assert [p.name for p in paths] == ["00_pit_0.87.png", "01_missing_thread_0.50.png", "02_scratch_0.25.png"]
    assert sorted(folder.iterdir()) == sorted(paths)
    pixels = [plt.imread(path) for path in paths]
    assert all(p.shape[1] == 952 for p in pixels)  # 5.6 inches
    assert all((p[0, 0, :3] == 1).all() for p in pixels)  # a white page, also on a dark one
    assert not np.array_equal(pixels[0], pixels[1])
    assert not plt.get_fignums()
    before = paths[0].read_bytes()
    (folder / "other.png").write_bytes(b"mine")
    assert save_explained(why, str(folder)) == paths
    assert paths[0].read_bytes() == before
    assert (folder / "other.png").read_bytes() == b"mine"


@pytest.mark.parametrize(("H", "W"), [(8, 400), (400, 8)])
def test_pictures_of_any_shape(H: int, W: int, tmp_path: Path) -> None:
    (path,) = save_explained(explained(1, H, W), tmp_path)
    high, wide = plt.imread(path).shape[:2]
    assert wide == 952
    assert 200 < high < 1200


def test_nothing_found_is_no_picture(tmp_path: Path) -> None:
    assert save_explained(explained(0), tmp_path / "boxes") == []
    assert list((tmp_path / "boxes").iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "boxes").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file: give a folder"):
        save_explained(explained(), tmp_path / "boxes")


@given(st.text(max_size=80))
def test_any_name_makes_a_file_name(name: str) -> None:
    assert re.fullmatch(r"[\w-]{1,60}", safe(name))
    assert safe("pin-hole") == "pin-hole"
    assert safe("../../etc") == "etc"
    assert safe("/") == "class"


def test_a_detector_of_its_own(tmp_path: Path) -> None:
    """From image to files, with a network; the image is not of the network's size."""
    from cbam_lite.detection.yolo import yolo_tiny

    why = explain_boxes(yolo_tiny(num_classes=3, width=0.25), torch.rand(3, 50, 70), confidence=0.0, most=2)
    paths = save_explained(why, tmp_path)
    assert [p.name for p in paths] == [f"{i:02d}_class_{why.labels[i]}_{why.confidences[i]:.2f}.png" for i in (0, 1)]
    assert isinstance(why.maps, Tensor)
