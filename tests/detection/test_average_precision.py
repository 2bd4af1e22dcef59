"""Average precision against pycocotools, torchmetrics, the definition of the VOC devkit, and by hand."""

import contextlib
import dataclasses
import doctest
import io
import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cbam_lite.detection import average_precision as module
from cbam_lite.detection.average_precision import (
    COCO_POINTS,
    VOC_POINTS,
    Found,
    area_under,
    average_precision,
    best_f_score,
    envelope,
    f_score,
    interpolated,
    precision_recall,
)
from cbam_lite.detection.boxed_images import BoxedImages, Objects

FIVE = ([0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False], 4)
NOTHING_FOUND = Found(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0))
NOTHING_THERE = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))


def found(*rows: tuple[float, float, float, float, int, float]) -> Found:
    """Of x0, y0, x1, y1, label, confidence."""
    table = torch.tensor(rows, dtype=torch.float64)
    return Found(table[:, :4].float(), table[:, 4].long(), table[:, 5].float())


def there(*rows: tuple[float, float, float, float, int]) -> Objects:
    table = torch.tensor(rows, dtype=torch.float64)
    return Objects(table[:, :4].float(), table[:, 4].long())


ONE, PIT = found((0, 0, 10, 10, 0, 0.9)), there((0, 0, 10, 10, 0))


def some_images(
    seed: int, images: int = 6, classes: int = 4, most: int = 12, detections: int = 20, grid: float = 0.0
) -> tuple[list[Found], list[Objects]]:
    """Objects of all three sizes; detections near them and anywhere, many with the same confidence.

    The last class is never there, the first is not found. With a grid, coordinates are its multiples, so that IoUs are
    equal now and then, and exactly at a threshold.
    """
    random = np.random.default_rng(seed)
    ours, true = [], []
    for _ in range(images):
        n, k = int(random.integers(most + 1)), int(random.integers(detections + 1))
        low, sides = random.uniform(0, 200, (n, 2)), np.exp(random.uniform(np.log(8), np.log(180), (n, 2)))
        boxes = np.concatenate([low, low + sides], 1)
        labels = random.integers(0, classes - 1, n)
        near = random.integers(0, n, k) if n else np.zeros(k, int)
        guesses = boxes[near] if n else np.tile([0, 0, 50, 50], (k, 1))
        guesses = guesses + random.normal(0, 1, (k, 4)) * random.choice([0, 1, 4, 12], (k, 1))
        guesses = np.concatenate([guesses.reshape(k, 2, 2).min(1), guesses.reshape(k, 2, 2).max(1)], 1)
        names = np.where(random.random(k) < 0.8, labels[near] if n else 1, random.integers(1, classes, k))
        names = np.maximum(names, 1)
        if grid:
            boxes, guesses = (grid * np.round(x / grid) for x in (boxes, guesses))
            boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + grid)
        confidences = random.integers(0, 8, k) / 8 if random.random() < 0.7 else random.random(k)
        ours.append(Found(torch.tensor(guesses).float(), torch.tensor(names).long(), torch.tensor(confidences).float()))
        true.append(Objects(torch.tensor(boxes).float(), torch.tensor(labels).long()))
    return ours, true


