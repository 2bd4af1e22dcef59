"""Pointing, energy, IoU and average precision as others write them; written without knowledge of the checker."""

import numpy as np
import torch
from collection.entries import right, wrong


@right("pointing", "argmax and divmod")
def hit(heatmap, mask):
    """divmod by the width."""
    row, column = divmod(int(heatmap.argmax()), heatmap.shape[1])
    return bool(mask[row, column])


@right("pointing", "NumPy, unravel_index")
def pointing_numpy(cam, mask):
    """unravel_index."""
    cam, mask = np.asarray(cam), np.asarray(mask)
    return int(mask[np.unravel_index(np.argmax(cam), cam.shape)])


@right("pointing", "compares two maxima")
def inside_beats_outside(s, m):
    """The largest value inside is the largest of all."""
    return (s.masked_fill(~m, -torch.inf).max() == s.max()).item()


@wrong("pointing", "axes_swapped")
def hit_swapped(heatmap, mask):
    """divmod by the height."""
    y, x = divmod(int(heatmap.argmax()), heatmap.shape[0])
    return bool(mask[y % mask.shape[0], x % mask.shape[1]])


@wrong("pointing", "argmax_of_mask")
def hit_of_mask(heatmap, mask):
    """The map is positive where the mask is largest."""
    return bool(heatmap.flatten()[mask.flatten().int().argmax()] > 0)


@wrong("pointing", "any_overlap")
def touches(heatmap, mask):
    """Any place above half of the maximum inside the mask."""
    return bool(((heatmap > 0.5 * heatmap.max()) & mask).any())


@wrong("pointing", "absolute_value")
def hit_absolute(heatmap, mask):
    """The largest absolute value."""
    return bool(mask.flatten()[heatmap.abs().argmax()])


@right("energy", "torch")
def energy(cam, mask):
    """The positive part, boolean index."""
    positive = cam.clamp(min=0)
    return positive[mask].sum() / positive.sum()


@right("energy", "pure Python")
def energy_lists(cam, mask):
    """Two loops."""
    inside = total = 0.0
    for values, flags in zip(cam, mask, strict=True):
        for value, flag in zip(values, flags, strict=True):
            if value > 0:
                total += float(value)
                inside += float(value) * bool(flag)
    return inside / total if total else 0.0


@wrong("energy", "signed_sum")
def energy_signed(cam, mask):
    """Negative values count."""
    return (cam * mask).sum() / cam.sum()


@wrong("energy", "mean_not_share")
def energy_mean(cam, mask):
    """The mean inside."""
    return cam.relu()[mask].mean()


@wrong("energy", "divided_by_area")
def energy_area(cam, mask):
    """Divided by the mask's area."""
    return cam.relu()[mask].sum() / cam.relu().sum() / mask.double().mean()


@wrong("energy", "inverted_share")
def energy_outside(cam, mask):
    """What lies outside."""
    return cam.relu()[~mask].sum() / cam.relu().sum()


@wrong("energy", "normalised_first")
def energy_normalised(cam, mask):
    """Scaled to [0, 1] by the minimum first: the floor is lifted."""
    cam = (cam - cam.min()) / (cam.max() - cam.min())
    return cam[mask].sum() / cam.sum()


@right("mask IoU", "logical operators")
def mask_iou(a, b):
    """and, or."""
    return (a & b).sum() / (a | b).sum()


@right("mask IoU", "sets of coordinates")
def iou_of_sets(mask_1, mask_2):
    """Python sets."""
    first, second = (set(zip(*np.nonzero(np.asarray(m)), strict=True)) for m in (mask_1, mask_2))
    return len(first & second) / len(first | second)


@wrong("mask IoU", "dice")
def mask_dice(a, b):
    """Dice's coefficient."""
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@wrong("mask IoU", "union_without_intersection_removed")
def mask_sum(a, b):
    """The overlap counts twice below."""
    return (a & b).sum() / (a.sum() + b.sum())


@wrong("mask IoU", "intersection_over_smaller")
def mask_smaller(a, b):
    """Divided by the smaller area."""
    return (a & b).sum() / torch.minimum(a.sum(), b.sum())


@wrong("mask IoU", "accuracy")
def mask_accuracy(a, b):
    """The share of equal pixels."""
    return (a == b).double().mean()


@right("box IoU", "min and max")
def box_iou(a, b):
    """Clamped widths."""
    w = max(0.0, float(min(a[2], b[2]) - max(a[0], b[0])))
    h = max(0.0, float(min(a[3], b[3]) - max(a[1], b[1])))
    area_a, area_b = float((a[2] - a[0]) * (a[3] - a[1])), float((b[2] - b[0]) * (b[3] - b[1]))
    return w * h / (area_a + area_b - w * h)


@right("box IoU", "torch, tensors in and out")
def box_iou_tensors(box_1, box_2):
    """Corner tensors."""
    box_1, box_2 = (torch.as_tensor(b, dtype=torch.float64) for b in (box_1, box_2))
    overlap = (torch.minimum(box_1[2:], box_2[2:]) - torch.maximum(box_1[:2], box_2[:2])).clamp(min=0).prod()
    return overlap / ((box_1[2:] - box_1[:2]).prod() + (box_2[2:] - box_2[:2]).prod() - overlap)


@wrong("box IoU", "no_clamp")
def box_no_clamp(a, b):
    """Two negative sides make an overlap."""
    overlap = (min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))
    return float(overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap))


