"""Pointing, energy, IoU and average precision as they should be, and with one thing wrong: small pure functions.

Each list holds (key, function): the key "" stands for a right value, any other names a mistake of `words_measures`. A
mistake that gives no number at all, such as 0 / 0 or an index outside, gives NaN here, which agrees with anything.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Value = Callable[..., Any]  # of the same inputs as the student's function, to a number
Values = list[tuple[str, Value]]


def valued(function: Value, inputs: tuple[Any, ...]) -> float:
    """The number, or NaN where there is none."""
    try:
        return float(function(*inputs))
    except (ZeroDivisionError, IndexError):
        return math.nan


# ---- pointing: (map (H, W), mask (H, W)) -> 1 or 0 -------------------------------------------------------------------


def peak(S: Tensor) -> tuple[int, int]:
    return divmod(int(S.argmax()), S.shape[1])


def hit(S: Tensor, M: Tensor) -> Any:
    return M[peak(S)]


def swapped(S: Tensor, M: Tensor) -> Any:
    row, column = peak(S)
    return M[column, row]


def box_of(M: Tensor) -> Tensor:
    """The mask of the smallest box around a mask."""
    rows, columns = M.any(1).nonzero(), M.any(0).nonzero()
    filled = torch.zeros_like(M)
    filled[int(rows.min()) : int(rows.max()) + 1, int(columns.min()) : int(columns.max()) + 1] = True
    return filled


def near(S: Tensor, M: Tensor, pixels: float) -> Any:
    row, column = peak(S)
    places = M.nonzero().double()
    return ((places[:, 0] - row) ** 2 + (places[:, 1] - column) ** 2).min() <= pixels**2


def centroid_hit(S: Tensor, M: Tensor) -> Any:
    p = S / S.sum()
    rows, columns = torch.arange(S.shape[0]).double(), torch.arange(S.shape[1]).double()
    return M[int((p.sum(1) @ rows).round()), int((p.sum(0) @ columns).round())]


POINTING: Values = [
    ("", hit),
    ("axes_swapped", swapped),
    ("axes_swapped", lambda S, M: M[divmod(int(S.argmax()), S.shape[0])]),
    ("axes_swapped", lambda S, M: M[divmod(int(S.argmax()), S.shape[0])[::-1]]),
    ("argmax_of_mask", lambda S, M: M.int().argmax() == S.argmax()),
    ("any_overlap", lambda S, M: ((S > 0) & M).any()),
    ("any_overlap", lambda S, M: ((S > 0.5 * S.max()) & M).any()),
    ("any_overlap", lambda S, M: ((S > S.mean()) & M).any()),
    ("mean_for_peak", lambda S, M: S[M].mean() > S[~M].mean()),
    ("mean_for_peak", lambda S, M: S[M].mean() > S.mean()),
    ("mean_for_peak", lambda S, M: S[M].sum() > S[~M].sum()),
    ("argmin_for_argmax", lambda S, M: hit(-S, M)),
    ("absolute_value", lambda S, M: hit(S.abs(), M)),
    ("answer_inverted", lambda S, M: ~hit(S, M)),
    ("box_for_mask", lambda S, M: hit(S, box_of(M))),
    *(("near_counts", functools.partial(near, pixels=pixels)) for pixels in (1.0, 1.5, 2.0, 3.0, 5.0)),
    ("one_axis", lambda S, M: M[peak(S)[0]].any()),
    ("one_axis", lambda S, M: M[:, peak(S)[1]].any()),
    ("centroid_for_peak", centroid_hit),
    ("value_for_hit", lambda S, M: (S * M).max()),
    ("value_for_hit", lambda S, M: S[M].max()),
    ("value_for_hit", lambda S, M: S.max()),
    ("value_for_hit", lambda S, M: S.max() * hit(S, M)),
    ("value_for_hit", lambda S, M: S.argmax()),
    ("value_for_hit", lambda S, M: (S * M).sum() / S.sum()),
]


# ---- energy: (map (H, W), mask (H, W)) -> share ----------------------------------------------------------------------


def share(S: Tensor, M: Tensor) -> Any:
    return (S * M).sum() / S.sum()


def ranged(S: Tensor) -> Tensor:
    return (S - S.min()) / (S.max() - S.min())


ENERGY: Values = [
    ("", lambda S, M: share(S.relu(), M)),
    ("signed_sum", share),
    ("signed_sum", lambda S, M: (S.relu() * M).sum() / S.sum()),
    ("signed_sum", lambda S, M: (S * M).sum() / S.relu().sum()),
    ("absolute_value", lambda S, M: share(S.abs(), M)),
    ("inverted_share", lambda S, M: share(S.relu(), ~M)),
    ("inverted_share", lambda S, M: share(S, ~M)),
    ("divided_by_area", lambda S, M: share(S.relu(), M) / M.double().mean()),
    ("divided_by_area", lambda S, M: share(S, M) / M.double().mean()),
    ("mean_not_share", lambda S, M: S.relu()[M].mean()),
    ("mean_not_share", lambda S, M: S[M].mean()),
    ("mean_not_share", lambda S, M: S[M].mean() / (S[M].mean() + S[~M].mean())),
    ("mean_not_share", lambda S, M: S[M].mean() / S[~M].mean()),
    ("mean_not_share", lambda S, M: ranged(S)[M].mean()),
    ("mean_not_share", lambda S, M: (S / S.max())[M].mean()),
    ("sum_not_share", lambda S, M: (S.relu() * M).sum()),
    ("sum_not_share", lambda S, M: (S * M).sum()),
    ("divided_by_pixels", lambda S, M: (S.relu() * M).mean()),
    ("divided_by_pixels", lambda S, M: (S * M).mean()),
    ("divided_by_mask", lambda S, M: S.sum() / M.sum()),
    ("divided_by_outside", lambda S, M: (S.relu() * M).sum() / (S.relu() * ~M).sum()),
    ("divided_by_outside", lambda S, M: (S * M).sum() / (S * ~M).sum()),
    ("max_not_sum", lambda S, M: S[M].max() / S.max()),
    ("normalised_first", lambda S, M: share(ranged(S), M)),
    ("normalised_first", lambda S, M: share(ranged(S.relu()), M)),
    ("softmax_first", lambda S, M: S.flatten().softmax(0)[M.flatten()].sum()),
    ("squares", lambda S, M: share(S**2, M)),
    ("squares", lambda S, M: share(S.relu() ** 2, M)),
    ("pixels_counted", lambda S, M: share((S > 0).double(), M)),
    ("pixels_counted", lambda S, M: share((S > 0.5 * S.max()).double(), M)),
    ("pixels_counted", lambda S, M: share((S > S.mean()).double(), M)),
    ("pixels_counted", lambda S, M: ((S > 0) & M).sum() / M.sum()),
    ("area_only", lambda S, M: M.double().mean()),
    ("percent", lambda S, M: 100 * share(S.relu(), M)),
    ("rounded", lambda S, M: share(S.relu(), M) >= 0.5),
    ("rounded", lambda S, M: 0),
]


# ---- IoU from three areas: intersection, first, second ---------------------------------------------------------------

AREAS: Values = [
    ("", lambda I, a, b: I / (a + b - I)),
    ("intersection_over_smaller", lambda I, a, b: I / min(a, b)),
    ("intersection_over_larger", lambda I, a, b: I / max(a, b)),
    ("intersection_over_one", lambda I, a, b: I / a),
    ("intersection_over_one", lambda I, a, b: I / b),
    ("dice", lambda I, a, b: 2 * I / (a + b)),
    ("union_without_intersection_removed", lambda I, a, b: I / (a + b)),
    ("intersection_removed_twice", lambda I, a, b: I / (a + b - 2 * I)),
    ("union_over_intersection", lambda I, a, b: (a + b - I) / I),
    ("one_area_twice", lambda I, a, b: I / (2 * a - I)),
    ("one_area_twice", lambda I, a, b: I / (2 * b - I)),
    ("distance", lambda I, a, b: 1 - I / (a + b - I)),
    ("smoothed", lambda I, a, b: (I + 1) / (a + b - I + 1)),
    ("smoothed", lambda I, a, b: I / (a + b - I + 1)),
    ("intersection_only", lambda I, a, b: I),
    ("percent", lambda I, a, b: 100 * I / (a + b - I)),
    ("rounded", lambda I, a, b: I >= 0.5 * (a + b - I)),
    ("rounded", lambda I, a, b: I // (a + b - I)),
]


def of_masks(formula: Value, a: Tensor, b: Tensor) -> Any:
    return formula(int((a & b).sum()), int(a.sum()), int(b.sum()))


def iou(a: Tensor, b: Tensor) -> Any:
    return (a & b).sum() / (a | b).sum()


MASK_IOU: Values = [
    *((key, functools.partial(of_masks, formula)) for key, formula in AREAS),
    ("accuracy", lambda a, b: (a == b).double().mean()),
    ("background_counted", lambda a, b: (iou(a, b) + iou(~a, ~b)) / 2),
    ("background_counted", lambda a, b: iou(~a, ~b)),
    ("divided_by_image", lambda a, b: (a & b).double().mean()),
    ("box_for_mask", lambda a, b: iou(box_of(a), box_of(b))),
    ("any_overlap", lambda a, b: (a & b).any()),
]


# ---- box IoU: two boxes x1, y1, x2, y2 -------------------------------------------------------------------------------


def sides(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Width and height (2,) of the intersection, negative where there is none, and of both boxes."""
    return torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2]), a[2:] - a[:2], b[2:] - b[:2]