def xywh(box: list[float]) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def pycocotools(ours: list[Found], true: list[Objects], labels: list[int]) -> COCOeval:
    """pycocotools on the same: its numbers are in `stats`, its curves in ``eval["precision"]``."""
    marks, results = [], []
    for i, (f, o) in enumerate(zip(ours, true, strict=True)):
        for box, label in zip(o.boxes.tolist(), o.labels.tolist(), strict=True):
            area = (box[2] - box[0]) * (box[3] - box[1])
            mark = {"id": len(marks) + 1, "image_id": i + 1, "category_id": label + 1, "iscrowd": 0, "area": area}
            marks.append(mark | {"bbox": xywh(box)})
        for box, label, confidence in zip(f.boxes.tolist(), f.labels.tolist(), f.confidences.tolist(), strict=True):
            result = {"image_id": i + 1, "category_id": label + 1, "bbox": xywh(box), "score": confidence}
            results.append(result)
    data, none = COCO(), COCO()
    data.dataset = {"images": [{"id": i + 1} for i in range(len(true))], "annotations": marks}
    data.dataset["categories"] = [{"id": label + 1} for label in labels]
    none.dataset = data.dataset | {"annotations": []}
    with contextlib.redirect_stdout(io.StringIO()):
        data.createIndex()
        none.createIndex()
        evaluation = COCOeval(data, data.loadRes(results) if results else none, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def assert_same_as_pycocotools(ours: list[Found], true: list[Objects]) -> None:
    labels = sorted({k for part in [*ours, *true] for k in part.labels.tolist()})
    theirs, result = pycocotools(ours, true, labels), average_precision(ours, true)
    numbers = [result.AP, result.AP50, result.AP75, result.small, result.medium, result.large]
    numbers = [-1 if x is None or math.isnan(x) else x for x in numbers]
    assert numbers == pytest.approx(theirs.stats[:6].tolist(), abs=1e-9)
    by_class = theirs.eval["precision"][:, :, :, 0, 2].mean((0, 1)) if labels else []
    assert [-1 if x is None else x for x in result.by_class.values()] == pytest.approx(list(by_class), abs=1e-9)


# ---- COCO -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**30))
@settings(max_examples=25)
def test_coco_is_pycocotools(seed: int) -> None:
    assert_same_as_pycocotools(*some_images(seed))


@given(st.integers(0, 2**30))
@settings(max_examples=25)
def test_coco_is_pycocotools_where_ious_are_equal_or_at_a_threshold(seed: int) -> None:
    assert_same_as_pycocotools(*some_images(seed, images=4, classes=3, grid=8.0))


def test_random_images_have_what_the_comparison_is_about() -> None:
    """Ties, classes without truth, all sizes, images without either: or the tests above would say little."""
    ours, true = some_images(0, images=40)
    result = average_precision(ours, true)
    assert result.by_class["3"] is None
    assert result.by_class["0"] == 0
    assert None not in (result.small, result.medium, result.large)
    assert 0.1 < result.AP < result.AP75 < result.AP50 < 0.9
    confidences = torch.cat([f.confidences for f in ours])
    assert len(confidences.unique()) < len(confidences) / 2
    assert any(len(f.labels) == 0 for f in ours)
    assert any(len(o.labels) == 0 for o in true)


@pytest.mark.parametrize("seed", range(3))
def test_coco_counts_100_detections_of_each_class_in_each_image(seed: int) -> None:
    ours, true = some_images(seed, images=3, classes=3, most=60, detections=700)
    assert_same_as_pycocotools(ours, true)
    assert average_precision(ours, true) == average_precision(ours, true, most=100)
    assert average_precision(ours, true) != average_precision(ours, true, most=700)


def test_coco_with_many_objects_reads_the_curve_at_its_own_points() -> None:
    """A recall of 57/100 is below the point that linspace has for 0.57."""
    assert COCO_POINTS[57] > 0.57
    boxes = torch.tensor([[20.0 * i, 0, 20 * i + 10, 10] for i in range(100)])
    labels = torch.zeros(100, dtype=torch.long)
    some = Found(boxes[:57], labels[:57], torch.ones(57))
    assert_same_as_pycocotools([some], [Objects(boxes, labels)])
    assert average_precision([some], [Objects(boxes, labels)]).AP == pytest.approx(57 / 101)


@pytest.mark.parametrize("side", [32, 96])
def test_a_box_at_the_border_of_two_sizes_counts_in_both(side: int) -> None:
    true = [there((0, 0, side, side, 0))]
    ours = [found((0, 0, side, side, 0, 0.9), (0, 0, side - 1, side, 0, 0.95))]
    assert_same_as_pycocotools(ours, true)
    assert average_precision(ours, true).medium is not None
    assert getattr(average_precision(ours, true), "small" if side == 32 else "large") is not None


def test_wrong_detections_of_another_size_do_not_count() -> None:
    """Small, correct; then three mistakes, small, medium and large."""
    true = [there((0, 0, 20, 20, 0), (100, 0, 150, 50, 0))]
    mistakes = found((60, 0, 70, 10, 0, 0.9), (200, 0, 250, 50, 0, 0.8), (200, 100, 400, 300, 0, 0.7))
    right = found((0, 0, 20, 20, 0, 0.6), (100, 0, 150, 50, 0, 0.5))
    ours = [Found(*(torch.cat(parts) for parts in zip(mistakes, right, strict=True)))]
    result = average_precision(ours, true)
    assert (result.small, result.medium, result.large) == (pytest.approx(0.5), pytest.approx(0.5), None)
    assert_same_as_pycocotools(ours, true)


def test_an_object_of_the_asked_size_comes_before_a_better_one_of_another_size() -> None:
    """One detection on the larger of two objects; the smaller one has an IoU of 900 / 1156 = 0.78 with it."""
    true, ours = [there((0, 0, 34, 34, 0), (0, 0, 30, 30, 0))], [found((0, 0, 34, 34, 0, 0.9))]
    result = average_precision(ours, true)
    assert (result.small, result.medium) == (pytest.approx(6 / 10), 1)  # 0.78 is at least 0.5, 0.55, ..., 0.75
    assert result.AP == pytest.approx(51 / 101)
    assert_same_as_pycocotools(ours, true)


def test_of_equal_ious_coco_takes_the_last_voc_the_first() -> None:
    """The first detection lies between two objects, the second fits the left one only."""
    left, right = (0, 0, 10, 10, 0), (4, 0, 14, 10, 0)
    ours = [found((2, 0, 12, 10, 0, 0.9), (0, 0, 10, 10, 0, 0.8))]
    for true, coco, voc in (([there(left, right)], 1, 0.5), ([there(right, left)], 51 / 101, 1)):
        assert average_precision(ours, true, iou=0.6).AP == pytest.approx(coco)
        assert average_precision(ours, true, "VOC 2010", iou=0.6).AP == voc
        assert_same_as_pycocotools(ours, true)


@pytest.mark.parametrize("seed", range(4))
def test_coco_is_torchmetrics(seed: int) -> None:
    from torchmetrics.detection import MeanAveragePrecision  # takes seconds

    ours, true = some_images(100 + seed, images=12, grid=0.125)  # no rounding when torchmetrics computes widths
    metric = MeanAveragePrecision(
        class_metrics=True, iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(), rec_thresholds=COCO_POINTS.tolist()
    )
    names = ("boxes", "labels", "scores")
    metric.update([dict(zip(names, f, strict=True)) for f in ours], [o._asdict() for o in true])
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = metric.compute()
    result = average_precision(ours, true)
    keys = {"AP": "map", "AP50": "map_50", "AP75": "map_75", "small": "map_small", "medium": "map_medium"}
    for name, key in (keys | {"large": "map_large"}).items():
        assert getattr(result, name) == pytest.approx(float(theirs[key]), abs=1e-6), name
    by_class = [-1 if x is None else x for x in result.by_class.values()]
    assert by_class == pytest.approx(theirs["map_per_class"].tolist(), abs=1e-6)


def test_equal_confidences_keep_their_order() -> None:
    right, wrong = (0, 0, 10, 10, 0, 0.5), (50, 50, 60, 60, 0, 0.5)
    true = there((0, 0, 10, 10, 0))
    for first, second, AP in ((right, wrong, 1), (wrong, right, 0.5)):
        assert average_precision([found(first, second)], [true], "VOC 2010").AP == AP
        in_two_images = [found(first), found(second)]
        objects = [true, NOTHING_THERE] if first is right else [NOTHING_THERE, true]
        assert average_precision(in_two_images, objects, "VOC 2010").AP == AP


# ---- VOC ------------------------------------------------------------------------------------------------------------


def devkit(ours: list[Found], true: list[Objects], label: int, t: float, year: int) -> float:
    """VOCevaldet and VOCap as the development kit defines them, box by box, in Python numbers."""
    rows = [
        (-c, i, box)
        for i, f in enumerate(ours)
        for box, k, c in zip(f.boxes.tolist(), f.labels.tolist(), f.confidences.tolist(), strict=True)
        if k == label
    ]
    boxes = [[b for b, k in zip(o.boxes.tolist(), o.labels.tolist(), strict=True) if k == label] for o in true]
    used: set[tuple[int, int]] = set()
    tp: list[int] = []
    for _, i, a in sorted(rows, key=lambda row: row[0]):
        best, which = -math.inf, -1
        for j, b in enumerate(boxes[i]):
            w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            if w > 0 and h > 0:
                union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
                if w * h / union > best:
                    best, which = w * h / union, j
        tp.append(int(best >= t and (i, which) not in used))
        if best >= t:
            used.add((i, which))
    recall = np.cumsum(tp) / sum(map(len, boxes))
    precision = np.cumsum(tp) / np.arange(1, len(tp) + 1)
    if year == 2007:
        return sum(max(precision[recall >= k / 10], default=0) / 11 for k in range(11))
    R, P = np.array([0, *recall, 1]), np.array([0, *precision, 0])
    for i in range(len(P) - 2, -1, -1):
        P[i] = max(P[i], P[i + 1])
    return sum((R[i + 1] - R[i]) * P[i + 1] for i in range(len(R) - 1))


@pytest.mark.parametrize("year", [2007, 2010])
@given(st.integers(0, 2**30), st.sampled_from([0.0, 8.0]), st.sampled_from([None, 0.3, 0.75]))
def test_voc_is_the_devkits(year: int, seed: int, grid: float, iou: float | None) -> None:
    ours, true = some_images(seed, grid=grid)
    present = sorted({k for o in true for k in o.labels.tolist()})
    result = average_precision(ours, true, f"VOC {year}", iou=iou)
    expected = [devkit(ours, true, label, iou or 0.5, year) for label in present]
    assert [x for x in result.by_class.values() if x is not None] == pytest.approx(expected, abs=1e-12)
    assert result.AP == pytest.approx(np.mean(expected), abs=1e-12) if present else math.isnan(result.AP)
    assert result.AP50 is result.AP75 is result.small is None  # those are COCO's


def test_voc_has_no_limit_of_detections() -> None:
    true = [there((0, 0, 10, 10, 0))]
    ours = [found(*[(50, 50, 60, 60, 0, 0.9)] * 120, (0, 0, 10, 10, 0, 0.1))]
    assert average_precision(ours, true, "VOC 2010").AP == pytest.approx(1 / 121)
    assert average_precision(ours, true, "VOC 2010", most=120).AP == 0
    assert average_precision(ours, true, "COCO").AP == 0


def test_in_voc_a_detection_of_a_taken_object_is_wrong_in_coco_it_takes_the_next() -> None:
    """Both detections overlap the left object most, and the right one enough."""
    true = [there((0, 0, 10, 10, 0), (3, 0, 13, 10, 0))]
    ours = [found((0, 0, 10, 10, 0, 0.9), (1, 0, 11, 10, 0, 0.8))]
    assert average_precision(ours, true, "VOC 2010").AP == 0.5
    assert average_precision(ours, true, "COCO", iou=0.5).AP == 1
    assert average_precision(ours, true, "DeepPCB").AP == 1


def test_eleven_points_are_reached_by_tenths() -> None:
    """Three of ten objects have a recall of 0.3, whatever 3 * 0.1 is in binary."""
    precision, recall = precision_recall([3, 2, 1], [True] * 3, 10)
    assert interpolated(precision, recall, VOC_POINTS).tolist() == [1] * 4 + [0] * 7


# ---- DeepPCB --------------------------------------------------------------------------------------------------------


def test_deep_pcb_by_hand() -> None:
    """Correct, wrong, correct, and one of three objects missed: (1/1 + 2/3) / 3."""
    true = [there((0, 0, 10, 10, 0), (20, 0, 30, 10, 0)), there((0, 0, 10, 10, 0))]
    ours = [found((0, 0, 10, 4, 0, 0.9), (20, 0, 30, 10, 0, 0.7)), found((40, 0, 50, 10, 0, 0.8))]
    result = average_precision(ours, true, "DeepPCB")
    assert result.AP == pytest.approx((1 + 2 / 3) / 3)
    assert (result.AP50, result.AP75, result.small, result.medium, result.large) == (None,) * 5


def test_deep_pcb_wants_more_than_its_iou_the_others_at_least_theirs() -> None:
    true, ours = [there((0, 0, 100, 100, 0))], [found((0, 0, 100, 33, 0, 0.9))]
    assert average_precision(ours, true, "DeepPCB").AP == 0
    assert average_precision(ours, true, "DeepPCB", iou=0.3299).AP == 1
    assert average_precision(ours, true, "VOC 2010", iou=0.33).AP == 1
    assert average_precision(ours, true, "COCO", iou=0.33).AP == 1


@pytest.mark.parametrize(("height", "AP"), [(70, 1), (70 - 1e-6, 0)])
def test_iou_is_compared_in_double_precision(height: float, AP: float) -> None:
    """In float32, both are 0.7."""
    ours = ONE._replace(boxes=torch.tensor([[0, 0, 100, height]], dtype=torch.float64))
    assert average_precision([ours], [there((0, 0, 100, 100, 0))], "VOC 2010", iou=0.7).AP == AP


def test_f_score_by_hand() -> None:
    true = [there((0, 0, 10, 10, 0), (20, 0, 30, 10, 1)), there((0, 0, 10, 10, 1))]
    ours = [
        found((0, 0, 10, 10, 0, 0.9), (0, 0, 10, 10, 0, 0.8), (20, 0, 30, 10, 0, 0.7)),  # right, twice, other class
        found((0, 0, 10, 10, 1, 0.6), (40, 0, 50, 10, 1, 0.5)),
    ]
    assert f_score(ours, true, 0.55) == pytest.approx((2 / 4, 2 / 3, 4 / 7, 0.55))
    assert f_score(ours, true, 0.7) == pytest.approx((1 / 3, 1 / 3, 1 / 3, 0.7))  # float32's 0.7, too, is at least 0.7
    assert f_score(ours, true, 0.85) == pytest.approx((1, 1 / 3, 1 / 2, 0.85))
    assert best_f_score(ours, true) == pytest.approx((2 / 4, 2 / 3, 4 / 7, 0.6))


def test_best_f_score_weighs_detections_and_objects_alike() -> None:
    """Of five objects one is found by 1 detection, F = 2 / 6, three by 14, F = 6 / 19."""
    boxes = [(20 * i, 0, 20 * i + 10, 10, 0) for i in range(5)]
    wrong = [(20 * i, 50, 20 * i + 10, 60, 0, 0.5) for i in range(11)]
    ours = [found((*boxes[0], 0.75), *wrong, (*boxes[1], 0.25), (*boxes[2], 0.25))]
    assert best_f_score(ours, [there(*boxes)]) == pytest.approx((1, 1 / 5, 1 / 3, 0.75))


@given(st.integers(0, 2**30))
def test_best_f_score_is_the_best_of_all_thresholds(seed: int) -> None:
    ours, true = some_images(seed, images=2)
    thresholds = torch.cat([f.confidences for f in ours]).tolist()
    best = best_f_score(ours, true)
    if thresholds:
        assert best.F == max(f_score(ours, true, t).F for t in set(thresholds))
        assert best == pytest.approx(f_score(ours, true, best.confidence), nan_ok=True)
    else:
        assert math.isnan(best.confidence)


@given(st.integers(0, 2**30), st.sampled_from([0.25, 0.5, 0.7]))
def test_f_score_is_that_of_the_detections_above_the_threshold(seed: int, t: float) -> None:
    ours, true = some_images(seed, images=3)
    kept = [Found(*(part[f.confidences >= t] for part in f)) for f in ours]
    assert f_score(ours, true, t) == pytest.approx(f_score(kept, true, 0)._replace(confidence=t), nan_ok=True)


def test_f_score_of_nothing() -> None:
    pit = there((0, 0, 10, 10, 0))
    assert str(f_score([NOTHING_FOUND], [pit], 0.5)) == "FScore(precision=nan, recall=0.0, F=0.0, confidence=0.5)"
    assert (
        str(f_score([NOTHING_FOUND], [NOTHING_THERE], 0.5))
        == "FScore(precision=nan, recall=nan, F=nan, confidence=0.5)"
    )
    assert str(best_f_score([NOTHING_FOUND], [pit])) == "FScore(precision=nan, recall=0.0, F=0.0, confidence=nan)"
    assert best_f_score([found((0, 0, 10, 10, 0, 0.5))], [NOTHING_THERE])[0] == 0


# ---- the curve ------------------------------------------------------------------------------------------------------


def test_five_detections_by_hand() -> None:
    """As the top of the module says: four objects, correct, wrong, correct, correct, wrong."""
    precision, recall = precision_recall(*FIVE)
    assert precision == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])
    assert recall.tolist() == [0.25, 0.25, 0.5, 0.75, 0.75]
    assert envelope(precision).tolist() == [1, 0.75, 0.75, 0.75, 0.6]
    areas = {
        "VOC 2007": interpolated(precision, recall, VOC_POINTS).mean(),
        "VOC 2010": area_under(envelope(precision), recall),
        "COCO": interpolated(precision, recall, COCO_POINTS).mean(),
        "DeepPCB": area_under(precision, recall),
    }
    by_hand = ((3 * 1 + 5 * 0.75) / 11, (1 + 2 * 0.75) / 4, (26 * 1 + 50 * 0.75) / 101, (1 + 2 / 3 + 3 / 4) / 4)
    assert tuple(areas.values()) == pytest.approx(by_hand)
    boxes = [(20 * i, 0, 20 * i + 10, 10, 0) for i in range(4)]
    ours = [found((*boxes[0], 0.9), (0, 50, 9, 60, 0, 0.8), (*boxes[1], 0.7), (*boxes[2], 0.6), (0, 80, 9, 90, 0, 0.5))]
    for rule, expected in areas.items():
        assert average_precision(ours, [there(*boxes)], rule).AP == pytest.approx(expected)
        assert f"{expected:.3f}" in str(module.__doc__)


