"""The container of images with boxes: what it keeps, and what it refuses."""

from typing import Any

import pytest
import torch

from cbam_lite.detection.boxed_images import BoxedImages, Objects, boxed
from cbam_lite.training.images import LabelledImages

IMAGES = torch.zeros(3, 3, 32, 48, dtype=torch.uint8)
BOXES = torch.tensor([[2.0, 3, 10, 20], [0, 0, 48, 32]])
SOME = Objects(BOXES, torch.tensor([1, 0]))
NOTHING = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
MASKS = (torch.zeros(2, 32, 48, dtype=torch.bool), *[torch.zeros(0, 32, 48, dtype=torch.bool)] * 2)


def data(**parts: Any) -> BoxedImages:
    given: dict[str, Any] = {"images": IMAGES, "objects": (SOME, NOTHING, NOTHING), "classes": ("pit", "crack")}
    return BoxedImages(**(given | parts))


def test_it_is_a_data_set() -> None:
    image, objects = data()[0]
    assert image.shape == (3, 32, 48)
    assert image.dtype == torch.float32
    assert torch.equal(objects.boxes, BOXES)
    assert len(data()) == 3
    assert repr(data()) == "BoxedImages(3 of 32x48 pixels with 2 objects: 1 pit, 1 crack; 2 without any)"


def test_pairs_become_objects_of_the_right_kind() -> None:
    one = data(objects=([BOXES.int(), SOME.labels.int()], NOTHING, NOTHING)).objects[0]
    assert isinstance(one, Objects)
    assert one.boxes.dtype == torch.float32
    assert one.labels.dtype == torch.int64


@pytest.mark.parametrize("index", [torch.tensor([2, 0]), [2, 0], torch.tensor([True, False, True]), slice(0, 2)])
def test_take_keeps_parts_together(index: Any) -> None:
    whole = data(masks=MASKS, paths=("a", "b", "c"), notes=("read",))
    where = torch.arange(3)[index if isinstance(index, slice) else torch.as_tensor(index)].tolist()
    part = whole.take(index)
    assert part.paths == tuple("abc"[i] for i in where)
    assert [len(o.labels) for o in part.objects] == [len(whole.objects[i].labels) for i in where]
    assert part.masks is not None
    assert [len(m) for m in part.masks] == [len(whole.objects[i].labels) for i in where]
    assert part.notes == ("read",)


def test_grey_images_share_their_memory() -> None:
    grey = torch.zeros(3, 1, 32, 48, dtype=torch.uint8).expand(-1, 3, -1, -1)
    assert data(images=grey).images.stride(1) == 0
    part = data(images=grey).take([2, 0])
    assert part.images.stride(1) == 0
    assert part.images.shape == (2, 3, 32, 48)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"images": IMAGES.float()}, "images are torch.float32: give uint8"),
        ({"objects": (SOME, NOTHING)}, "there are 2 objects for 3 images"),
        ({"classes": "pit"}, "classes must be a tuple of names"),
        ({"classes": ("pit", "pit")}, "names a class twice"),
        ({"classes": ("pit",)}, r"objects\[0\], box 0 is .*, class 1, of a class that is not among 1: count from 0"),
        ({"objects": (SOME.boxes, NOTHING, NOTHING)}, r"objects\[0\] must be Objects\(boxes, labels\), got Tensor"),
        ({"objects": (Objects(BOXES[:, :3], SOME.labels), NOTHING, NOTHING)}, r"are \(2, 3\), expected"),
        ({"objects": (Objects(BOXES, SOME.labels[:1]), NOTHING, NOTHING)}, r"expected int64 \(2,\): one for each box"),
        ({"objects": (Objects(BOXES, SOME.labels.float()), NOTHING, NOTHING)}, "expected int64"),
        ({"masks": MASKS[:2]}, "there are 2 masks for 3 images"),
        ({"masks": (MASKS[1], *MASKS[1:])}, r"masks\[0\] is torch.bool \(0, 32, 48\): give bool \(2, 32, 48\)"),
        ({"masks": ([0], *MASKS[1:])}, r"masks\[0\] is list"),
        ({"paths": ("a",)}, "there are 1 paths for 3 images"),
        ({"paths": "abc"}, "give one for each, in a tuple"),
    ],
)
def test_what_does_not_fit_is_named(parts: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        data(**parts)


@pytest.mark.parametrize(
    "box", [[5, 5, 5, 9], [9, 5, 5, 9], [-1, 0, 5, 5], [0, 0, 49, 5], [0, 0, 5, 33], [float("nan"), 0, 5, 5]]
)
def test_a_box_that_cannot_be_is_named(box: list[float]) -> None:
    wrong = Objects(torch.tensor([[1.0, 1, 2, 2], box]), torch.tensor([0, 0]))
    with pytest.raises(ValueError, match=r"objects\[1\], box 1 is .* inside 48x32"):
        data(objects=(SOME, wrong, NOTHING))


def labelled(objects: tuple[torch.Tensor, ...] | None, classes: tuple[str, ...] = ("clean", "pit")) -> LabelledImages:
    return LabelledImages(IMAGES[:, :, :, :32], torch.zeros(3).long(), classes, objects=objects)


def test_boxes_of_loaders_lose_the_background() -> None:
    none = torch.zeros(0, 5).long()
    found = boxed(labelled((torch.tensor([[1, 2, 3, 4, 1]]), none, none)))
    assert found.classes == ("pit",)
    assert found.objects[0].labels.tolist() == [0]
    assert found.objects[0].boxes.tolist() == [[1, 2, 3, 4]]
    between = boxed(labelled((torch.tensor([[1, 2, 3, 4, 0], [1, 2, 3, 4, 2]]), none, none), ("a", "clean", "b")))
    assert between.classes == ("a", "b")
    assert between.objects[0].labels.tolist() == [0, 1]
    kept = boxed(labelled((torch.tensor([[1, 2, 3, 4, 0]]), none, none)), background=None)
    assert kept.classes == ("clean", "pit")
    with pytest.raises(ValueError, match="a box is of the class 'clean': give background=None"):
        boxed(labelled((torch.tensor([[1, 2, 3, 4, 0]]), none, none)))
    with pytest.raises(ValueError, match="these images have no boxes"):
        boxed(labelled(None))
