"""Whatever a change does to the picture, the box stays around the thing."""

import functools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cbam_lite.detection.boxed_images import Objects
from cbam_lite.detection.boxes import iou
from cbam_lite.detection.changes import Change, crops, flips_with_boxes, in_turn, lights_with_boxes, scales
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


def bright(seed: int, B: int = 3, size: int = 96) -> tuple[torch.Tensor, list[Objects]]:
    """Dark pictures with one bright rectangle each."""
    g = torch.Generator().manual_seed(seed)
    images, objects = torch.full((B, 3, size, size), 0.05), []
    for i in range(B):
        w, h = (16 + 20 * torch.rand(2, generator=g)).int().tolist()
        x, y = (torch.rand(2, generator=g) * torch.tensor([size - w, size - h])).int().tolist()
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
        mask = image.mean(0) > (image.amin() + image.amax()) / 2
        assert labels.tolist() in ([], before.labels.tolist())
        if len(found):
            H, W = image.shape[1:]
            assert (found[:, :2] >= 0).all()
            assert (found[:, 2:] <= torch.tensor([W, H])).all()
        if len(found) and name != "scales" and "turn" not in name:  # grey around a small picture is bright, too
            assert iou(boxes_of(mask[None]).float(), found).item() > 0.85


@given(seed=st.integers(0, 2**20))
def test_a_scaled_box_stays_around_the_thing(seed: int) -> None:
    images, objects = bright(seed)
    new, boxes = scales(0.6, 1.5)(images, objects, torch.Generator().manual_seed(seed))
    for image, (found, _) in zip(new, boxes, strict=True):
        if len(found):
            assert iou(boxes_of((image.mean(0) > 0.7)[None]).float(), found).item() > 0.8


def test_a_flip_is_a_flip() -> None:
    images, objects = bright(0, B=64)
    new, boxes = flips_with_boxes(images, objects, torch.Generator().manual_seed(0))
    mirrored = [bool((a != b).any()) for a, b in zip(new, images, strict=True)]
    assert 32 < sum(mirrored) < 62  # three of four
    assert objects[0].boxes.equal(bright(0, B=64)[1][0].boxes)  # what was given is as it was
    for image, (found, _) in zip(new, boxes, strict=True):
        assert torch.equal(boxes_of((image.mean(0) > 0.5)[None]).float(), found)


def test_crops_prefer_squares_with_something_in_them() -> None:
    images, objects = bright(1, B=200, size=192)
    new, boxes = crops(64)(images, objects, torch.Generator().manual_seed(0))
    assert new.shape == (200, 3, 64, 64)
    full = sum(len(found) for found, _ in boxes) / 200
    assert 0.6 < full < 0.95
    assert len(crops(64)(images, [NOTHING] * 200, torch.Generator())[0]) == 200


def test_what_is_left_of_a_box_decides() -> None:
    images, objects = torch.zeros(1, 3, 64, 96), [Objects(torch.tensor([[40.0, 0, 80, 40]]), torch.tensor([1]))]
    for seed in range(40):
        for keep in (0.0, 0.4, 0.9):
            _, ((boxes, labels),) = crops(64, keep)(images, objects, torch.Generator().manual_seed(seed))
            share = (boxes[:, 2:] - boxes[:, :2]).prod(1) / 1600
            assert len(labels) == len(boxes)
            assert (share >= keep).all()


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
    assert all(a is b for a, b in zip(boxes, objects, strict=True))
    assert new.min() >= 0
    assert new.max() <= 1
    assert (new != images).any()


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
        (lambda: flips_with_boxes(torch.rand(2, 3, 8, 8), [NOTHING], torch.Generator()), "objects of 1 images, but 2"),
        (lambda: flips_with_boxes(torch.rand(1, 3, 8, 8), [NOTHING], 0), "g must be a torch.Generator"),
    ],
)
def test_wrong_arguments_are_named(make: object, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()  # type: ignore[operator]
