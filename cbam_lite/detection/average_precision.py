"""Average precision (AP): how good a detector is, in one number, and why the same detections have several of them.

A detection is correct if it takes a true object of its class: one that it overlaps with an IoU of t or more, and that
no more confident detection has taken. So of two boxes on one object, the second is wrong. Go through the detections of
a class, in all images, from the most confident down. After each one::

    precision P = correct so far / detections so far          recall R = correct so far / true objects

R rises, and P mostly falls: who wants to find more makes more mistakes. AP is the mean of P over R from 0 to 1: the
area under this curve. But the curve is a saw: P drops at each wrong detection, climbs at each correct one, and ends
where the detections end. Every benchmark has its own rule for the area of a saw. Q(r) = max of P where R >= r is the
saw with its teeth filled, and 0 where R never gets to r::

    COCO      1/101 sum of Q(r) over r = 0, 0.01, ..., 1       VOC 2010  sum_k (R_k - R_k-1) Q(R_k)
    VOC 2007  1/11 sum of Q(r) over r = 0, 0.1, ..., 1         DeepPCB   sum_k (R_k - R_k-1) P_k

They differ in what is correct, too. VOC wants IoU >= 0.5; COCO takes the mean over ten thresholds from 0.5 to 0.95, so
boxes have to be exact; DeepPCB wants IoU > 0.33. In VOC a detection goes to the object that it overlaps most, and is
wrong if that one is taken; in the others it goes to the best of those that are left.

Five detections, correct, wrong, correct, correct, wrong, of four objects have an area of 0.629 by COCO, 0.614 by VOC
2007, 0.625 by VOC 2010 and 0.604 by DeepPCB. An AP is a number only together with its rule.

Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010; Lin et al., "Microsoft COCO", ECCV 2014;
Tang et al., "Online PCB Defect Detector On A New PCB Defect Dataset", arXiv:1902.06197.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from cbam_lite.checks import choose, number, positive_int, sequence, tensor, whole
from cbam_lite.detection.boxed_images import BoxedImages, Objects
from cbam_lite.detection.boxes import iou as iou_of

Array: TypeAlias = NDArray[Any]
Truth: TypeAlias = BoxedImages | Sequence[Objects]
Part = TypeVar("Part", "Found", Objects)

# Where the curve is read. In COCO's program some points, such as 0.57, are a rounding error above a recall of 57 / 100.
COCO_POINTS, VOC_POINTS = np.linspace(0, 1, 101), np.arange(11) / 10
# The area of a box in pixels, from and to. As in COCO's program, 32 x 32 is both small and medium.
SIZES = {"all": (0.0, math.inf), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, math.inf)}

# ---- the curve and the area under it --------------------------------------------------------------------------------


def precision_recall(confidences: ArrayLike, correct: ArrayLike, truths: int) -> tuple[Array, Array]:
    """Precision and recall after each detection, from the most confident down: twice (n,). Equals keep their order.

    Args:
        confidences, correct: (n,), in any order; `correct` says which of these detections are, bool.
        truths: how many true objects there are, at least 1.

    Raises:
        ValueError: lengths differ, a confidence is NaN, more are correct than there are truths, or there are no truths.

    Example:
        >>> precision, recall = precision_recall([0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False], truths=4)
        >>> precision.round(2).tolist(), recall.tolist()
        ([1.0, 0.5, 0.67, 0.75, 0.6], [0.25, 0.25, 0.5, 0.75, 0.75])
    """
    scores, hits = np.asarray(confidences, dtype=np.float64), np.asarray(correct)
    if scores.ndim != 1 or hits.shape != scores.shape or np.isnan(scores).any() or not np.isin(hits, (0, 1)).all():
        raise ValueError(f"confidences {scores.shape}, no NaN, and correct {hits.shape}, True or False, must be (n,)")
    if whole("truths", truths, 1) < hits.sum():
        raise ValueError(f"{int(hits.sum())} detections are correct, but truths={truths}: each can be found only once")
    found = hits[np.argsort(-scores, kind="stable")].astype(np.int64).cumsum()
    return found / np.arange(1, len(found) + 1), found / truths


def envelope(precision: ArrayLike) -> Array:
    """The saw with its teeth filled, (n,): for each detection the best precision at its recall or above.

    Example:
        >>> envelope([1.0, 0.5, 0.67, 0.75, 0.6]).tolist()
        [1.0, 0.75, 0.75, 0.75, 0.6]
    """
    return np.maximum.accumulate(np.asarray(precision, dtype=np.float64)[::-1])[::-1]


def interpolated(precision: ArrayLike, recall: ArrayLike, points: Sequence[float] | Array) -> Array:
    """Q(r) at each r of `points`: the best precision at recall r or above, 0 where the recall never gets there.

    Its mean over `COCO_POINTS` or `VOC_POINTS` is the AP of COCO at one IoU, or of VOC 2007.

    Example:
        >>> P, R = [1.0, 0.5, 0.67, 0.75, 0.6], [0.25, 0.25, 0.5, 0.75, 0.75]
        >>> interpolated(P, R, [0, 0.25, 0.3, 0.75, 0.8, 1]).tolist()
        [1.0, 1.0, 0.75, 0.75, 0.0, 0.0]
    """
    P, R = curve(precision, recall)
    return np.append(envelope(P), 0.0)[np.searchsorted(R, sequence("points", points, 0, 1))]  # the first R >= r


def area_under(precision: ArrayLike, recall: ArrayLike) -> float:
    """sum_k (R_k - R_k-1) P_k: VOC 2010's AP of ``envelope(precision)``, DeepPCB's of `precision` as it is.

    Example:
        >>> area_under([1.0, 0.5, 0.67, 0.75, 0.6], [0.25, 0.25, 0.5, 0.75, 0.75])
        0.605
    """
    P, R = curve(precision, recall)
    return float((np.diff(R, prepend=0.0) * P).sum())


def curve(precision: ArrayLike, recall: ArrayLike) -> tuple[Array, Array]:
    P, R = np.asarray(precision, dtype=np.float64), np.asarray(recall, dtype=np.float64)
    if P.ndim != 1 or P.shape != R.shape or not (np.diff(R, prepend=0.0) >= 0).all() or not (R <= 1).all():
        raise ValueError(f"precision {P.shape}, recall {R.shape} must be (n,), in this order; recall never falls")
    return P, R


# ---- which detections are correct -----------------------------------------------------------------------------------


def best_that_is_left(ious: Array, fits: Array, inside: Array) -> Array:
    """COCO: each detection in turn takes the free object with the highest IoU, one of the asked size before any other.

    `ious` (n, m) are those of n detections, the most confident first, with m objects; `fits` (n, m) says where they are
    high enough, `inside` (m,) which objects have the asked size. The result (n,) is the position of the object, -1 for
    none; of equal IoUs it is the last, as in COCO's program.
    """
    taken, free = np.full(len(ious), -1), np.ones(len(inside), dtype=np.bool_)
    for d in np.flatnonzero(fits.any(1)):
        choice = np.flatnonzero(fits[d] & free)
        if len(choice):
            taken[d] = max(choice, key=lambda g: (inside[g], ious[d, g], g))
            free[taken[d]] = False
    return taken


def best_of_all(ious: Array, fits: Array, inside: Array) -> Array:
    """VOC: each detection goes to the object with the highest IoU, the first of equals; -1 where that one is taken."""
    taken = np.full(len(ious), -1)
    for d in np.flatnonzero(fits.any(1)):
        if ious[d].argmax() not in taken:
            taken[d] = ious[d].argmax()
    return taken


class Rule(NamedTuple):
    ious: Sequence[float]  # the thresholds t; AP is the mean over them
    fits: Callable[..., Any]  # IoU >= t or IoU > t
    take: Callable[[Array, Array, Array], Array]
    area: Callable[[Array, Array], Any]  # of precision and recall
    most: int | None = None  # so many detections of one class in one image count


TEN = np.linspace(0.5, 0.95, 10).tolist()
RULES = {
    "COCO": Rule(TEN, np.greater_equal, best_that_is_left, lambda P, R: interpolated(P, R, COCO_POINTS).mean(), 100),
    "VOC 2007": Rule([0.5], np.greater_equal, best_of_all, lambda P, R: interpolated(P, R, VOC_POINTS).mean()),
    "VOC 2010": Rule([0.5], np.greater_equal, best_of_all, lambda P, R: area_under(envelope(P), R)),
    "DeepPCB": Rule([0.33], np.greater, best_that_is_left, area_under),
}


class Found(NamedTuple):
    """What some program found in one image: boxes (n, 4), x0, y0, x1, y1 in the pixels that the true boxes have, labels
    (n,), int64, from 0, and confidences (n,). `average_precision` takes a list of these, one for each image.

    Example:
        >>> Found(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0)).labels
        tensor([], dtype=torch.int64)
    """

    boxes: Tensor
    labels: Tensor
    confidences: Tensor


class OneClass(NamedTuple):
    """The detections, most confident first, and the objects of one class in one image."""

    confidences: Array  # (n,)
    ious: Array  # (n, m)
    found_areas: Array  # (n,)
    true_areas: Array  # (m,)


def one_class(pairs: Sequence[tuple[Found, Objects]], label: int, most: int | None) -> list[OneClass]:
    """The images with this class, and of each the `most` most confident detections."""
    result = []
    for found, objects in pairs:
        ours, true = found.labels == label, objects.boxes[objects.labels == label]
        if ours.any() or len(true):
            order = found.confidences[ours].argsort(descending=True, stable=True)[:most]
            boxes, confidences = found.boxes[ours][order], found.confidences[ours][order]
            areas = [(b[:, 2:] - b[:, :2]).prod(1).numpy() for b in (boxes, true)]
            result.append(OneClass(confidences.numpy(), iou_of(boxes, true).numpy(), *areas))
    return result


def judged(images: Sequence[OneClass], rule: Rule, t: float, size: str = "all") -> tuple[Array, Array, int]:
    """Confidences (n,) of the detections that count, which are correct (n,), and how many objects there are.

    Where a size is asked for, a detection that takes an object of another size does not count, nor does a wrong one
    that has another size itself.
    """
    (low, high), truths = SIZES[size], 0
    confidences, correct = [np.zeros(0, np.float32)], [np.zeros(0, np.bool_)]  # what no image gives
    for image in images:
        inside = (low <= image.true_areas) & (image.true_areas <= high)  # (m,)
        taken = rule.take(image.ious, rule.fits(image.ious, t), inside)  # (n,)
        hits = np.append(inside, False)[taken]  # the False is for -1, no object
        counts = np.where(taken >= 0, hits, (low <= image.found_areas) & (image.found_areas <= high))
        confidences.append(image.confidences[counts])
        correct.append(hits[counts])
        truths += int(inside.sum())
    return np.concatenate(confidences), np.concatenate(correct), truths


@dataclasses.dataclass(frozen=True, repr=False)
class AveragePrecision:
    """What `average_precision` gives, which prints as a table. None stands where there is no such number.

    Args:
        rule, ious: what was asked for.
        AP: the mean over the classes that have objects, and over `ious`. NaN if there are no objects at all.
        AP50, AP75: at one IoU, of COCO only.
        small, medium, large: for objects of up to 32^2 pixels, up to 96^2, and above, of COCO only.
        by_class: of a class without objects it is None: neither 0 nor 1 would be true.
    """

    rule: str
    ious: tuple[float, ...]
    AP: float
    AP50: float | None
    AP75: float | None
    small: float | None
    medium: float | None
    large: float | None
    by_class: dict[str, float | None]

    def __repr__(self) -> str:
        names = ("AP", "AP50", "AP75", "small", "medium", "large") if self.rule == "COCO" else ("AP",)
        rows = [*((name, getattr(self, name)) for name in names), *self.by_class.items()]
        width = max(len(name) for name, _ in rows)
        table = [f"{name:{width}} {'    -' if ap is None else f'{ap:.3f}'}" for name, ap in rows]
        ious = f"{self.ious[0]:g}" + f" to {self.ious[-1]:g}" * (len(self.ious) > 1)
        return "\n".join([f"{self.rule}, IoU {ious}", *table])


def average_precision(
    found: Sequence[Any],
    truth: Truth,
    rule: Literal["COCO", "VOC 2007", "VOC 2010", "DeepPCB"] = "COCO",
    *,
    iou: float | Sequence[float] | None = None,
    most: int | None = None,
) -> AveragePrecision:
    """How good detections are, by the rule of a benchmark. The top of this file explains the rules.

    "COCO" gives what pycocotools gives, "VOC" what the devkit gives (its boxes include their last pixel, ours end
    behind it). "DeepPCB" is our reading of its program, which comes from ICDAR's: the sum of the precision at each
    correct detection / the number of objects, without interpolation. Here the most confident detection chooses first,
    there the order in the files decides.

    Args:
        found: for each image something with `boxes`, `labels` and `confidences`: `Detections` or `Found`. Keep all
            from a confidence of 0.001 up, say: what is left out is no part of the curve.
        truth: `BoxedImages`, or for each image its `Objects`; the classes of these are called by their numbers.
        rule: "COCO", "VOC 2007", "VOC 2010" or "DeepPCB".
        iou: another threshold, or several, over which the mean is taken. None: those of the rule.
        most: so many detections of each class in each image count. None: what the rule says, 100 for COCO, else all.

    Raises:
        ValueError: lengths or shapes do not fit together, a box ends before it begins, a label has no class.
        TypeError: an argument or a part of it is of another kind.

    Example:
        >>> from cbam_lite.detection.average_precision import Found
        >>> pits = Objects(torch.tensor([[10.0, 10, 20, 20], [40, 40, 80, 80]]), torch.tensor([0, 0]))
        >>> found = Found(torch.tensor([[10.0, 10, 20, 18]]), torch.tensor([0]), torch.tensor([0.9]))
        >>> average_precision([found], [pits], "VOC 2010")
        VOC 2010, IoU 0.5
        AP 0.500
        0  0.500
    """
    used = RULES[choose("rule", rule, RULES)]
    ious = used.ious if iou is None else sequence("iou", np.atleast_1d(iou), 1e-9, 1)
    most = used.most if most is None else positive_int("most", most)
    pairs, classes = paired(found, truth)
    table = np.full((len(classes), len(SIZES), len(ious)), np.nan)
    for k, label in enumerate(classes):
        images = one_class(pairs, label, most)
        for s, size in enumerate(SIZES if rule == "COCO" else ["all"]):
            lists = [judged(images, used, t, size) for t in ious]
            table[k, s] = [used.area(*precision_recall(*one)) if one[2] else math.nan for one in lists]
    AP, small, medium, large = (mean(table[:, s]) for s in range(4))
    AP50, AP75 = (mean(table[:, 0, np.isclose(ious, t) & (rule == "COCO")]) for t in (0.5, 0.75))
    by_class = {name: mean(row[0]) for name, row in zip(classes.values(), table, strict=True)}
    AP = math.nan if AP is None else AP  # stays a float
    return AveragePrecision(rule, tuple(ious), AP, AP50, AP75, small, medium, large, by_class)


def mean(values: Array) -> float | None:
    """Without NaN; None if nothing is left."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else None


