"""The container of labelled images."""

import dataclasses

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
        ({"images": torch.zeros(4, 3, 8, 8)}, TypeError, r"\(images \* 255\).byte\(\)"),
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
