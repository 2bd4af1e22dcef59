"""Computed surfaces with boxes: boxes are tight, defects are apart, and equal arguments give equal bytes."""

import hashlib
import math

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


def test_each_kind_alone_is_that_kind() -> None:
    for name in KINDS:
        data = make_boxed_defects(16, kinds=[name], most=2)
        assert data.classes == (name,)
        assert {k for _, labels in data.objects for k in labels.tolist()} == {0}
    backwards = make_boxed_defects(64, seed=3, kinds=list(KINDS)[::-1])
    assert backwards.classes == DATA.classes[::-1]
    assert not torch.equal(backwards.images, DATA.images[:64])


def test_a_pit_is_one_round_hole() -> None:
    data = make_boxed_defects(64, kinds=["pit"], size=256)
    assert data.masks is not None
    for (boxes, _), masks in zip(data.objects, data.masks, strict=True):
        w, h = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
        assert ((w - h).abs() <= 2).all()
        assert torch.allclose(masks.flatten(1).sum(1) / (w * h), torch.tensor(math.pi / 4), atol=0.04)


def test_clutter_is_no_defect() -> None:
    """It changes the picture, and no box."""
    plain = make_boxed_defects(64, seed=3, clutter=0.0)
    assert not torch.equal(plain.images, DATA.images[:64])
    assert all(torch.equal(a.boxes, b.boxes) for a, b in zip(plain.objects, DATA.objects, strict=False))


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
    assert torch.stack(inside).min() > 2
    assert torch.stack(outside).mean() < 1
    assert (difference[[i for i in range(64) if not len(DATA.objects[i].labels)]] == 0).all()


def test_more_contrast_changes_more_and_nothing_else() -> None:
    clean = make_boxed_defects(16, seed=3, contrast=0.0).images.float()
    changes = []
    for contrast in (0.3, 1.0, 2.0):
        data = make_boxed_defects(16, seed=3, contrast=contrast)
        assert all(torch.equal(a.boxes, b.boxes) for a, b in zip(data.objects, DATA.objects, strict=False))
        changes.append((data.images.float() - clean).abs().mean().item())
    assert changes == sorted(changes)
    assert changes[-1] > 3 * changes[0]


def test_global_random_numbers_are_left_alone() -> None:
    state = torch.get_rng_state()
    make_boxed_defects(1)
    assert torch.equal(torch.get_rng_state(), state)


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
        ({"contrast": float("nan")}, ValueError, "contrast=nan is outside its range"),
        ({"most": 0}, ValueError, "most=0 must be at least 1"),
        ({"kinds": "pit"}, TypeError, r"kinds='pit' must be a tuple of names, \('pit',\) for a single one"),
        ({"kinds": ["pitt"]}, ValueError, r"kinds\[0\]='pitt' is not one of .*; did you mean 'pit'"),
        ({"kinds": ["missing thread"]}, ValueError, r"kinds\[0\]='missing thread' is not one of"),
        ({"kinds": ()}, ValueError, r"kinds=\(\) must hold at least one"),
        ({"kinds": ["pit", "pit"]}, ValueError, "each only once"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_boxed_defects(**({"n": 2} | options))  # type: ignore[arg-type]