class FScore(NamedTuple):
    precision: float  # NaN without detections
    recall: float  # NaN without objects
    F: float  # NaN without both
    confidence: float


def f_score(found: Sequence[Any], truth: Truth, confidence: float, iou: float = 0.33) -> FScore:
    """DeepPCB's second number, of all detections with at least this confidence: F = 2 P R / (P + R).

    Args:
        found, truth: see `average_precision`; all classes count together.
        confidence: from which on a detection counts.
        iou: a correct detection has more than this.

    Example:
        >>> pits = Objects(torch.tensor([[10.0, 10, 20, 20], [40, 40, 80, 80]]), torch.tensor([0, 0]))
        >>> found = Found(torch.tensor([[10.0, 10, 20, 18]]), torch.tensor([0]), torch.tensor([0.9]))
        >>> f_score([found], [pits], confidence=0.5)
        FScore(precision=1.0, recall=0.5, F=0.6666666666666666, confidence=0.5)
    """
    scores, correct, truths = pooled(found, truth, iou)
    kept = scores >= number("confidence", confidence)
    return scored(correct[kept].sum(), kept.sum(), truths, float(confidence))


def best_f_score(found: Sequence[Any], truth: Truth, iou: float = 0.33) -> FScore:
    """The `f_score` at the confidence with the highest F; NaN if there is none. Choose it on validation images.

    Example:
        >>> pit = Objects(torch.tensor([[10.0, 10, 20, 20]]), torch.tensor([0]))
        >>> found = Found(torch.tensor([[10.0, 10, 20, 18]] * 2), torch.tensor([0, 0]), torch.tensor([0.75, 0.5]))
        >>> best_f_score([found], [pit])
        FScore(precision=1.0, recall=1.0, F=1.0, confidence=0.75)
    """
    scores, correct, truths = pooled(found, truth, iou)
    order = np.argsort(-scores)
    scores, hits = scores[order], correct[order].cumsum()
    last = np.flatnonzero(np.diff(scores, append=-np.inf))  # a threshold keeps all equals or none
    if not len(last):
        return scored(0, 0, truths, math.nan)
    best = last[(hits[last] / (last + 1 + truths)).argmax()]
    return scored(hits[best], best + 1, truths, float(scores[best]))


