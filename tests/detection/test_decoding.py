"""Decoding by its equations, slot by slot."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cbam_lite.detection.decoding import A, decode
from cbam_lite.detection.yolo import ANCHORS, yolo_tiny


def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


@given(st.integers(0, 2**20))
def test_one_slot_by_hand(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    levels = [2 * torch.randn(2, 3, 8, 2, 3, generator=g), 2 * torch.randn(2, 3, 8, 4, 6, generator=g)]
    slots = decode(levels, ANCHORS)
    slot = int(torch.randint(slots.boxes.shape[1], (), generator=g))
    level, anchor, row, column = slots.place[slot].tolist()
    t, s, (pw, ph) = levels[level][1, anchor, :, row, column].tolist(), (32, 16)[level], ANCHORS[level][anchor]
    bx, by = ((A * sigmoid(v) - (A - 1) / 2 + c) * s for v, c in zip(t[:2], (column, row), strict=True))
    bw, bh = pw * math.exp(t[2]), ph * math.exp(t[3])
    expected = [bx - bw / 2, by - bh / 2, bx + bw / 2, by + bh / 2]
    assert slots.boxes[1, slot].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-3)
    confidence = sigmoid(t[4]) * sigmoid(t[6])
    assert slots.confidences[1, slot, 1].item() == pytest.approx(confidence, rel=1e-4)


def test_slots_come_in_the_order_that_is_promised() -> None:
    levels = [torch.zeros(1, 3, 6, 2, 3), torch.zeros(1, 3, 6, 4, 6)]
    place = decode(levels, ANCHORS).place.tolist()
    assert len(place) == 3 * 2 * 3 + 3 * 4 * 6
    assert place == sorted(place)
    assert place[18] == [1, 0, 0, 0]
    assert len(set(map(tuple, place))) == len(place)


def test_zeros_give_anchors_in_the_middle_of_their_cells() -> None:
    slots = decode([torch.zeros(1, 3, 6, 2, 2), torch.zeros(1, 3, 6, 4, 4)], ANCHORS)
    for box, (level, anchor, row, column) in zip(slots.boxes[0].tolist(), slots.place.tolist(), strict=True):
        s, (pw, ph) = (32, 16)[level], ANCHORS[level][anchor]
        assert (box[0] + box[2]) / 2 == pytest.approx((column + 0.5) * s, abs=1e-4)
        assert (box[1] + box[3]) / 2 == pytest.approx((row + 0.5) * s, abs=1e-4)
        assert (box[2] - box[0], box[3] - box[1]) == pytest.approx((pw, ph), abs=1e-4)


def test_a_centre_reaches_beyond_its_cell() -> None:
    levels = [torch.zeros(1, 3, 6, 1, 1), torch.zeros(1, 3, 6, 2, 2)]
    levels[0][0, 0, 0] = 50.0  # sigmoid is 1
    box = decode(levels, ANCHORS).boxes[0, 0]
    assert (box[0] + box[2]).item() / 2 == pytest.approx(32 * 1.025, abs=1e-3)


def test_an_untrained_network_gives_finite_boxes() -> None:
    model = yolo_tiny(0, 3, width=0.25)
    wild = [level + 1e4 for level in model(torch.rand(1, 3, 64, 64))]
    assert decode(wild, ANCHORS).boxes.isfinite().all()


def test_wrong_levels_are_named() -> None:
    with pytest.raises(ValueError, match=r"levels\[0\] has the shape \(1, 18, 2, 2\)"):
        decode([torch.zeros(1, 18, 2, 2), torch.zeros(1, 18, 4, 4)], ANCHORS)