def test_the_order_in_which_detections_are_given_says_nothing() -> None:
    order = [3, 0, 4, 1, 2]
    shuffled = precision_recall([FIVE[0][i] for i in order], [FIVE[1][i] for i in order], 4)
    assert np.array_equal(shuffled, precision_recall(*FIVE))


def test_curve_without_detections() -> None:
    precision, recall = precision_recall([], [], 3)
    assert precision.shape == recall.shape == (0,)
    assert interpolated(precision, recall, COCO_POINTS).tolist() == [0] * 101
    assert area_under(envelope(precision), recall) == 0


@pytest.mark.parametrize(
    ("confidences", "correct", "truths", "says"),
    [
        ([0.9, 0.8], [True], 1, r"\(2,\).*\(1,\)"),
        ([0.9, math.nan], [True, False], 1, "NaN"),
        ([0.9, 0.8], [0.7, 0.3], 1, "True or False"),
        ([0.9, 0.8], [True, True], 1, "2 detections are correct, but truths=1"),
        ([0.9], [False], 0, "at least 1"),
        ([[0.9]], [[True]], 1, r"\(1, 1\)"),
    ],
)
def test_curve_of_nonsense(confidences: Any, correct: Any, truths: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        precision_recall(confidences, correct, truths)


def test_exchanged_precision_and_recall_are_noticed() -> None:
    precision, recall = precision_recall(*FIVE)
    for nonsense in ((recall, precision), (precision, recall[:4]), (precision, recall * 2), ([[1.0]], [[1.0]])):
        with pytest.raises(ValueError, match="in this order"):
            area_under(*nonsense)
        with pytest.raises(ValueError, match="in this order"):
            interpolated(*nonsense, COCO_POINTS)
    with pytest.raises(ValueError, match="outside its range"):
        interpolated(precision, recall, [0, 101])


# ---- nothing to find, nothing found ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["COCO", "VOC 2007", "VOC 2010", "DeepPCB"])
def test_nothing(rule: Any) -> None:
    pit, wrong = there((0, 0, 10, 10, 0)), found((0, 0, 10, 10, 1, 0.9))
    nothing_found = average_precision([NOTHING_FOUND], [pit], rule)
    assert (nothing_found.AP, nothing_found.by_class) == (0, {"0": 0})
    other_class = average_precision([wrong], [pit], rule)
    assert (other_class.AP, other_class.by_class) == (0, {"0": 0, "1": None})
    for ours, true in (([wrong], [NOTHING_THERE]), ([NOTHING_FOUND], [NOTHING_THERE]), ([], [])):
        nothing_there = average_precision(ours, true, rule)
        assert math.isnan(nothing_there.AP)
        assert nothing_there.AP50 is nothing_there.small is None
        assert set(nothing_there.by_class.values()) <= {None}


def test_boxed_images_give_the_names_of_classes() -> None:
    pit = there((0, 0, 10, 10, 1))
    data = BoxedImages(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), (pit, NOTHING_THERE), ("crack", "pit", "dent"))
    result = average_precision([found((0, 0, 10, 10, 1, 0.9)), NOTHING_FOUND], data, "VOC 2007")
    assert result.by_class == {"crack": None, "pit": 1, "dent": None}
    assert repr(result) == "VOC 2007, IoU 0.5\nAP    1.000\ncrack     -\npit   1.000\ndent      -"
    with pytest.raises(ValueError, match=r"labels go up to 3.*'crack', 'pit', 'dent'"):
        average_precision([found((0, 0, 10, 10, 3, 0.9)), NOTHING_FOUND], data)
    with pytest.raises(ValueError, match="names a class twice"):
        average_precision([NOTHING_FOUND] * 2, dataclasses.replace(data, classes=("pit", "pit", "dent")))


