"""The container of labelled images."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from cbam_lite import LabelledImages, make_defects
from cbam_lite.training.images import boxes_of


def pictures(n: int = 4, size: int = 8, **options: object) -> LabelledImages:
    labels = options.pop("labels", torch.zeros(n, dtype=torch.long))
    return LabelledImages(torch.randint(256, (n, 3, size, size), dtype=torch.uint8), labels, ("a", "b"), **options)  # type: ignore[arg-type]


def test_it_is_a_torch_data_set() -> None:
    data = make_defects(10)
    image, label = data[3]
    assert image.shape == (3, 64, 64)
    assert 0 <= image.min() < image.max() <= 1
    assert label == data.labels[3]
    images, labels = next(iter(DataLoader(data, batch_size=5)))
    assert torch.equal(images, data.images[:5] / 255)
    assert torch.equal(labels, data.labels[:5])


def test_take_keeps_everything_together() -> None:
    data = make_defects(50)
    chosen = data.take(data.labels == 3)
    assert (chosen.labels == 3).all()
    assert torch.equal(chosen.masks, data.masks[data.labels == 3])  # type: ignore[arg-type, index]
    assert torch.equal(data.take(slice(5)).images, data.images[:5])


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"images": torch.zeros(4, 3, 8, 8)}, TypeError, r"with \(images \* 255\)\.round\(\)\.byte\(\)"),
        ({"images": torch.zeros(4, 8, 8, dtype=torch.uint8)}, ValueError, r"expected \(N, 3, H, W\)"),
        ({"labels": torch.zeros(3, dtype=torch.long)}, ValueError, r"shape \(3,\), but 4 images need \(4,\)"),
        ({"labels": torch.tensor([0, 1, 2, 0])}, ValueError, "run from 0 to 2, but there are 2 classes"),
        ({"labels": torch.tensor([0, -1, 1, 0])}, ValueError, "run from -1 to 1"),
        ({"masks": torch.zeros(4, 8, 9, dtype=torch.bool)}, ValueError, "masks have the shape"),
        ({"groups": torch.zeros(2, dtype=torch.long)}, ValueError, "groups have the shape"),
    ],
)
def test_parts_that_do_not_fit(change: dict[str, torch.Tensor], error: type[Exception], said: str) -> None:
    parts = {"images": torch.zeros(4, 3, 8, 8, dtype=torch.uint8), "labels": torch.zeros(4, dtype=torch.long)}
    with pytest.raises(error, match=said):
        LabelledImages(**(parts | change), classes=("a", "b"))


def test_no_masks_no_boxes() -> None:
    with pytest.raises(ValueError, match="no masks"):
        _ = pictures().boxes


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8)), max_size=6))
def test_boxes_by_hand(points: list[tuple[int, int]]) -> None:
    mask = torch.zeros(1, 7, 9, dtype=torch.bool)
    for row, column in points:
        mask[0, row, column] = True
    rows, columns = [p[0] for p in points], [p[1] for p in points]
    expected = [min(columns), min(rows), max(columns) + 1, max(rows) + 1] if points else [0, 0, 0, 0]
    assert boxes_of(mask)[0].tolist() == expected


def test_data_set_is_printed_in_a_line() -> None:
    data = LabelledImages(torch.zeros(3, 3, 4, 5, dtype=torch.uint8), torch.tensor([1, 0, 1]), ("good", "bad"))
    assert repr(data) == "LabelledImages(3 of 4x5 pixels: 1 good, 2 bad)"
    with_more = dataclasses.replace(data, masks=torch.zeros(3, 4, 5, dtype=torch.bool), groups=torch.arange(3))
    assert repr(with_more).endswith("2 bad; with masks and groups)")


# ---- objects, paths and notes ---------------------------------------------------------------------------------------


def known() -> LabelledImages:
    """Four images; the n-th has n boxes of class n % 2."""
    boxes = tuple(torch.tensor([[i, 1, i + 2, 4, n % 2] for i in range(n)]).reshape(n, 5).long() for n in range(4))
    return pictures(
        objects=boxes,
        paths=("a/0.png", "a/1.png", "b/2.png", "b/3.png"),
        notes=("one was left out",),
        groups=torch.arange(4),
    )


@pytest.mark.parametrize("index", [slice(1, 4, 2), torch.tensor([False, True, False, True]), torch.tensor([1, 3])])
def test_take_keeps_objects_paths_and_notes(index: "torch.Tensor | slice") -> None:
    taken = known().take(index)
    assert taken.objects is not None
    assert [boxes.tolist() for boxes in taken.objects] == [
        [[0, 1, 2, 4, 1]],
        [[0, 1, 2, 4, 1], [1, 1, 3, 4, 1], [2, 1, 4, 4, 1]],
    ]
    assert taken.paths == ("a/1.png", "b/3.png")
    assert taken.notes == ("one was left out",)
    assert repr(taken).endswith("with groups and objects)")


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"objects": torch.zeros(4, 1, 5).long()}, TypeError, "objects must be a tuple"),
        ({"objects": (torch.zeros(0, 5).long(),)}, ValueError, "objects for 1 images, but 4 images"),
        (
            {"objects": (torch.zeros(0, 5).long(),) * 3 + (torch.zeros(2, 4).long(),)},
            ValueError,
            r"objects\[3\] is .* expected a tensor \(n, 5\)",
        ),
        ({"objects": (torch.zeros(0, 5),) * 4}, TypeError, r"objects\[0\] are torch.float32"),
        ({"objects": (torch.tensor([[0, 0, 9, 8, 0]]),) * 4}, ValueError, r"\[0, 0, 9, 8, 0\], which is no .* 8x8"),
        ({"objects": (torch.tensor([[4, 0, 4, 8, 0]]),) * 4}, ValueError, r"objects\[0\] has"),
        ({"objects": (torch.tensor([[0, 0, 8, 8, 2]]),) * 4}, ValueError, "a class below 2"),
        ({"paths": ("a",)}, ValueError, "1 paths for 4 images"),
        ({"paths": (1, 2, 3, 4)}, TypeError, "paths must be a tuple of strings"),
        ({"notes": "a sentence"}, TypeError, "notes must be a tuple of strings"),
    ],
)
def test_objects_paths_and_notes_that_do_not_fit(change: dict[str, object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        pictures(**change)


def test_boxes_may_touch_the_border() -> None:
    assert pictures(objects=(torch.tensor([[0, 0, 8, 8, 1]]),) * 4).objects is not None


# ---- rows A 11 and A 12 of the review: what is no image, label or mask ----------------------------------------------


@pytest.mark.parametrize(
    ("images", "advice"),
    [
        (torch.linspace(0, 1, 192).reshape(1, 3, 8, 8), "(images * 255).round().byte()"),
        (torch.linspace(0, 255, 192).reshape(1, 3, 8, 8), "images.round().byte()"),
        (torch.linspace(0, 4095, 192).reshape(1, 3, 8, 8).int(), "(images / 4095 * 255).round().byte()"),
    ],
)
def test_a11_the_advice_for_other_numbers_keeps_the_picture(images: torch.Tensor, advice: str) -> None:
    with pytest.raises(TypeError) as said:
        LabelledImages(images, torch.zeros(1).long(), ("a",))
    assert f"with {advice}, because" in str(said.value)
    mended = eval(advice, {"images": images})
    assert (mended.float() / 255 - images / images.max()).abs().max() < 0.003
    assert LabelledImages(mended, torch.zeros(1).long(), ("a",)).images.max() == 255


def test_a11_normalised_images_are_not_scaled_blindly() -> None:
    with pytest.raises(TypeError, match=r"run from -2.* to 2.*: undo what was subtracted"):
        LabelledImages(torch.linspace(-2, 2, 192).reshape(1, 3, 8, 8), torch.zeros(1).long(), ("a",))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": np.zeros(4, np.int64)}, r"labels must be a torch.Tensor \(4,\), got ndarray"),
        (
            {"masks": torch.full((4, 8, 8), 255, dtype=torch.uint8)},
            "masks are torch.uint8: give bool, e.g. masks > 127",
        ),
        ({"labels": torch.zeros(4)}, "labels are torch.float32: give whole numbers"),
    ],
)
def test_a11_labels_and_masks_of_another_kind(change: dict[str, object], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        pictures(**change)


@pytest.mark.parametrize("labels", [["a", "b", "a", "b"], [0, 1, 0, 1], ("a",) * 4])
def test_a12_labels_in_a_list(labels: object) -> None:
    with pytest.raises(TypeError, match=r"labels must be a torch.Tensor \(4,\), .* for names classes.index\(name\)"):
        pictures(labels=labels)


def test_a12_images_of_numpy() -> None:
    with pytest.raises(TypeError, match=r"got ndarray: use torch.from_numpy\(images\).permute\(0, 3, 1, 2\)"):
        LabelledImages(np.zeros((4, 8, 8, 3), np.uint8), torch.zeros(4).long(), ("a",))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"use torch.from_numpy\(images\) for an array"):
        LabelledImages(np.zeros((4, 3, 8, 8), np.uint8), torch.zeros(4).long(), ("a",))  # type: ignore[arg-type]
