"""From a trained network to a list of boxes, and anchors for one's own boxes."""

import sys

import pytest
import torch
from torch import nn

from cbam_lite.detection.boxed_images import BoxedImages, Objects
from cbam_lite.detection.decoding import decode
from cbam_lite.detection.detecting import Detections, anchors_for, detect
from cbam_lite.detection.yolo import STRIDES, YoloTiny, yolo_tiny

SMALL = (((40.0, 40), (60, 60), (90, 90)), ((10.0, 14), (23, 27), (37, 58)))


class Says(YoloTiny):
    """A detector whose raw numbers are given."""

    def __init__(self, levels: tuple[torch.Tensor, torch.Tensor]) -> None:
        super().__init__(levels[0].shape[2] - 5, width=0.125, anchors=SMALL)
        self.levels = levels

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.levels[0][: len(x)], self.levels[1][: len(x)]


def silent(B: int = 1, K: int = 3, size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Levels that say "nothing" everywhere."""
    levels = [torch.zeros(B, 3, 5 + K, size // s, size // s) for s in STRIDES]
    for level in levels:
        level[:, :, 4] = -20
    return levels[0], levels[1]


def says(levels: tuple[torch.Tensor, ...], place: tuple[int, int, int, int], label: int, sure: float = 5.0) -> None:
    """One slot of image 0 is sure of a class."""
    level, anchor, row, column = place
    levels[level][0, anchor, 4:, row, column] = -20
    levels[level][0, anchor, [4, 5 + label], row, column] = sure


def test_what_is_said_is_found() -> None:
    levels = silent(B=2)
    says(levels, (1, 1, 2, 1), 2)
    first, second = detect(Says(levels), torch.rand(2, 3, 64, 64))
    assert len(first) == 1
    assert len(second) == 0
    assert first.places.tolist() == [[1, 1, 2, 1]]
    assert first.labels.tolist() == [2]
    assert first.confidences.item() == pytest.approx(torch.tensor(5.0).sigmoid().item() ** 2)
    assert first.boxes[0].tolist() == pytest.approx([24 - 11.5, 40 - 13.5, 24 + 11.5, 40 + 13.5], abs=1e-4)


def test_the_better_of_two_that_overlap_is_kept() -> None:
    levels = silent()
    says(levels, (1, 1, 2, 1), 2, sure=3)
    says(levels, (1, 1, 2, 2), 2, sure=5)
    assert detect(Says(levels), torch.rand(1, 3, 64, 64), iou=0.15)[0].places.tolist() == [[1, 1, 2, 2]]
    both = detect(Says(levels), torch.rand(1, 3, 64, 64), iou=1.0)[0]
    assert both.places.tolist() == [[1, 1, 2, 2], [1, 1, 2, 1]]  # the more confident first
    says(levels, (1, 1, 2, 1), 0, sure=3)  # of another class, it stays
    assert len(detect(Says(levels), torch.rand(1, 3, 64, 64), iou=0.15)[0]) == 2


def test_boxes_end_at_the_border() -> None:
    levels = silent()
    says(levels, (0, 2, 0, 0), 1)  # 90 x 90 around (16, 16)
    assert detect(Says(levels), torch.rand(1, 3, 64, 64))[0].boxes.tolist() == [[0, 0, 61, 61]]


def test_a_box_outside_the_image_is_nothing() -> None:
    levels = silent()
    says(levels, (1, 1, 0, 0), 1)
    levels[1][0, 1, 0, 0, 0], levels[1][0, 1, 2, 0, 0] = -20.0, -8.0  # its centre at -0.4, hardly any width
    assert len(detect(Says(levels), torch.rand(1, 3, 64, 64))[0]) == 0


def test_thresholds_and_most() -> None:
    levels = silent()
    for column in range(4):
        says(levels, (1, 0, 0, column), 1, sure=float(column))
    expected = torch.tensor([3.0, 2, 1, 0]).sigmoid() ** 2
    found = detect(Says(levels), torch.rand(1, 3, 64, 64), confidence=0.001)[0]
    assert torch.allclose(found.confidences[:4], expected)
    assert len(detect(Says(levels), torch.rand(1, 3, 64, 64), confidence=0.3)[0]) == int((expected >= 0.3).sum())
    assert len(detect(Says(levels), torch.rand(1, 3, 64, 64), confidence=0.001, most=2)[0]) == 2
    assert found.above(0.5).confidences.tolist() == found.confidences[found.confidences >= 0.5].tolist()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_give_float32(dtype: torch.dtype) -> None:
    model = yolo_tiny(0, 3, width=0.25).to(dtype)
    (found,) = detect(model, torch.rand(1, 3, 64, 64, dtype=dtype), confidence=0.0, most=5)
    assert found.boxes.dtype == found.confidences.dtype == torch.float32
    assert len(found) == 5


def test_one_slot_may_name_two_classes() -> None:
    levels = silent()
    says(levels, (1, 0, 0, 0), 1)
    levels[1][0, 0, 5 + 2, 0, 0] = 5
    assert sorted(detect(Says(levels), torch.rand(1, 3, 64, 64))[0].labels.tolist()) == [1, 2]


def test_batches_and_containers_give_the_same(device: torch.device) -> None:
    model = yolo_tiny(0, 3, width=0.25).to(device)
    images = torch.randint(256, (5, 3, 64, 64), dtype=torch.uint8)
    nothing = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    data = BoxedImages(images, (nothing,) * 5, ("a", "b", "c"))
    model.train()
    whole = detect(model, images.float() / 255, confidence=0.001)
    parts = detect(model, data, confidence=0.001, batch_size=2)
    assert model.training
    assert sum(map(len, whole)) > 0
    for a, b in zip(whole, parts, strict=True):
        assert a.boxes.device.type == "cpu"
        assert torch.equal(a.places, b.places)
        assert torch.allclose(a.boxes, b.boxes, atol=1e-3)


def test_the_place_is_where_the_box_comes_from() -> None:
    model, images = yolo_tiny(0, 3, width=0.25).eval(), torch.rand(1, 3, 64, 64)
    found = detect(model, images, confidence=0.0, iou=1.0, most=20)[0]
    with torch.no_grad():
        slots = decode(model(images), model.anchors)
    for box, label, confidence, place in zip(found.boxes, found.labels, found.confidences, found.places, strict=True):
        slot = int((slots.place == place).all(1).nonzero()[0, 0])
        assert torch.allclose(slots.boxes[0, slot].clamp(0, 64), box, atol=1e-4)
        assert slots.confidences[0, slot, label].item() == pytest.approx(confidence.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.5}, "confidence=1.5 is outside its range"),
        ({"iou": -0.1}, "iou=-0.1 is outside its range"),
        ({"most": 0}, "most=0 must be at least 1"),
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
    ],
)
def test_wrong_numbers_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detect(yolo_tiny(0, 3, width=0.25), torch.rand(1, 3, 64, 64), **options)  # type: ignore[arg-type]


def test_wrong_images_are_named() -> None:
    model = yolo_tiny(0, 3, width=0.25)
    with pytest.raises(TypeError, match=r"uint8 images divided by 255"):
        detect(model, torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"for a single one use images\[None\]"):
        detect(model, torch.rand(3, 64, 64))
    with pytest.raises(ValueError, match="multiples of 32"):
        detect(model, torch.rand(1, 3, 60, 64))
    with pytest.raises(TypeError, match="model must be a YoloTiny, got Conv2d"):
        detect(nn.Conv2d(3, 3, 1), torch.rand(1, 3, 64, 64))  # type: ignore[arg-type]
    assert detect(model, torch.rand(0, 3, 64, 64)) == []


def test_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.ops", None)
    with pytest.raises(ImportError, match="pip install torchvision"):
        detect(yolo_tiny(0, 3, width=0.25), torch.rand(1, 3, 64, 64))


# ---- anchors --------------------------------------------------------------------------------------------------------


def boxes_of_sizes(sizes: list[tuple[float, float]]) -> BoxedImages:
    boxes = torch.tensor([[1.0, 1, 1 + w, 1 + h] for w, h in sizes])
    objects = Objects(boxes, torch.zeros(len(sizes), dtype=torch.long))
    return BoxedImages(torch.zeros(1, 3, 128, 128, dtype=torch.uint8), (objects,), ("a",))


def test_anchors_are_the_sizes_that_occur() -> None:
    six = [(8.0, 8.0), (12.0, 30.0), (30.0, 12.0), (60.0, 20.0), (40.0, 60.0), (100.0, 100.0)]
    many = [(w * f, h * f) for w, h in six for f in (0.98, 1.0, 1.02)]
    coarse, fine = anchors_for(boxes_of_sizes(many))
    found = sorted([*coarse, *fine])
    assert found == [pytest.approx(size, rel=0.02) for size in sorted(six)]
    assert min(w * h for w, h in coarse) >= max(w * h for w, h in fine)
    assert anchors_for(boxes_of_sizes(many)) == (coarse, fine)


def test_too_few_sizes_for_anchors() -> None:
    with pytest.raises(ValueError, match="2 boxes of different size are not enough for six anchors"):
        anchors_for(boxes_of_sizes([(8, 8), (9, 9), (8, 8)]))


def test_detections_are_counted() -> None:
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0), torch.zeros(0, 4))
    assert len(nothing) == len(nothing.above(0.5)) == 0
    with pytest.raises(ValueError, match="confidence=2 is outside its range"):
        nothing.above(2)
