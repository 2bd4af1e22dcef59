"""From raw numbers to boxes: every cell of every level speaks for three anchors.

With stride s, anchor (p_w, p_h), cell (c_x, c_y) and a = 1.05::

    b_x = (a sigmoid(t_x) - (a - 1) / 2 + c_x) s        b_w = p_w exp(t_w)
    b_y = (a sigmoid(t_y) - (a - 1) / 2 + c_y) s        b_h = p_h exp(t_h)

    objectness = sigmoid(t_o)        class k = sigmoid(t_k), each for itself        confidence = objectness class

A sigmoid reaches neither 0 nor 1, so with a = 1 no box could have its centre on the border of its cell.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cbam_lite.checks import tensor
from cbam_lite.detection.boxes import corners
from cbam_lite.detection.yolo import STRIDES, Anchors

A = 1.05  # scale_x_y of the released network
LARGEST = 8.0  # exp(8) = 2981 anchors wide: an untrained network must not give infinite boxes


class Slots(NamedTuple):
    """What a network says about each of its S slots, a slot being an anchor in a cell of a level.

    boxes (B, S, 4), x0, y0, x1, y1 in pixels; objectness (B, S) and classes (B, S, K), both logits; place (S, 4):
    level, anchor, row and column of each slot.
    """

    boxes: Tensor
    objectness: Tensor
    classes: Tensor
    place: Tensor

    @property
    def confidences(self) -> Tensor:
        """Objectness times class, (B, S, K), from 0 to 1."""
        return self.objectness.sigmoid()[..., None] * self.classes.sigmoid()


def decode(levels: Sequence[Tensor], anchors: Anchors) -> Slots:
    """All slots of both levels: those of the coarse one first, of each level anchor by anchor, row by row.

    Args:
        levels: what `YoloTiny` gives, (B, 3, 5 + K, h, w) each.
        anchors: ``model.anchors``.

    Example:
        >>> model = yolo_tiny(num_classes=6, width=0.25)
        >>> slots = decode(model(torch.rand(2, 3, 128, 128)), model.anchors)
        >>> slots.boxes.shape, slots.place[-1].tolist()
        (torch.Size([2, 240, 4]), [1, 2, 7, 7])
    """
    parts = []
    for level, (raw, s, of_level) in enumerate(zip(levels, STRIDES, anchors, strict=True)):
        B, three, numbers, h, w = tensor(f"levels[{level}]", raw, "B, 3, 5 + K, h, w", floating=True).shape
        t = raw.permute(0, 1, 3, 4, 2)  # (B, 3, h, w, 5 + K)
        cell = grid(h, w, raw)  # (h, w, 2), c_x and c_y
        centre = (A * t[..., :2].sigmoid() - (A - 1) / 2 + cell) * s
        size = torch.tensor(of_level).to(raw)[:, None, None] * t[..., 2:4].clamp_max(LARGEST).exp()
        boxes = corners(torch.cat([centre, size], -1))  # (B, 3, h, w, 4)
        flat = (x.flatten(1, 3) for x in (boxes, t[..., 4], t[..., 5:]))  # (B, 3hw, ...)
        parts.append((*flat, places(level, h, w, raw)))
    *of_images, place = zip(*parts, strict=True)
    boxes, objectness, classes = (torch.cat(part, 1) for part in of_images)
    return Slots(boxes, objectness, classes, torch.cat(place))


def grid(h: int, w: int, like: Tensor) -> Tensor:
    """Column and row of each cell, (h, w, 2)."""
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([columns, rows], -1).to(like)


def places(level: int, h: int, w: int, like: Tensor) -> Tensor:
    """Level, anchor, row and column of the slots of one level, (3 h w, 4)."""
    three = torch.cartesian_prod(torch.arange(3), torch.arange(h), torch.arange(w))
    return torch.cat([torch.full((len(three), 1), level), three], 1).to(like.device)