def test_result_of_coco_prints_as_a_table() -> None:
    result = average_precision([found((0, 0, 10, 10, 0, 0.9))], [there((0, 0, 10, 10, 0))])
    rows = ("COCO, IoU 0.5 to 0.95", "AP     1.000", "AP50   1.000", "AP75   1.000", "small  1.000", "medium     -")
    assert repr(result).splitlines() == [*rows, "large      -", "0      1.000"]


def test_other_thresholds() -> None:
    ours, true = some_images(5, images=20)
    several = average_precision(ours, true, iou=[0.5, 0.75])
    assert several.AP == pytest.approx((several.AP50 + several.AP75) / 2)
    assert several.AP50 == average_precision(ours, true).AP50
    one = average_precision(ours, true, iou=0.6)
    assert (one.ious, one.AP50, one.AP75) == ((0.6,), None, None)
    assert average_precision(ours, true, iou=torch.tensor(0.5)).AP == several.AP50


def test_any_object_with_the_three_parts_will_do() -> None:
    class Theirs(NamedTuple):
        confidences: torch.Tensor
        boxes: torch.Tensor
        labels: torch.Tensor

    ours, true = some_images(3)
    expected = average_precision(ours, true)
    other = [
        Theirs(f.confidences.bfloat16(), f.boxes.double().requires_grad_(), f.labels.to(torch.uint8)) for f in ours
    ]
    same = [Found(f.boxes, f.labels, f.confidences.bfloat16().float()) for f in ours]
    assert average_precision(other, true) == average_precision(same, true)
    assert expected.rule == "COCO"


