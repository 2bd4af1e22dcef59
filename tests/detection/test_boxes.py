"""Boxes against torchvision and against their definition."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import ops

from cbam_lite.detection.boxes import centres, complete_iou, corners, iou


def boxes(n: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    low = 50 * torch.rand(n, 2, generator=g)
    return torch.cat([low, low + 1 + 40 * torch.rand(n, 2, generator=g)], 1)


def test_two_ways_to_write_a_box() -> None:
    assert centres(torch.tensor([2.0, 4, 6, 14])).tolist() == [4, 9, 4, 10]
    some = boxes(50)
    assert torch.allclose(corners(centres(some)), some, atol=1e-5)


@given(st.integers(0, 2**20))
def test_iou_is_torchvisions(seed: int) -> None:
    a, b = boxes(7, seed), boxes(5, seed + 1)
    assert torch.allclose(iou(a, b), ops.box_iou(a, b), atol=1e-6)


def test_iou_by_counting_pixels() -> None:
    a, b = torch.tensor([[2.0, 3, 12, 9]]), torch.tensor([[7.0, 5, 20, 30]])
    pixels = [torch.zeros(40, 40, dtype=torch.bool) for _ in range(2)]
    for grid, (x0, y0, x1, y1) in zip(pixels, torch.cat([a, b]).int().tolist(), strict=True):
        grid[y0:y1, x0:x1] = True
    expected = (pixels[0] & pixels[1]).sum() / (pixels[0] | pixels[1]).sum()
    assert iou(a, b).item() == pytest.approx(expected.item())


def test_empty_boxes_overlap_nothing() -> None:
    point = torch.tensor([[5.0, 5, 5, 5]])
    assert iou(point, point).item() == 0
    assert iou(torch.zeros(0, 4), boxes(3)).shape == (0, 3)


@given(st.integers(0, 2**20))
def test_complete_iou_is_torchvisions(seed: int) -> None:
    a, b = boxes(9, seed).double().requires_grad_(), boxes(9, seed + 1).double()
    ours, theirs = 1 - complete_iou(a, b), ops.complete_box_iou_loss(a, b)
    assert torch.allclose(ours, theirs, atol=1e-5)
    gradients = [torch.autograd.grad(x.sum(), a)[0] for x in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-4)


def test_complete_iou_by_its_equation() -> None:
    a, b = torch.tensor([0.0, 0, 10, 20]), torch.tensor([5.0, 5, 25, 15])
    share = 50 / (200 + 200 - 50)
    v = 4 / math.pi**2 * (math.atan(20 / 10) - math.atan(10 / 20)) ** 2
    expected = share - (10**2 + 0**2) / (25**2 + 20**2) - v / (1 - share + v) * v
    assert complete_iou(a, b).item() == pytest.approx(expected, abs=1e-6)


def test_boxes_that_do_not_touch_still_pull() -> None:
    a, b = torch.tensor([[0.0, 0, 10, 10]], requires_grad=True), torch.tensor([[50.0, 0, 60, 10]])
    (1 - complete_iou(a, b)).sum().backward()
    assert a.grad is not None
    assert a.grad[0, 0] + a.grad[0, 2] < 0  # less loss further right


@pytest.mark.parametrize("wrong", [torch.zeros(3, 5), torch.zeros(4), [[0, 0, 1, 1]]])
def test_what_is_no_box_is_named(wrong: torch.Tensor) -> None:
    with pytest.raises((ValueError, TypeError), match="b "):
        iou(boxes(2), wrong)