@wrong("box IoU", "inclusive_pixels")
def box_inclusive(a, b):
    """+1, as for the first and last pixel."""
    w = max(0.0, float(min(a[2], b[2]) - max(a[0], b[0]) + 1))
    h = max(0.0, float(min(a[3], b[3]) - max(a[1], b[1]) + 1))
    area_a = float((a[2] - a[0] + 1) * (a[3] - a[1] + 1))
    return w * h / (area_a + float((b[2] - b[0] + 1) * (b[3] - b[1] + 1)) - w * h)


@wrong("box IoU", "centre_format")
def box_centres(a, b):
    """Reads centre, width, height."""
    a = [a[0] - a[2] / 2, a[1] - a[3] / 2, a[0] + a[2] / 2, a[1] + a[3] / 2]
    b = [b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2]
    return box_iou(a, b)


@wrong("box IoU", "union_without_intersection_removed")
def box_sum(a, b):
    """The union is the sum of the areas."""
    iou = box_iou(a, b)
    return iou / (1 + iou)


@wrong("box IoU", "intersection_over_smaller")
def box_smaller(a, b):
    """Divided by the smaller box."""
    w = max(0.0, float(min(a[2], b[2]) - max(a[0], b[0])))
    h = max(0.0, float(min(a[3], b[3]) - max(a[1], b[1])))
    return w * h / min(float((a[2] - a[0]) * (a[3] - a[1])), float((b[2] - b[0]) * (b[3] - b[1])))


def curve(confidences, correct, truths):
    """Recall and precision after each detection, best first."""
    order = np.argsort(-np.asarray(confidences, dtype=float), kind="stable")
    hits = np.cumsum(np.asarray(correct, dtype=bool)[order])
    return hits / truths, hits / np.arange(1, len(hits) + 1)


def envelope(precision):
    """The largest precision from here on."""
    return np.maximum.accumulate(precision[::-1])[::-1]


@right("average precision", "all points, sentinels, as in the VOC kit")
def voc_ap(confidences, correct, truths):
    """The VOC kit's own function."""
    rec, prec = curve(confidences, correct, truths)
    mrec, mpre = np.concatenate(([0.0], rec, [1.0])), np.concatenate(([0.0], prec, [0.0]))
    for i in range(mpre.size - 1, 0, -1):
        mpre[i - 1] = np.maximum(mpre[i - 1], mpre[i])
    i = np.where(mrec[1:] != mrec[:-1])[0]
    return float(np.sum((mrec[i + 1] - mrec[i]) * mpre[i + 1]))


@right("average precision", "torch, cummax")
def torch_ap(scores, is_true, n_truths):
    """Sum over the hits of the envelope's value there."""
    is_true = is_true[torch.argsort(scores, descending=True, stable=True)].double()
    precision = is_true.cumsum(0) / torch.arange(1, len(is_true) + 1)
    best = precision.flip(0).cummax(0).values.flip(0)
    return (best * is_true).sum() / n_truths


@right("average precision", "11 points")
def eleven_points(confidences, correct, truths):
    """VOC 2007."""
    rec, prec = curve(confidences, correct, truths)
    return sum(prec[rec >= t].max(initial=0) for t in np.linspace(0, 1, 11)) / 11


@right("average precision", "101 points")
def coco_points(conf, tp, n_gt):
    """COCO's recall thresholds by searchsorted."""
    rec, prec = curve(conf, tp, n_gt)
    where = np.searchsorted(rec, np.linspace(0, 1, 101), side="left")
    return float(np.append(envelope(prec), 0.0)[where].mean())


@wrong("average precision", "no_envelope")
def sklearn_ap(confidences, correct, truths):
    """As scikit-learn sums it."""
    rec, prec = curve(confidences, correct, truths)
    return float(np.sum(np.diff(rec, prepend=0.0) * prec))


@wrong("average precision", "not_sorted")
def unsorted_ap(confidences, correct, truths):
    """In the order in which they came."""
    return voc_ap(-np.arange(len(confidences)), correct, truths)


@wrong("average precision", "sorted_ascending")
def ascending_ap(confidences, correct, truths):
    """The worst first."""
    return voc_ap(-np.asarray(confidences), correct, truths)


@wrong("average precision", "divided_by_detections")
def ap_per_detection(confidences, correct, truths):
    """Recall is divided by the number of detections."""
    return voc_ap(confidences, correct, len(confidences))


@wrong("average precision", "divided_by_hits")
def ap_per_hit(confidences, correct, truths):
    """Missed objects do not count."""
    return voc_ap(confidences, correct, max(1, int(np.asarray(correct).sum())))


@wrong("average precision", "trapezoid")
def trapezoid_ap(confidences, correct, truths):
    """The trapezoid rule between the hits, on the envelope."""
    rec, prec = curve(confidences, correct, truths)
    hits = np.diff(rec, prepend=0.0) > 0
    recall, heights = np.append(0.0, rec[hits]), envelope(prec)[hits]
    heights = np.append(heights[:1], heights)
    return float(np.sum(np.diff(recall) * (heights[1:] + heights[:-1]) / 2)) if hits.any() else 0.0


@wrong("average precision", "no_start")
def no_start_ap(confidences, correct, truths):
    """The step from recall 0 to the first is lost."""
    rec, prec = curve(confidences, correct, truths)
    return float(np.sum(np.diff(rec) * envelope(prec)[1:]))


@wrong("average precision", "mean_over_detections")
def mean_precision(confidences, correct, truths):
    """The mean precision over all detections."""
    return float(envelope(curve(confidences, correct, truths)[1]).mean())
