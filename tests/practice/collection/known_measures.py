"""Pointing, energy and IoU: right ones in many styles, and what goes wrong."""

import numpy as np
import torch
import torchvision
from collection.entries import right, wrong
from sklearn.metrics import jaccard_score

from cbam_lite.explaining import localize

# ---- pointing --------------------------------------------------------------------------------------------------------


@right("pointing", "the package's own, batches")
def our_pointing(maps, masks):
    return localize.pointing(maps, masks)


@right("pointing", "unravel_index")
def unravelled(heat, mask):
    row, column = np.unravel_index(np.argmax(heat), heat.shape)
    return bool(mask[row, column])


@right("pointing", "flattened")
def flattened(S, M):
    return M.flatten()[S.flatten().argmax()]


@right("pointing", "the maximum inside against the maximum of all")
def equal_maxima(S, M):
    return int(S[M].max() == S.max())


@right("pointing", "loops over lists")
def pointing_loops(S, M):
    best, hit = -float("inf"), 0
    for row in range(len(S)):
        for column in range(len(S[0])):
            if S[row][column] > best:
                best, hit = S[row][column], int(M[row][column])
    return hit


@wrong("pointing", "axes_swapped")
def x_first(S, M):
    row, column = divmod(int(S.argmax()), S.shape[1])
    return M[column, row] if column < M.shape[0] else torch.tensor(False)