# ---- what cannot be right -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"boxes": torch.zeros(4)}, ValueError, r"found\[1\].boxes has the shape \(4,\)"),
        ({"boxes": torch.zeros(1, 5)}, ValueError, r"found\[1\].*\(1, 5\)"),
        ({"boxes": torch.tensor([[5.0, 5, 3, 9]])}, ValueError, r"found\[1\], row 0 is \[5.0, 5.0, 3.0, 9.0, 0.0"),
        ({"boxes": torch.tensor([[0.0, 0, math.nan, 9]])}, ValueError, r"found\[1\], row 0"),
        ({"boxes": torch.tensor([[0.0, 0, math.inf, 9]])}, ValueError, r"found\[1\], row 0"),
        ({"boxes": [[0, 0, 10, 10]]}, TypeError, r"found\[1\].boxes must be a torch.Tensor"),
        ({"labels": torch.tensor([-1])}, ValueError, r"found\[1\], row 0"),
        ({"labels": torch.tensor([0.0])}, TypeError, r"labels are torch.float32"),
        ({"labels": torch.tensor([True])}, TypeError, r"labels are torch.bool"),
        ({"labels": torch.tensor([0, 0])}, ValueError, r"\(1, 4\), \(2,\), \(1,\)"),
        ({"confidences": torch.tensor([0.1, 0.2])}, ValueError, r"\(1, 4\), \(1,\), \(2,\)"),
        ({"confidences": torch.tensor([math.nan])}, ValueError, r"found\[1\], row 0"),
    ],
)
def test_nonsense_is_named(change: dict[str, Any], error: type[Exception], says: str) -> None:
    for compute in (average_precision, best_f_score):
        with pytest.raises(error, match=says):
            compute([ONE, ONE._replace(**change)], [PIT, PIT])


