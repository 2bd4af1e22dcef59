"""From files to data: what every loader shares, edges that a small mistake would move, and whole sentences."""

from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import photo, save
from test_reading import png_of_16_bit_colours

from cbam_lite import image_folder
from cbam_lite.photographs.loading import class_names, group_numbers, scaled, thing_of


def test_a_folder_without_masks_and_boxes_says_nothing_of_them(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", photo())
    data = image_folder(tmp_path, 8)
    assert (data.masks, data.objects, data.groups) == (None, None, None)
    assert data.notes == ()


def test_boxes_at_the_border_keep_a_pixel_inside() -> None:
    classes = ("a", "b")
    assert scaled([(10, 0, 11, 1, "a")], (10, 10), 5, classes) == [(4, 0, 5, 1, 0)]
    assert scaled([(0, 10, 1, 11, "b")], (10, 10), 5, classes) == [(0, 4, 1, 5, 1)]
    assert scaled([(-1, -1, 3, 3, "a")], (10, 10), 20, classes) == [(0, 0, 6, 6, 0)], "VOC's 0 becomes -1"
    assert scaled([(-1, -1, -0.5, -0.5, "a")], (10, 10), 20, classes) == [(0, 0, 1, 1, 0)]
    assert scaled([(4, 6, 4.1, 6.1, "a")], (10, 10), 5, classes) == [(2, 3, 3, 4, 0)]
    assert scaled([(0, 0, 20, 10, "a")], (10, 20), 5, classes) == [(0, 0, 5, 5, 0)]
    assert scaled([(5, 2, 9, 3, "a"), (0, 0, 1, 1, "b")], (10, 20), 40, classes) == [
        (10, 8, 18, 12, 0),
        (0, 0, 2, 4, 1),
    ]


def test_a_class_that_is_not_named_is_counted() -> None:
    said = r"^a/1.png is of the class 'crack', .* one of classes=\['good'\]: add it, or take the 2 images of it away$"
    with pytest.raises(ValueError, match=said):
        class_names(["crack", "good", "crack"], ["good"], ["a/1.png", "b", "c"])
    with pytest.raises(ValueError, match=r"^classes=\['a', 'a'\] names a class twice: give each once$"):
        class_names(["a"], ["a", "a"], ["x"])
    with pytest.raises(
        TypeError, match=r"^classes must be a list of names, got 3: use classes=train.classes, for exam"
    ):
        class_names(["a"], 3, ["x"])  # type: ignore[arg-type]
    assert class_names(["b", "a", "b"], None, ["x", "y", "z"]) == ("a", "b")


def test_groups_of_every_kind() -> None:
    names, images = ("a/1.png", "b/2.png", "a/3.png"), torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    kinds = (
        np.array([7, 5, 7]),
        torch.tensor([7, 5, 7]),
        ["x", None, "x"],
        (1.5, 2, 1.5),
        lambda path: path.parent.name,
    )
    for groups in kinds:
        found = group_numbers(groups, names, images)  # type: ignore[arg-type]
        assert found is not None
        assert found.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match=r"^groups has 2 entries for 3 images: give one for each, in order of path$"):
        group_numbers([1, 2], names, images)
    with pytest.raises(ValueError, match=r"^groups fails for 'a': it must give something hashable for every path \("):
        thing_of(lambda path: {}, "a")


# ---- what reading changed --------------------------------------------------------------------------------------------


def test_colours_of_16_bits_are_refused_only_where_all_are_dark(tmp_path: Path) -> None:
    for number, value in ((1, 63), (2, 63)):
        png_of_16_bit_colours(tmp_path / f"a/{number}.png", np.full((8, 8, 3), 256 * value + 255))
    with pytest.raises(
        ValueError, match=r"^all 2 images have 16 bits for each colour, .* upper 8 bits is 63; multiply"
    ):
        image_folder(tmp_path, 8)
    png_of_16_bit_colours(tmp_path / "a/2.png", np.full((8, 8, 3), 256 * 64))
    data = image_folder(tmp_path, 8)
    assert data.images.amax((1, 2, 3)).tolist() == [63, 64]
    assert data.notes == ("2 images with 16 bits for each colour read by the upper 8",)
    save(tmp_path / "a/2.png", np.full((8, 8), 20))
    assert image_folder(tmp_path, 8).notes == ("1 image with 16 bits for each colour read by the upper 8",)


def test_equal_pictures_are_named_in_pairs(tmp_path: Path) -> None:
    pixels = photo()
    for name in ("a/1", "a/2", "a/3", "b/4", "b/5"):
        save(tmp_path / f"{name}.png", pixels)
    with pytest.warns(UserWarning, match="another class"):
        data = image_folder(tmp_path, 8)
    assert data.notes == (
        "2 images equal to another of its class: a/1.png = a/2.png, a/1.png = a/3.png",
        "2 images equal to another of another class: a/1.png = b/4.png, a/1.png = b/5.png",
    )