@wrong("pointing", "axes_swapped")
def height_for_width(S, M):
    return M[int(S.argmax()) // S.shape[0], int(S.argmax()) % S.shape[0]]


@wrong("pointing", "argmax_of_mask")
def first_pixel(S, M):
    return S.argmax() == M.int().argmax()


@wrong("pointing", "any_overlap")
def bright_somewhere(S, M):
    return bool(((S > 0.5 * S.max()) & M).any())


@wrong("pointing", "mean_for_peak")
def brighter_inside(S, M):
    return S[M].mean() > S[~M].mean()


@wrong("pointing", "box_for_mask")
def in_the_box(S, M):
    rows, columns = np.where(M)
    row, column = divmod(int(S.argmax()), S.shape[1])
    return rows.min() <= row <= rows.max() and columns.min() <= column <= columns.max()


@wrong("pointing", "absolute_value")
def largest_size(S, M):
    return M.flatten()[S.abs().argmax()]


@wrong("pointing", "value_for_hit")
def value_inside(S, M):
    return (S * M).max()


# ---- energy ----------------------------------------------------------------------------------------------------------


@right("energy", "the package's own, batches")
def our_energy(maps, masks):
    return localize.energy(maps, masks)


@right("energy", "a ReLU, float32")
def relu_share(S, M):
    S = S.float().relu()
    return (S[M].sum() / (S.sum() + 1e-8)).item()


@right("energy", "NumPy")
def numpy_share(cam, mask):
    positive = np.maximum(cam, 0)
    return np.sum(positive * mask) / np.sum(positive)


@wrong("energy", "signed_sum")
def signed(S, M):
    return (S * M).sum() / S.sum()


@wrong("energy", "mean_not_share")
def mean_inside(S, M):
    return S.relu()[M].mean()


@wrong("energy", "divided_by_area")
def lift(S, M):
    return S.relu()[M].sum() / S.relu().sum() / M.float().mean()


@wrong("energy", "inverted_share")
def outside(S, M):
    return S.relu()[~M].sum() / S.relu().sum()


@wrong("energy", "normalised_first")
def floor_lost(S, M):
    S = (S - S.min()) / (S.max() - S.min())
    return S[M].sum() / S.sum()


@wrong("energy", "divided_by_outside")
def odds(S, M):
    return S.relu()[M].sum() / S.relu()[~M].sum()


@wrong("energy", "not_a_number")
def not_added(S, M):
    return S.relu() * M / S.relu().sum()


@wrong("energy", "input_changed")
def cut_in_place(S, M):
    S[S < 0] = 0
    return (S * M).sum() / S.sum()


# ---- mask IoU --------------------------------------------------------------------------------------------------------


@right("mask IoU", "the package's own, batches")
def our_mask_iou(maps, masks):
    return localize.mask_iou(maps, masks)


@right("mask IoU", "logical functions")
def logical(a, b):
    return np.logical_and(a, b).sum() / np.logical_or(a, b).sum()


@right("mask IoU", "scikit-learn")
def jaccard(a, b):
    return jaccard_score(np.ravel(a), np.ravel(b))


@right("mask IoU", "wants numbers")
def with_numbers(a, b):
    return 1 - ((a - b) ** 2).sum() / ((a + b) > 0).sum()


@wrong("mask IoU", "dice")
def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@wrong("mask IoU", "intersection_over_smaller")
def over_smaller(a, b):
    return (a & b).sum() / min(a.sum(), b.sum())


@wrong("mask IoU", "intersection_over_one")
def recall(a, b):
    return (a & b).sum() / b.sum()


@wrong("mask IoU", "union_without_intersection_removed")
def added(a, b):
    return (a & b).sum() / (a.sum() + b.sum())


@wrong("mask IoU", "accuracy")
def agreement(a, b):
    return (a == b).float().mean()


@wrong("mask IoU", "background_counted")
def mean_iou(a, b):
    return np.mean([((a == k) & (b == k)).sum() / ((a == k) | (b == k)).sum() for k in (False, True)])


@wrong("mask IoU", "smoothed")
def smoothed(a, b):
    return ((a & b).sum() + 1.0) / ((a | b).sum() + 1.0)


# ---- box IoU ---------------------------------------------------------------------------------------------------------


@right("box IoU", "the package's own")
def our_box_iou(a, b):
    return localize.box_iou(a, b)


@right("box IoU", "torchvision's, batches")
def torchvision_box_iou(a, b):
    return torchvision.ops.box_iou(a, b)


@right("box IoU", "plain numbers")
def plain(p, q):
    (a, b, c, d), (e, f, g, h) = p, q
    both = max(0, min(c, g) - max(a, e)) * max(0, min(d, h) - max(b, f))
    return both / ((c - a) * (d - b) + (g - e) * (h - f) - both + 1e-9)


@right("box IoU", "an early return")
def early(a, b):
    x1, y1, x2, y2 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    if x2 <= x1 or y2 <= y1:
        return 0.0
    both = (x2 - x1) * (y2 - y1)
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def formula(a, b, more=0.0, clamp=True):
    sides = torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2]) + more
    both = (sides.clamp(min=0) if clamp else sides).prod()
    return both / ((a[2:] - a[:2] + more).prod() + (b[2:] - b[:2] + more).prod() - both)


@right("box IoU", "clamp")
def clamped(a, b):
    return formula(a, b)


@wrong("box IoU", "inclusive_pixels")
def inclusive(a, b):
    return formula(a, b, more=1.0)


@wrong("box IoU", "no_clamp")
def unclamped(a, b):
    return formula(a, b, clamp=False)


@wrong("box IoU", "centre_format")
def centres(a, b):
    return formula(*(torch.cat([box[:2] - box[2:] / 2, box[:2] + box[2:] / 2]) for box in (a, b)))


@wrong("box IoU", "corner_and_size")
def sizes(a, b):
    return formula(*(torch.cat([box[:2], box[:2] + box[2:]]) for box in (a, b)))


@wrong("box IoU", "whole_pixels")
def whole(a, b):
    return formula(a.long(), b.long())


@wrong("box IoU", "generalised_iou")
def generalised(a, b):
    return torchvision.ops.generalized_box_iou(a[None], b[None])


@wrong("box IoU", "union_without_intersection_removed")
def no_minus(a, b):
    both = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0).prod()
    return both / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod())


@wrong("box IoU", "no_clamp")
def clamped_in_x_only(a, b):
    both = max(0, min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


@wrong("box IoU", "constant")
def zero(a, b):
    return 0.0