def of_boxes(formula: Value, a: Tensor, b: Tensor, more: tuple[float, float] = (0.0, 0.0)) -> Any:
    """A formula of the three areas; `more` is added to the sides of the intersection and of the boxes."""
    I, A, B = (s + m for s, m in zip(sides(a, b), (more[0], more[1], more[1]), strict=True))
    return formula(float(I.clamp_min(0).prod()), float(A.prod()), float(B.prod()))


def of_bent(bent: Callable[[Tensor], Any], a: Tensor, b: Tensor) -> Any:
    """The IoU with another rule for the area of an intersection, from its sides (2,)."""
    I, A, B = sides(a, b)
    return bent(I) / (A.prod() + B.prod() - bent(I))


def clamped_once(axis: int, I: Tensor) -> Tensor:
    return I[axis].clamp_min(0) * I[1 - axis]


def read_as(turned: Callable[[Tensor], Tensor], a: Tensor, b: Tensor) -> Any:
    return of_boxes(AREAS[0][1], turned(a), turned(b))


def enclosing(a: Tensor, b: Tensor) -> Any:
    """The area of the smallest box around both."""
    return (torch.maximum(a[2:], b[2:]) - torch.minimum(a[:2], b[:2])).prod()


def generalised(a: Tensor, b: Tensor) -> Any:
    I, A, B = sides(a, b)
    union = A.prod() + B.prod() - I.clamp_min(0).prod()
    return I.clamp_min(0).prod() / union - (enclosing(a, b) - union) / enclosing(a, b)