def pooled(found: Sequence[Any], truth: Truth, iou: float) -> tuple[Array, Array, int]:
    """What `judged` gives, of all classes together."""
    t, (pairs, classes) = number("iou", iou, 0, 1), paired(found, truth)
    return judged([image for label in classes for image in one_class(pairs, label, None)], RULES["DeepPCB"], t)


def scored(hits: int, detections: int, truths: int, confidence: float) -> FScore:
    with np.errstate(invalid="ignore"):  # 0 / 0
        P, R, F = np.divide([hits, hits, 2 * hits], [detections, truths, detections + truths]).tolist()
    return FScore(P, R, F, confidence)


def paired(found: Sequence[Any], truth: Truth) -> tuple[list[tuple[Found, Objects]], dict[int, str]]:
    """What was found and what is there, image by image, each checked; and the names of the classes."""
    objects = truth.objects if isinstance(truth, BoxedImages) else truth
    for name, value in (("found", found), ("truth", objects)):
        if not isinstance(value, list | tuple) or hasattr(value, "boxes"):
            raise TypeError(f"{name} must be a list, an entry for each image, got {type(value).__name__}: [x] for one")
    if len(found) != len(objects):
        raise ValueError(f"found has {len(found)} images, truth {len(objects)}: give an entry for each, empty or not")
    both = enumerate(zip(found, objects, strict=True))
    pairs = [(checked(f"found[{i}]", f, Found), checked(f"truth[{i}]", o, Objects)) for i, (f, o) in both]
    labels = sorted({label for pair in pairs for part in pair for label in part.labels.tolist()})
    classes = dict(enumerate(truth.classes)) if isinstance(truth, BoxedImages) else {k: str(k) for k in labels}
    if not classes.keys() >= set(labels) or len(set(classes.values())) < len(classes):
        raise ValueError(f"labels go up to {max(labels, default=0)}: give each its own name, not {[*classes.values()]}")
    return pairs, classes


