"""Whatever a change does to the picture, the box stays around the thing."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cbam_lite.detection.boxed_images import BoxedImages, Objects
from cbam_lite.detection.boxes import iou
from cbam_lite.detection.changes import Change, crops, flips_with_boxes, in_turn, inside, lights_with_boxes, scales
from cbam_lite.training.images import boxes_of
from cbam_lite.training.settings import name_of

CHANGES: dict[str, Change] = {
    "flips": flips_with_boxes,
    "lights": lights_with_boxes,
    "crops": crops(64),
    "scales": scales(),
    "in turn": in_turn(scales(0.9, 1.2), crops(64), flips_with_boxes),
}
NOTHING = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))


def bright(seed: int, B: int = 3, high: int = 96, wide: int = 128) -> tuple[torch.Tensor, list[Objects]]:
    """Dark pictures with one bright rectangle each, not square: then x and y cannot be mistaken for each other."""
    g = torch.Generator().manual_seed(seed)
    images, objects = torch.full((B, 3, high, wide), 0.05), []
    for i in range(B):
        w, h = (16 + 20 * torch.rand(2, generator=g)).int().tolist()
        x, y = (torch.rand(2, generator=g) * torch.tensor([wide - w, high - h])).int().tolist()
        images[i, :, y : y + h, x : x + w] = 0.9
        objects.append(Objects(torch.tensor([[x, y, x + w, y + h]]).float(), torch.tensor([i % 2])))
    return images, objects


@pytest.mark.parametrize("name", CHANGES)
@given(seed=st.integers(0, 2**20))
def test_the_box_stays_around_the_thing(name: str, seed: int) -> None:
    images, objects = bright(seed)
    new, boxes = CHANGES[name](images, objects, torch.Generator().manual_seed(seed))
    assert len(new) == len(boxes) == 3
    for image, (found, labels), before in zip(new, boxes, objects, strict=True):
        assert labels.tolist() in ([], before.labels.tolist())
        # Grey around a small picture is 0.5, the thing 0.9; other light moves both.
        limit = (image.amin() + image.amax()) / 2 if name == "lights" else 0.7
        mask = image.mean(0) > limit
        if len(found):
            assert iou(boxes_of(mask[None]).float(), found).item() > 0.8
    BoxedImages((new * 255).byte(), tuple(boxes), ("pit", "crack"))  # which refuses what leaves its image


@given(seed=st.integers(0, 2**20))
def test_a_scaled_box_stays_around_the_thing(seed: int) -> None:
    images, objects = bright(seed, high=96, wide=128)
    new, boxes = scales(0.6, 1.5)(images, objects, torch.Generator().manual_seed(seed))
    for image, (found, _) in zip(new, boxes, strict=True):
        if len(found):
            assert iou(boxes_of((image.mean(0) > 0.7)[None]).float(), found).item() > 0.8


@pytest.mark.parametrize("name", CHANGES)
def test_each_label_stays_with_its_box(name: str) -> None:
    """Three rectangles in three colours: the colour in a box tells its label."""
    images, boxes = torch.zeros(40, 3, 96, 160), torch.tensor([[4.0, 8, 30, 28], [60, 50, 90, 92], [110, 10, 150, 40]])
    for k, (x0, y0, x1, y1) in enumerate(boxes.int().tolist()):
        images[:, k, y0:y1, x0:x1] = 1
    new, changed = CHANGES[name](images, [Objects(boxes, torch.arange(3))] * 40, torch.Generator().manual_seed(0))
    seen = []
    for image, (found, labels) in zip(new, changed, strict=True):
        for (x0, y0, x1, y1), label in zip(found.round().int().tolist(), labels.tolist(), strict=True):
            assert image[:, y0:y1, x0:x1].mean((1, 2)).argmax() == label
            seen.append(label)
    assert set(seen) == {0, 1, 2}


def test_a_flip_is_a_flip() -> None:
    images, objects = bright(0, B=64)
    new, boxes = flips_with_boxes(images, objects, torch.Generator().manual_seed(0))
    mirrored = [bool((a != b).any()) for a, b in zip(new, images, strict=True)]
    assert 32 < sum(mirrored) < 62  # three of four
    assert objects[0].boxes.equal(bright(0, B=64)[1][0].boxes)  # what was given is as it was
    for image, (found, _) in zip(new, boxes, strict=True):
        assert torch.equal(boxes_of((image.mean(0) > 0.5)[None]).float(), found)


def test_crops_prefer_squares_with_something_in_them() -> None:
    images, objects = bright(1, B=200, high=192, wide=192)
    new, boxes = crops(64)(images, objects, torch.Generator().manual_seed(0))
    assert new.shape == (200, 3, 64, 64)
    full = sum(len(found) for found, _ in boxes) / 200
    assert 0.6 < full < 0.95


@pytest.mark.parametrize("name", CHANGES)
def test_images_without_objects_stay_without(name: str) -> None:
    images, objects = bright(0)
    new, boxes = CHANGES[name](images, [NOTHING, objects[1], NOTHING], torch.Generator().manual_seed(0))
    assert len(new) == len(boxes) == 3
    for i in (0, 2):
        assert boxes[i].boxes.shape == (0, 4)
        assert boxes[i].labels.dtype == torch.int64


def test_a_crop_of_the_whole_image_is_the_image() -> None:
    images, objects = bright(0, high=64, wide=64)
    new, boxes = crops(64)(images, objects, torch.Generator().manual_seed(0))
    assert torch.equal(new, images)
    assert all(torch.equal(a.boxes, b.boxes) for a, b in zip(boxes, objects, strict=True))


def test_a_scale_of_one_changes_nothing() -> None:
    images, objects = bright(0)
    new, boxes = scales(1.0, 1.0)(images, objects, torch.Generator().manual_seed(0))
    assert torch.allclose(new, images, atol=1e-4)
    assert all(torch.allclose(a.boxes, b.boxes) for a, b in zip(boxes, objects, strict=True))


def test_half_the_size_stands_in_grey() -> None:
    image, box = torch.ones(1, 3, 64, 128), Objects(torch.tensor([[0.0, 0, 128, 64]]), torch.tensor([0]))
    new, ((boxes, _),) = scales(0.5, 0.5)(image, [box], torch.Generator())
    assert boxes.tolist() == [[32, 16, 96, 48]]
    assert (new[..., 17:47, 33:95] == 1).all()
    assert (new[..., :15, :] == 0.5).all()
    assert (new[..., :, 97:] == 0.5).all()


@pytest.mark.parametrize("keep", [0.0, 0.4, 0.9])
def test_what_is_left_of_a_box_decides(keep: float) -> None:
    """Each pixel of the image holds its place, so the crop itself tells what has to be left of the box."""
    place = torch.stack([torch.arange(96.0).expand(64, 96), torch.arange(64.0)[:, None].expand(64, 96)])
    images = torch.cat([place, place[:1]])[None]
    objects = [Objects(torch.tensor([[40.0, 0, 80, 40]]), torch.tensor([1]))]
    lengths = []
    for seed in range(60):
        new, ((boxes, labels),) = crops(64, keep)(images, objects, torch.Generator().manual_seed(seed))
        x, y = new[0, :2, 0, 0].tolist()
        left = [max(40 - x, 0), max(0 - y, 0), min(80 - x, 64), min(40 - y, 64)]
        share = max(left[2] - left[0], 0) * max(left[3] - left[1], 0) / 1600
        assert boxes.tolist() == ([left] if share >= keep and share > 0 else [])
        assert len(labels) == len(boxes)
        lengths.append(len(boxes))
    assert keep < 0.9 or set(lengths) == {0, 1}


def test_a_sliver_that_would_round_to_nothing_is_dropped() -> None:
    boxes = torch.tensor([[-10.0, 0, 1e-6, 20], [-10, 0, 1, 20]])
    assert inside(boxes, torch.tensor([0, 1]), 64, 64, keep=0.0).labels.tolist() == [1]


def test_what_was_given_is_as_it_was() -> None:
    for change in CHANGES.values():
        images, objects = bright(0)
        change(images, objects, torch.Generator().manual_seed(3))
        again, same = bright(0)
        assert torch.equal(images, again)
        assert all(torch.equal(a.boxes, b.boxes) for a, b in zip(objects, same, strict=True))


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("make", [lambda o: (o.boxes, o.labels), lambda o: Objects(o.boxes.long(), o.labels.int())])
def test_pairs_and_whole_numbers_are_boxes_too(name: str, make: Callable[[Objects], Objects]) -> None:
    images, objects = bright(5)
    wanted = CHANGES[name](images, objects, torch.Generator().manual_seed(1))[1]
    found = CHANGES[name](images, [make(one) for one in objects], torch.Generator().manual_seed(1))[1]
    for a, b in zip(wanted, found, strict=True):
        assert torch.equal(a.boxes, b.boxes)
        assert b.boxes.dtype == torch.float32
        assert b.labels.dtype == torch.int64


BOX, ONE = torch.tensor([[10.0, 10, 20, 22]]), torch.tensor([0])


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (Objects(BOX, ONE), r"got Objects: for one image use \[objects\]"),
        (None, "got NoneType"),
        ([], "objects of 0 images, but 1 images"),
        ([BOX], r"objects\[0\] must be Objects\(boxes, labels\), got Tensor"),
        ([Objects(BOX * float("nan"), ONE)], r"objects\[0\], box 0 is \[nan"),
        ([Objects(BOX + 100, ONE)], r"objects\[0\], box 0 is .* inside 80x64"),
        ([Objects(BOX.flip(1), ONE)], "with x0 < x1"),
        ([Objects(torch.rand(1, 5), ONE)], r"expected a tensor \(n, 4\)"),
        ([Objects(BOX.repeat(2, 1), ONE)], "one for each box"),
        ([Objects(BOX, torch.tensor([0.0]))], "expected int64"),
        ([Objects(BOX, ONE - 1)], "count from 0"),
    ],
)
def test_boxes_that_are_none_are_refused(name: str, objects: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        CHANGES[name](torch.rand(1, 3, 64, 80), objects, torch.Generator())


def test_the_generator_decides() -> None:
    images, objects = bright(0)
    for change in CHANGES.values():
        first, second, other = (change(images, objects, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
        assert torch.equal(first[0], second[0])
        assert all(torch.equal(a.boxes, b.boxes) for a, b in zip(first[1], second[1], strict=True))
        assert not torch.equal(first[0], other[0])


def test_lights_change_the_picture_only() -> None:
    images, objects = bright(0)
    new, boxes = lights_with_boxes(images, objects, torch.Generator().manual_seed(0))
    assert all(torch.equal(a.boxes, b.boxes) for a, b in zip(boxes, objects, strict=True))
    assert all(torch.equal(a.labels, b.labels) for a, b in zip(boxes, objects, strict=True))
    assert new.min() >= 0
    assert new.max() <= 1
    assert (new != images).any()


def test_in_turn_is_one_after_the_other() -> None:
    images, objects = bright(0)
    g = torch.Generator().manual_seed(4)
    wanted = flips_with_boxes(*crops(64)(images, objects, g), g)
    found = in_turn(crops(64), flips_with_boxes)(images, objects, torch.Generator().manual_seed(4))
    assert torch.equal(found[0], wanted[0])
    assert all(torch.equal(a.boxes, b.boxes) for a, b in zip(found[1], wanted[1], strict=True))
    assert torch.equal(in_turn()(images, objects, g)[0], images)


def test_names_tell_changes_apart() -> None:
    names = [name_of(change) for change in (crops(64), crops(96), crops(64, 0.5), in_turn(crops(64)), scales())]
    assert len(set(names)) == 5
    assert name_of(in_turn(crops(64), flips_with_boxes)) == (
        "one_after_the_other(changes=(cropped(keep=0.4, size=64), flips_with_boxes))"
    )
    assert isinstance(crops(64), functools.partial)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: crops(50), r"size=50 must be a multiple of 32: use 64"),
        (lambda: crops(64, 2), "keep=2 is outside its range"),
        (lambda: scales(0.0), "low=0.0 is outside its range"),
        (lambda: scales(1.0, 0.5), "high=0.5 is outside its range: use 1 to 20"),
        (lambda: in_turn("flips"), r"changes\[0\] must be a function"),
        (lambda: crops(64)(torch.rand(1, 3, 40, 80), [NOTHING], torch.Generator()), "images are 40x80, smaller than"),
        (lambda: crops(32)(torch.rand(1, 3, 16, 80), [NOTHING], torch.Generator()), "letterbox them to at least 32x32"),
        (lambda: crops(64)(torch.rand(0, 3, 80, 80), [], torch.Generator()), r"at least 1 is needed"),
        (lambda: scales()(torch.zeros(1, 3, 64, 64).byte(), [NOTHING], torch.Generator()), "images is torch.uint8"),
        (lambda: scales()(torch.zeros(3, 64, 64), [NOTHING] * 3, torch.Generator()), r"use images\[None\]"),
        (lambda: crops("64"), "size must be a whole number"),
        (lambda: flips_with_boxes(torch.rand(2, 3, 8, 8), [NOTHING], torch.Generator()), "objects of 1 images, but 2"),
        (lambda: flips_with_boxes(torch.rand(1, 3, 8, 8), [NOTHING], 0), "g must be a torch.Generator"),
    ],
)
def test_wrong_arguments_are_named(make: object, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()  # type: ignore[operator]