def test_an_object_without_an_area_cannot_be_found() -> None:
    with pytest.raises(ValueError, match=r"truth\[0\], row 1"):
        average_precision([ONE], [there((0, 0, 10, 10, 0), (5, 5, 5, 9, 0))])
    empty = found((0, 0, 10, 10, 0, 0.9), (5, 5, 5, 9, 0, 0.95))  # cut off at the border of the image
    assert average_precision([empty], [PIT], "VOC 2010").AP == 0.5


@pytest.mark.parametrize(
    ("ours", "true", "error", "says"),
    [
        (ONE, [PIT], TypeError, "found must be a list"),
        ([ONE], PIT, TypeError, "truth must be a list"),
        (iter([ONE]), [PIT], TypeError, "found must be a list"),
        ([ONE], [PIT, PIT], ValueError, "found has 1 images, truth 2"),
        ([PIT], [PIT], TypeError, r"found\[0\] is Objects: make Found\(boxes, labels, confidences\)"),
        ([{"boxes": 1}], [PIT], TypeError, r"found\[0\] is dict: make Found"),
        ([ONE], [tuple(PIT)], TypeError, r"truth\[0\] is tuple: make Objects\(boxes, labels\)"),
    ],
)
def test_images_that_do_not_fit_are_named(ours: Any, true: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        average_precision(ours, true)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"rule": "coco"}, ValueError, "did you mean|is not one of"),
        ({"rule": "VOC2007"}, ValueError, "did you mean 'VOC 2007'"),
        ({"iou": 50}, ValueError, "outside its range"),
        ({"iou": 0}, ValueError, "outside its range"),
        ({"iou": []}, ValueError, "empty"),
        ({"iou": "0.5"}, TypeError, "must be a number"),
        ({"most": 0}, ValueError, "at least 1"),
        ({"most": 1.5}, TypeError, "whole number"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        average_precision([ONE], [PIT], **options)


def test_f_score_wants_numbers() -> None:
    with pytest.raises(ValueError, match="iou=33"):
        f_score([ONE], [PIT], 0.5, iou=33)
    with pytest.raises(TypeError, match="confidence must be a number"):
        f_score([ONE], [PIT], "high")
    with pytest.raises(ValueError, match="finite"):
        f_score([ONE], [PIT], math.nan)


PUBLIC = (precision_recall, envelope, interpolated, area_under, average_precision, f_score, best_f_score, Found)


@pytest.mark.parametrize("name", [one.__name__ for one in PUBLIC])
def test_example_runs(name: str) -> None:
    words = {"torch": torch, "Objects": Objects} | {one.__name__: one for one in PUBLIC}
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(module, name), name, module=False, globs=words)
    assert example.examples
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False).run(example, out=said.append)
    assert not said, "".join(said)
