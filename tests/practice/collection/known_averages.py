"""Average precision: right ones by three rules in several styles, and what goes wrong."""

import numpy as np
import torch
from collection.entries import right, wrong
from sklearn.metrics import average_precision_score

from cbam_lite.detection.average_precision import area_under, envelope, precision_recall


@right("average precision", "the package's own, all points")
def all_points(confidences, correct, truths):
    precision, recall_ = precision_recall(confidences, correct, truths)
    return area_under(envelope(precision), recall_)


@right("average precision", "the VOC devkit's, all points")
def voc(confidences, correct, truths):
    tp = np.asarray(correct)[np.argsort(-np.asarray(confidences))]
    rec, prec = np.cumsum(tp) / truths, np.cumsum(tp) / np.arange(1, len(tp) + 1)
    mrec, mpre = np.concatenate(([0.0], rec, [1.0])), np.concatenate(([0.0], prec, [0.0]))
    for i in range(mpre.size - 1, 0, -1):
        mpre[i - 1] = np.maximum(mpre[i - 1], mpre[i])
    i = np.where(mrec[1:] != mrec[:-1])[0]
    return np.sum((mrec[i + 1] - mrec[i]) * mpre[i + 1])


def read_at(confidences, correct, truths, number, count):
    hits = torch.as_tensor(correct)[torch.as_tensor(confidences).argsort(descending=True)].double()
    P, R = hits.cumsum(0) / torch.arange(1, len(hits) + 1), hits.cumsum(0) / truths
    best = [P[r <= R].max() if (r <= R).any() else torch.tensor(0.0) for r in np.linspace(0, 1, number)]
    return sum(best) / count


@right("average precision", "11 points")
def eleven(confidences, correct, truths):
    return read_at(confidences, correct, truths, 11, 11)


@right("average precision", "101 points")
def hundred(confidences, correct, truths):
    return read_at(confidences, correct, truths, 101, 101)


@wrong("average precision", "wrong_points")
def divided_by_ten(confidences, correct, truths):
    return read_at(confidences, correct, truths, 11, 10)


@right("average precision", "the VOC devkit's, 11 points")
def voc_2007(scores, tp, npos):
    tp = np.asarray(tp)[np.argsort(-np.asarray(scores))].astype(float)
    tp, fp = np.cumsum(tp), np.cumsum(1 - tp)
    rec, prec = tp / npos, tp / np.maximum(tp + fp, np.finfo(np.float64).eps)
    ap = 0.0
    for t in np.arange(0.0, 1.1, 0.1):
        ap += (np.max(prec[rec >= t]) if np.sum(rec >= t) else 0) / 11.0
    return ap


@right("average precision", "pycocotools' loop, 101 points")
def coco(scores, tp, npos):
    tp = np.asarray(tp)[np.argsort(-np.asarray(scores), kind="mergesort")]
    rc = np.cumsum(tp) / npos
    pr = (np.cumsum(tp) / (np.arange(len(tp)) + 1 + np.spacing(1))).tolist()
    for i in range(len(pr) - 1, 0, -1):
        pr[i - 1] = max(pr[i - 1], pr[i])
    q = np.zeros(101)
    for r, i in enumerate(np.searchsorted(rc, np.linspace(0, 1, 101), side="left")):
        q[r] = pr[i] if i < len(pr) else 0
    return q.mean()


@wrong("average precision", "linear_between_points")
def yolo_packages(conf, tp, n):
    tp = np.asarray(tp)[np.argsort(-np.asarray(conf))].astype(float)
    recall_, precision = tp.cumsum() / (n + 1e-16), tp.cumsum() / np.arange(1, len(tp) + 1)
    mrec, mpre = np.concatenate(([0.0], recall_, [1.0])), np.concatenate(([1.0], precision, [0.0]))
    mpre = np.flip(np.maximum.accumulate(np.flip(mpre)))
    x = np.linspace(0, 1, 101)
    return np.trapezoid(np.interp(x, mrec, mpre), x)


@right("average precision", "plain Python, sorted pairs")
def sorted_pairs(confidences, correct, truths):
    hits, curve = 0, []
    for n, (_, c) in enumerate(sorted(zip(confidences, correct, strict=True), key=lambda p: -p[0]), 1):
        hits += int(c)
        curve.append((hits / truths, hits / n, int(c)))
    return sum(max(p for r2, p, _ in curve if r2 >= r) / truths for r, _, c in curve if c)


@wrong("average precision", "no_envelope")
def scikit(confidences, correct, truths):
    return average_precision_score(correct, confidences)


@wrong("average precision", "no_envelope")
def saw(confidences, correct, truths):
    return area_under(*precision_recall(confidences, correct, truths))


@wrong("average precision", "not_sorted")
def as_given(confidences, correct, truths):
    return voc(-np.arange(len(confidences)), correct, truths)


@wrong("average precision", "sorted_ascending")
def ascending(confidences, correct, truths):
    return voc(-np.asarray(confidences), correct, truths)


@wrong("average precision", "divided_by_detections")
def by_detections(confidences, correct, truths):
    return voc(confidences, correct, len(confidences))


@wrong("average precision", "divided_by_hits")
def by_hits(confidences, correct, truths):
    return voc(confidences, correct, max(1, int(np.sum(np.asarray(correct)))))


@wrong("average precision", "trapezoid")
def trapezoid(confidences, correct, truths):
    precision, recall_ = precision_recall(confidences, correct, truths)
    return np.trapezoid(np.append(1.0, precision), np.append(0.0, recall_))


@wrong("average precision", "no_start")
def from_first_recall(confidences, correct, truths):
    precision, recall_ = precision_recall(confidences, correct, truths)
    return (np.diff(recall_) * envelope(precision)[1:]).sum()


@wrong("average precision", "envelope_backwards")
def wrong_way(confidences, correct, truths):
    precision, recall_ = precision_recall(confidences, correct, truths)
    return area_under(np.maximum.accumulate(precision), recall_)


@wrong("average precision", "mean_over_detections")
def mean_precision(confidences, correct, truths):
    return precision_recall(confidences, correct, truths)[0].mean()


@wrong("average precision", "one_point")
def last_precision(confidences, correct, truths):
    return np.mean(np.asarray(correct))
