"""Boxes: two ways to write one, and two numbers that say how well two of them agree.

A box is x0, y0, x1, y1 in pixels, as everywhere in this package: x1 and y1 are where it ends, so its width is x1 - x0.
Networks speak of centre and size, cx, cy, w, h.
"""

import math

import torch
from torch import Tensor

from cbam_lite.checks import tensor


def corners(boxes: Tensor) -> Tensor:
    """cx, cy, w, h -> x0, y0, x1, y1, along the last axis."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def centres(boxes: Tensor) -> Tensor:
    """x0, y0, x1, y1 -> cx, cy, w, h, along the last axis."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], -1)


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The areas of intersection and union of boxes, pair by pair: (..., 4) and (..., 4), which broadcast."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    intersection = (high - low).clamp_min(0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp_min(0).prod(-1) for box in (a, b)]
    return intersection, areas[0] + areas[1] - intersection


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of each box with each: (n, 4) and (m, 4) -> (n, m). Two empty boxes have 0.

    Raises:
        ValueError: an argument is not (n, 4).
        TypeError: an argument is no tensor.

    Example:
        >>> iou(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 10], [20, 20, 30, 30]]))
        tensor([[0.3333, 0.0000]])
    """
    for name, boxes in (("a", a), ("b", b)):
        if tensor(name, boxes, "n, 4").shape[1] != 4:
            raise ValueError(f"{name} has the shape {tuple(boxes.shape)}, expected (n, 4): x0, y0, x1, y1 of each box")
    intersection, union = overlap(a[:, None].double(), b[None].double())  # (n, m)
    return (intersection / union.clamp_min(1e-12)).to(torch.promote_types(a.dtype, torch.float32))


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """CIoU, pair by pair: (n, 4) and (n, 4) -> (n,). The loss of a box is 1 - CIoU.

    ::

        CIoU = IoU - d^2 / c^2 - alpha v        v = 4 / pi^2 (atan(w_b / h_b) - atan(w_a / h_a))^2

    d is the distance of the two centres, c the diagonal of the smallest box around both, and
    alpha = v / (1 - IoU + v), through which no gradient goes. Where two boxes do not touch, IoU is flat, and d still
    says in which direction to move. Zheng et al., "Distance-IoU Loss", AAAI 2020.

    Example:
        >>> a = torch.tensor([[0.0, 0, 10, 10]])
        >>> complete_iou(a, a), complete_iou(a, a + 20)
        (tensor([1.]), tensor([-0.4444]))
    """
    intersection, union = overlap(a, b)
    share = intersection / (union + 1e-7)
    (ax, ay, aw, ah), (bx, by, bw, bh) = (centres(boxes).unbind(-1) for boxes in (a, b))
    around = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    distance = ((ax - bx).square() + (ay - by).square()) / (around.square().sum(-1) + 1e-7)
    v = 4 / math.pi**2 * (torch.atan(bw / (bh + 1e-7)) - torch.atan(aw / (ah + 1e-7))).square()
    with torch.no_grad():
        alpha = v / (1 - share + v + 1e-7)
    return share - distance - alpha * v
