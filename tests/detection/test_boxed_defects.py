"""Computed surfaces with boxes: boxes are tight, defects are apart, and equal arguments give equal bytes."""

import hashlib

import pytest
import torch

from cbam_lite.detection.boxed_defects import KINDS, make_boxed_defects
from cbam_lite.training.images import boxes_of

DATA = make_boxed_defects(128, seed=3)


def test_boxes_are_those_of_the_masks() -> None:
    assert DATA.masks is not None
    for (boxes, labels), masks in zip(DATA.objects, DATA.masks, strict=True):
        assert len(boxes) == len(labels) == len(masks)
        assert torch.equal(boxes, boxes_of(masks).float())
        assert masks.flatten(1).any(1).all()


def test_defects_are_whole_apart_and_large_enough() -> None:
    sides = []
    for boxes, _ in DATA.objects:
        assert (boxes[:, :2] > 0).all()
        assert (boxes[:, 2:] < 128).all()
        grown = boxes + torch.tensor([-1, -1, 1, 1])
        for i in range(len(boxes)):
            for j in range(i):
                a, b = grown[i], boxes[j]
                assert (torch.maximum(a[:2], b[:2]) >= torch.minimum(a[2:], b[2:])).any()  # they do not touch
        sides.append((boxes[:, 2:] - boxes[:, :2]).amax(1))
    longest = torch.cat(sides)
    assert longest.min() >= 12
    assert longest.max() <= 72
    assert 14 <= longest.median() <= 40


def test_each_number_of_defects_and_each_kind_occurs() -> None:
    counts = torch.tensor([len(labels) for _, labels in DATA.objects])
    assert set(counts.tolist()) == {0, 1, 2, 3, 4}
    labels = torch.bincount(torch.cat([labels for _, labels in DATA.objects]), minlength=len(KINDS))
    assert labels.min() > 0.5 * labels.float().mean()
    assert max(len(labels) for _, labels in make_boxed_defects(64, most=1).objects) == 1


def test_a_defect_changes_the_picture_where_its_mask_is_and_hardly_elsewhere() -> None:
    """With contrast 0 the same surfaces come without their defects."""
    clean = make_boxed_defects(64, seed=3, contrast=0.0)
    difference = (DATA.images[:64].float() - clean.images.float()).abs().mean(1)
    assert clean.objects[0].boxes.equal(DATA.objects[0].boxes)
    inside, outside = [], []
    assert DATA.masks is not None
    for change, masks in zip(difference, DATA.masks, strict=False):
        outside.append(change[~masks.any(0)].mean())
        inside += [change[mask].mean() for mask in masks]
    assert torch.stack(inside).quantile(0.1) > 8
    assert torch.stack(outside).mean() < 1
    assert (difference[[i for i in range(64) if not len(DATA.objects[i].labels)]] == 0).all()


def test_equal_arguments_give_equal_bytes() -> None:
    again = make_boxed_defects(70, seed=3)  # more than a chunk, less than all
    assert torch.equal(again.images, DATA.images[:70])
    assert all(torch.equal(a.boxes, b.boxes) for a, b in zip(again.objects, DATA.objects, strict=False))
    assert not torch.equal(make_boxed_defects(8, seed=4).images, DATA.images[:8])


def test_the_bytes_are_those_that_the_detectors_were_trained_on() -> None:
    """A change here makes stored results and the shipped detectors belong to other data: make them anew."""
    boxes = torch.cat([boxes for boxes, _ in DATA.objects])
    coarse = torch.nn.functional.avg_pool2d(DATA.images[:64].float(), 32).round().byte()  # other processors round apart
    assert hashlib.sha256(boxes.to(torch.int16).numpy().tobytes()).hexdigest()[:12] == "fcbedd3c898e"
    assert abs(int(coarse.long().sum()) - 427_388) <= 60


def test_another_size_shows_the_same_things() -> None:
    large = make_boxed_defects(64, size=256, seed=3)
    pairs = list(zip(large.objects, DATA.objects, strict=False))
    same = [(a.boxes, b.boxes) for a, b in pairs if torch.equal(a.labels, b.labels)]
    assert len(same) > 50  # a defect at the limit of what fits may be there once and not the other time
    apart = [float((a / 2 - b).abs().max()) for a, b in same if len(a)]
    assert sum(pixels < 4 for pixels in apart) > 0.9 * len(apart)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, ValueError, "n=0 must be at least 1"),
        ({"size": 32}, ValueError, "size=32 is too small for several defects: use size>=64"),
        ({"contrast": 3}, ValueError, "contrast=3 is outside its range"),
        ({"clutter": -1}, ValueError, "clutter=-1 is outside its range"),
        ({"most": 9}, ValueError, "most=9 must be at most 8"),
        ({"seed": -1}, ValueError, "seed=-1 must be at least 0"),
        ({"seed": 0.5}, TypeError, "seed must be a whole number"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, float], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_boxed_defects(**({"n": 2} | options))  # type: ignore[arg-type]
