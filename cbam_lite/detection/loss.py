"""What a detector is punished for: which slot has to find which object, and the three parts of the loss.

::

    loss = 5 mean_positives(1 - CIoU) + sum_slots BCE(t_o, positive) / positives + mean_positives sum_k BCE(t_k, truth)

A *positive* slot has an object to find. A slot whose box happens to lie on an object (IoU above 0.7) without being
positive is neither right nor wrong: its objectness does not count.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from cbam_lite.detection.boxed_images import Objects
from cbam_lite.detection.boxes import complete_iou, iou
from cbam_lite.detection.decoding import Slots, decode
from cbam_lite.detection.yolo import STRIDES, Anchors

ALSO = 0.3  # anchors that fit an object at least so well have to find it, too
IGNORE = 0.7
BOX_WEIGHT = 5.0


class Positives(NamedTuple):
    """Which slots have something to find: image (P,) and slot (P,) of each, with its boxes (P, 4) and labels (P,)."""

    image: Tensor
    slot: Tensor
    boxes: Tensor
    labels: Tensor


class Losses(NamedTuple):
    """The three parts of the loss, each one number, and their weighted sum."""

    box: Tensor
    objectness: Tensor
    classes: Tensor

    @property
    def total(self) -> Tensor:
        return BOX_WEIGHT * self.box + self.objectness + self.classes


def fit_of_anchors(boxes: Tensor, anchors: Anchors) -> Tensor:
    """IoU of each box with each anchor if they had one centre: only width and height count. (n, 4) -> (n, 6)"""
    wh = (boxes[:, 2:] - boxes[:, :2])[:, None]  # (n, 1, 2)
    p = torch.tensor(anchors).flatten(0, 1).to(boxes)  # (6, 2)
    intersection = torch.minimum(wh, p).prod(-1)
    return intersection / (wh.prod(-1) + p.prod(-1) - intersection)


def assign(objects: Sequence[Objects], anchors: Anchors, size: tuple[int, int], also: float = ALSO) -> Positives:
    """The slots that have to find each object: those of the cell with its centre whose anchors fit it best.

    An object takes the anchor that fits it best, and each other one that fits it with an IoU above `also`. A slot that
    two objects want finds the smaller one, because a larger one has more chances elsewhere.

    Args:
        objects: those of each image, boxes in pixels.
        anchors: ``model.anchors``.
        size: height and width of the images.
        also: 1 leaves each object one slot.

    Example:
        >>> objects = [Objects(torch.tensor([[8.0, 8, 24, 24]]), torch.tensor([2]))]
        >>> assign(objects, ANCHORS, (64, 64), also=1).slot  # 12 of level 0, then anchor 0, row 1, column 1
        tensor([17])
    """
    found: dict[tuple[int, int], tuple[float, Tensor, Tensor]] = {}
    for i, (boxes, labels) in enumerate(objects):
        fits = fit_of_anchors(boxes, anchors)  # (n, 6)
        wanted = (fits > also) | (fits == fits.amax(1, keepdim=True))
        for n, anchor in wanted.nonzero().tolist():
            slot = slot_at(boxes[n], anchor, size)
            area = float((boxes[n, 2:] - boxes[n, :2]).prod())
            if (i, slot) not in found or area < found[i, slot][0]:
                found[i, slot] = area, boxes[n], labels[n]
    if not found:
        nothing = torch.zeros(0, dtype=torch.long)
        return Positives(nothing, nothing, torch.zeros(0, 4), nothing)
    places = torch.tensor(list(found))
    _, boxes_of_all, labels_of_all = zip(*found.values(), strict=True)
    return Positives(places[:, 0], places[:, 1], torch.stack(boxes_of_all), torch.stack(labels_of_all))


def slot_at(box: Tensor, anchor: int, size: tuple[int, int]) -> int:
    """The number of the slot of one of the six anchors in the cell that holds the centre of a box."""
    level, of_level = divmod(anchor, 3)
    (h, w), before = ((side // STRIDES[level] for side in size), 0)
    if level:
        before = 3 * (size[0] // STRIDES[0]) * (size[1] // STRIDES[0])
    cx, cy = ((box[:2] + box[2:]) / 2 / STRIDES[level]).tolist()
    row, column = min(int(cy), h - 1), min(int(cx), w - 1)  # a centre on the last border is in the last cell
    return before + (of_level * h + row) * w + column


def detection_loss(levels: Sequence[Tensor], objects: Sequence[Objects], anchors: Anchors) -> Losses:
    """The loss of a batch.

    Args:
        levels: what `YoloTiny` gives, (B, 3, 5 + K, h, w) each.
        objects: those of each of the B images, boxes in pixels, labels below K.
        anchors: ``model.anchors``.

    Raises:
        ValueError: there are not as many objects as images, or a label has no output.

    Example:
        >>> model = yolo_tiny(num_classes=6, width=0.25)
        >>> image, objects = make_boxed_defects(1)[0]
        >>> losses = detection_loss(model(image[None]), [objects], model.anchors)
        >>> bool(losses.total == 5 * losses.box + losses.objectness + losses.classes)
        True
    """
    slots = decode([level.float() for level in levels], anchors)
    (B, S, K), device = slots.classes.shape, slots.boxes.device
    if len(objects) != B:
        raise ValueError(f"there are objects of {len(objects)} images, but {B} images: give one for each")
    highest = max((int(labels.max()) for _, labels in objects if len(labels)), default=0)
    if highest >= K:
        raise ValueError(
            f"a label is {highest}, but the model has {K} classes: build it with num_classes={highest + 1}"
        )
    h, w = levels[0].shape[-2:]
    image, slot, boxes, labels = (x.to(device) for x in assign(objects, anchors, (h * STRIDES[0], w * STRIDES[0])))
    P = max(1, len(image))
    box = (1 - complete_iou(slots.boxes[image, slot], boxes)).sum() / P
    kinds = torch.nn.functional.one_hot(labels, K).to(slots.classes)
    classes = bce(slots.classes[image, slot], kinds, reduction="sum") / P
    wanted, counts = torch.zeros(B, S, device=device), ~on_an_object(slots, objects)
    wanted[image, slot], counts[image, slot] = 1, True
    objectness = bce(slots.objectness[counts], wanted[counts], reduction="sum") / P
    return Losses(box, objectness, classes)


@torch.no_grad()
def on_an_object(slots: Slots, objects: Sequence[Objects]) -> Tensor:
    """Which slots (B, S) have a box that lies on an object of their image, with an IoU above 0.7."""
    found = torch.zeros_like(slots.objectness, dtype=torch.bool)
    for i, (boxes, _) in enumerate(objects):
        if len(boxes):
            found[i] = (iou(slots.boxes[i], boxes.to(slots.boxes.device)) > IGNORE).any(1)
    return found