def checked(name: str, entry: Any, kind: type[Part]) -> Part:
    """One image's part on the CPU, boxes as float64, or an error that names the image and the box."""
    if not all(hasattr(entry, part) for part in kind._fields):
        raise TypeError(f"{name} is {type(entry).__name__}: make {kind.__name__}({', '.join(kind._fields)}) of it")
    axes = {"boxes": "n, 4", "labels": "n", "confidences": "n"}
    parts = [tensor(f"{name}.{part}", getattr(entry, part), axes[part]).detach().cpu() for part in kind._fields]
    boxes, labels, *confidences = parts
    if boxes.shape[1] != 4 or {len(part) for part in parts} != {len(boxes)}:
        raise ValueError(f"{name} has {[tuple(part.shape) for part in parts]}: give boxes (n, 4), the others (n,)")
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(f"{name}.labels are {labels.dtype}: give whole numbers from 0, int64")
    numbers, sides = torch.column_stack(parts), (boxes[:, 2:] - boxes[:, :2]).amin(1)
    good = numbers.isfinite().all(1) & (labels >= 0) & (sides > 0 if kind is Objects else sides >= 0)
    for i in (~good).nonzero().flatten().tolist():
        raise ValueError(f"{name}, row {i} is {numbers[i].tolist()}: give finite numbers, x0 < x1, y0 < y1, label >= 0")
    confidences = [c.to(torch.promote_types(c.dtype, torch.float32)) for c in confidences]  # NumPy has no bfloat16
    return kind(boxes.double(), labels.long(), *confidences)