BOX_IOU: Values = [
    *((key, functools.partial(of_boxes, formula)) for key, formula in AREAS),
    *(
        ("inclusive_pixels", functools.partial(of_boxes, AREAS[0][1], more=more))
        for more in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0))
    ),
    ("no_clamp", functools.partial(of_bent, lambda I: I.prod())),
    ("no_clamp", functools.partial(of_bent, lambda I: I.prod().clamp_min(0))),
    ("no_clamp", functools.partial(of_bent, lambda I: I.abs().prod())),
    *(("no_clamp", functools.partial(of_bent, functools.partial(clamped_once, k))) for k in (0, 1)),
    ("one_axis", functools.partial(of_bent, lambda I: I[0].clamp_min(0))),
    ("one_axis", lambda a, b: read_as(lambda x: x * torch.tensor([1, 0, 1, 0]) + torch.tensor([0, 0, 0, 1]), a, b)),
    ("centre_format", functools.partial(read_as, lambda x: torch.cat([x[:2] - x[2:] / 2, x[:2] + x[2:] / 2]))),
    ("corner_and_size", functools.partial(read_as, lambda x: torch.cat([x[:2], x[:2] + x[2:]]))),
    ("corners_in_another_order", functools.partial(read_as, lambda x: x[[0, 2, 1, 3]])),
    ("max_for_min", lambda a, b: enclosing(a, b) / (sides(a, b)[1].prod() + sides(a, b)[2].prod() - enclosing(a, b))),
    ("enclosing_box", lambda a, b: sides(a, b)[0].clamp_min(0).prod() / enclosing(a, b)),
    ("generalised_iou", generalised),
    ("whole_pixels", functools.partial(read_as, lambda x: x.floor())),
    ("whole_pixels", functools.partial(read_as, lambda x: x.round())),
    ("any_overlap", lambda a, b: (sides(a, b)[0] > 0).all()),
]
