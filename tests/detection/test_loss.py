"""Who has to find what, and what it costs."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import complete_box_iou_loss

from cbam_lite.detection.boxed_images import Objects
from cbam_lite.detection.boxes import centres, iou
from cbam_lite.detection.decoding import decode
from cbam_lite.detection.loss import IGNORE, assign, detection_loss, fit_of_anchors
from cbam_lite.detection.yolo import ANCHORS, STRIDES, yolo_tiny

SMALL = (((40.0, 40), (60, 60), (90, 90)), ((10.0, 14), (23, 27), (37, 58)))
NOTHING = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))


def some_objects(seed: int, n: int, size: int = 96) -> Objects:
    g = torch.Generator().manual_seed(seed)
    low = (size - 30) * torch.rand(n, 2, generator=g)
    return Objects(
        torch.cat([low, low + 4 + 26 * torch.rand(n, 2, generator=g)], 1), torch.randint(3, (n,), generator=g)
    )


def test_only_width_and_height_count_for_an_anchor() -> None:
    boxes = torch.tensor([[100.0, 3, 110, 17], [0, 0, 81, 82]])
    fits = fit_of_anchors(boxes, ANCHORS)
    assert fits[0, 3] == 1  # (10, 14)
    assert fits[1, 0] == 1  # (81, 82)
    assert fits[0, 4] == pytest.approx(140 / (23 * 27))


@given(st.integers(0, 2**20))
def test_each_object_is_found_by_the_slot_with_its_centre(seed: int) -> None:
    objects = some_objects(seed, 4)
    found = assign([objects, NOTHING], SMALL, (96, 96), also=1)
    place = decode([torch.zeros(2, 3, 8, 3, 3), torch.zeros(2, 3, 8, 6, 6)], SMALL).place
    assert set(found.image.tolist()) == {0}
    assert len(found.slot) <= 4
    for slot, box, label in zip(found.slot.tolist(), found.boxes, found.labels, strict=True):
        level, anchor, row, column = place[slot].tolist()
        cx, cy = centres(box)[:2].tolist()
        assert (int(cy // STRIDES[level]), int(cx // STRIDES[level])) == (row, column)
        assert fit_of_anchors(box[None], SMALL)[0].argmax() == 3 * level + anchor
        index = (objects.boxes == box).all(1).nonzero()[0, 0]
        assert objects.labels[index] == label


def test_other_anchors_that_fit_have_to_find_it_too() -> None:
    objects = [Objects(torch.tensor([[32.0, 32, 62, 62]]), torch.tensor([0]))]
    fits = fit_of_anchors(objects[0].boxes, SMALL)[0]
    assert len(assign(objects, SMALL, (96, 96), also=1).slot) == 1
    assert len(assign(objects, SMALL, (96, 96), also=0.3).slot) == int((fits > 0.3).sum()) > 1


def test_of_two_that_want_one_slot_the_smaller_is_found() -> None:
    boxes = torch.tensor([[30.0, 30, 41, 45], [31, 31, 40, 44]])
    for order in ([0, 1], [1, 0]):
        found = assign([Objects(boxes[order], torch.tensor(order))], SMALL, (96, 96), also=1)
        assert found.labels.tolist() == [1]
        assert found.boxes[0].tolist() == boxes[1].tolist()


def test_a_centre_on_the_last_border_is_in_the_last_cell() -> None:
    edge = [Objects(torch.tensor([[92.0, 92, 100, 100]]), torch.tensor([0]))]  # its centre is 96, 96
    found = assign(edge, SMALL, (96, 96), also=1)
    assert found.slot.tolist() == [27 + 0 * 36 + 5 * 6 + 5]


def test_the_loss_by_hand() -> None:
    """Two boxes, every term from its equation."""
    torch.manual_seed(0)
    levels = [torch.randn(1, 3, 8, 2, 2, requires_grad=True), torch.randn(1, 3, 8, 4, 4)]
    objects = [Objects(torch.tensor([[5.0, 5, 16, 20], [10, 8, 50, 50]]), torch.tensor([2, 0]))]
    losses = detection_loss(levels, objects, SMALL)
    found = assign(objects, SMALL, (64, 64))
    slots = decode(levels, SMALL)
    P = len(found.slot)
    chosen = slots.boxes[0, found.slot]
    assert losses.box.item() == pytest.approx(complete_box_iou_loss(chosen, found.boxes).mean().item(), abs=1e-5)
    classes = 0.0
    for slot, label in zip(found.slot, found.labels, strict=True):
        for k, t in enumerate(slots.classes[0, slot].tolist()):
            classes += math.log1p(math.exp(-t if k == label else t))
    assert losses.classes.item() == pytest.approx(classes / P, rel=1e-5)
    objectness = 0.0
    for slot, t in enumerate(slots.objectness[0].tolist()):
        wanted = slot in found.slot.tolist()
        on_object = bool((iou(slots.boxes[0, slot, None].detach(), objects[0].boxes) > IGNORE).any())
        if wanted or not on_object:
            objectness += math.log1p(math.exp(-t if wanted else t))
    assert losses.objectness.item() == pytest.approx(objectness / P, rel=1e-5)
    assert losses.total.item() == pytest.approx((5 * losses.box + losses.objectness + losses.classes).item())


def test_a_box_on_an_object_is_not_background() -> None:
    """A slot that is not positive, but whose box covers the object, costs nothing however sure it is."""
    levels = [torch.zeros(1, 3, 8, 2, 2), torch.zeros(1, 3, 8, 4, 4)]
    objects = [Objects(torch.tensor([[19.0, 8, 42, 35]]), torch.tensor([0]))]  # (23, 27), near the end of cell (1, 1)
    positive = assign(objects, SMALL, (64, 64)).slot.tolist()
    neighbour = 12 + 1 * 16 + 1 * 4 + 2  # one column further
    assert neighbour not in positive
    losses = []
    for offset in (0.0, -20.0):  # a box of the neighbour moves onto the object, or stays away
        levels[1][0, 1, 0, 1, 2], levels[1][0, 1, 4, 1, 2] = offset, 10.0
        on_it = iou(decode(levels, SMALL).boxes[0, neighbour, None], objects[0].boxes).item()
        losses.append((on_it, detection_loss(levels, objects, SMALL).objectness.item()))
    (far, costly), (near, cheap) = losses
    assert far < IGNORE < near
    assert costly - cheap == pytest.approx(10 / len(positive), rel=0.02)


def test_an_image_without_objects_teaches_background() -> None:
    model = yolo_tiny(0, 3, width=0.25)
    losses = detection_loss(model(torch.rand(2, 3, 64, 64)), [NOTHING, NOTHING], model.anchors)
    assert losses.box == losses.classes == 0
    losses.total.backward()
    output = model.head_P4[1].bias.grad.view(3, 8)
    assert (output[:, 4] > 0).all()  # a smaller t_o is better
    assert (output[:, :4] == 0).all()


def test_gradients_reach_every_weight(device: torch.device) -> None:
    model = yolo_tiny(2, 3, width=0.25, anchors=SMALL).to(device)
    levels = model(torch.rand(4, 3, 96, 96, device=device))
    detection_loss(levels, [some_objects(seed, 3) for seed in range(4)], SMALL).total.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_half_precision_is_computed_in_float32() -> None:
    model = yolo_tiny(0, 3, width=0.25)
    levels = [level.bfloat16() for level in model(torch.rand(1, 3, 64, 64))]
    assert detection_loss(levels, [some_objects(0, 2, 64)], SMALL).total.dtype == torch.float32


def test_wrong_objects_are_named() -> None:
    model = yolo_tiny(0, 3, width=0.25)
    levels = model(torch.rand(2, 3, 64, 64))
    with pytest.raises(ValueError, match="objects of 1 images, but 2 images"):
        detection_loss(levels, [NOTHING], SMALL)
    four = Objects(torch.tensor([[1.0, 1, 9, 9]]), torch.tensor([3]))
    with pytest.raises(ValueError, match="a label is 3, but the model has 3 classes: build it with num_classes=4"):
        detection_loss(levels, [four, NOTHING], SMALL)
