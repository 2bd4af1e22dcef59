"""Average precision as it should be, by three rules, and with one thing wrong. See `wrong_scores`."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbam_lite.practice.wrong_scores import Values

Array = NDArray[Any]
Area = Callable[[Array, Array], Any]  # of precision and recall after each detection, both (n,)


def in_order(confidences: Any, correct: Any, order: str = "descending") -> Array:
    """`correct` from the most confident down; or, wrongly, as given, or from the least confident up."""
    scores, hits = np.asarray(confidences, dtype=float), np.asarray(correct, dtype=float)
    ways = {"descending": np.argsort(-scores, kind="stable"), "ascending": np.argsort(scores, kind="stable")}
    return hits[ways[order]] if order in ways else hits


def of_curve(
    area: Area, confidences: Any, correct: Any, truths: int, order: str = "descending", among: str = "truths"
) -> float:
    """An area under the curve of precision and recall; `among` says what recall is divided by."""
    hits = in_order(confidences, correct, order)
    number = {"truths": truths, "detections": len(hits), "hits": hits.sum()}[among]
    with np.errstate(all="ignore"):
        return float(area(hits.cumsum() / np.arange(1, len(hits) + 1), hits.cumsum() / number))


def envelope(P: Array) -> Array:
    return np.maximum.accumulate(P[::-1])[::-1]


def steps(P: Array, R: Array) -> Any:
    return (np.diff(R, prepend=0.0) * P).sum()


def read_at(P: Array, R: Array, points: Array, count: int | None = None, strict: bool = False) -> float:
    """The mean of the best precision at recall r or above, over the points r."""
    best = [max(P[r < R if strict else r <= R], default=0.0) for r in points]
    return float(sum(best)) / (count or len(points))


def trapezoid(P: Array, R: Array, start: float | None = None, end: bool = False) -> Any:
    """Straight lines between the points of the curve, from (0, start) if there is one, to (1, 0) if `end`.

    Under an envelope that starts at recall 0 they make no difference: it never changes where recall rises.
    """
    if start is not None:
        P, R = np.append(start, P), np.append(0.0, R)
    if end:
        P, R = np.append(P, 0.0), np.append(R, 1.0)
    return np.trapezoid(P, R)


def ultralytics(P: Array, R: Array) -> Any:
    """The rule of the YOLO packages: straight lines under an envelope from (0, 1) to (1, 0), at 101 points."""
    P, R = np.concatenate(([1.0], P, [0.0])), np.concatenate(([0.0], R, [1.0]))
    return np.trapezoid(np.interp(HUNDRED, R, envelope(P)), HUNDRED)


ELEVEN, HUNDRED = np.arange(11) / 10, np.arange(101) / 100

# The three right rules, by the names that a student reads.
RULES: dict[str, Area] = {
    "all points, as VOC since 2010": lambda P, R: steps(envelope(P), R),
    "11 points, as VOC 2007": lambda P, R: read_at(P, R, ELEVEN),
    "101 points, as COCO": lambda P, R: read_at(P, R, HUNDRED),
}

# With one thing wrong in the area.
BENT: list[tuple[str, Area]] = [
    ("no_envelope", steps),
    ("envelope_backwards", lambda P, R: steps(np.maximum.accumulate(P), R)),
    ("trapezoid", trapezoid),
    *(("trapezoid", functools.partial(trapezoid, start=s, end=e)) for s in (1.0, 0.0) for e in (False, True)),
    ("trapezoid", lambda P, R: trapezoid(P, R, start=P[0])),
    ("trapezoid", lambda P, R: trapezoid(envelope(P), R, start=1.0, end=True)),
    ("no_start", lambda P, R: (np.diff(R) * envelope(P)[1:]).sum()),
    ("no_start", lambda P, R: (np.diff(R) * P[1:]).sum()),
    ("no_start", lambda P, R: (np.diff(R) * envelope(P)[:-1]).sum()),
    ("no_start", lambda P, R: (np.diff(R) * P[:-1]).sum()),
    ("steps_shifted", lambda P, R: (np.diff(np.append(R, 1.0)) * envelope(P)).sum()),
    ("steps_shifted", lambda P, R: (np.diff(np.append(R, 1.0)) * P).sum()),
    ("wrong_points", lambda P, R: read_at(P, R, ELEVEN[1:])),
    ("wrong_points", lambda P, R: read_at(P, R, ELEVEN[:-1])),
    ("wrong_points", lambda P, R: read_at(P, R, ELEVEN, count=10)),
    ("wrong_points", lambda P, R: read_at(P, R, np.linspace(0, 1, 10))),
    ("wrong_points", lambda P, R: read_at(P, R, HUNDRED, count=100)),
    ("wrong_points", lambda P, R: read_at(P, R, HUNDRED[1:])),
    ("wrong_points", lambda P, R: read_at(P, R, HUNDRED[:-1])),
    ("strictly_above", lambda P, R: read_at(P, R, ELEVEN, strict=True)),
    ("strictly_above", lambda P, R: read_at(P, R, HUNDRED, strict=True)),
    ("linear_between_points", lambda P, R: np.interp(ELEVEN, R, P).mean()),
    ("linear_between_points", lambda P, R: np.interp(HUNDRED, R, P).mean()),
    ("linear_between_points", lambda P, R: np.interp(ELEVEN, R, envelope(P)).mean()),
    ("linear_between_points", lambda P, R: np.interp(HUNDRED, R, envelope(P)).mean()),
    ("linear_between_points", lambda P, R: np.interp(HUNDRED, R, P, right=0).mean()),
    ("linear_between_points", lambda P, R: np.interp(HUNDRED, R, envelope(P), right=0).mean()),
    ("linear_between_points", ultralytics),
    ("mean_over_detections", lambda P, R: P.mean()),
    ("mean_over_detections", lambda P, R: envelope(P).mean()),
    ("one_point", lambda P, R: P[-1]),
    ("one_point", lambda P, R: R[-1]),
    ("one_point", lambda P, R: P.max()),
    ("one_point", lambda P, R: (2 * P * R / (P + R + 1e-12)).max()),
    ("precision_and_recall_swapped", lambda P, R: abs((np.diff(P, prepend=0.0) * R).sum())),
    ("precision_and_recall_swapped", lambda P, R: abs(np.trapezoid(R, P))),
]


def wrong_ones() -> Values:
    """One thing wrong first, then two."""
    usual = [(key, area) for key, area in BENT if key in ("no_envelope", "trapezoid")]
    areas: list[tuple[str, Area]] = [*(("", area) for area in RULES.values()), *usual]
    found: Values = [(key, functools.partial(of_curve, area)) for key, area in BENT]
    for name, order in (("not_sorted", "given"), ("sorted_ascending", "ascending")):
        found += [(name, functools.partial(of_curve, area, order=order)) for _, area in areas]
    for among in ("detections", "hits"):
        for key, area in areas:
            name = key if key == "no_envelope" else f"divided_by_{among}"
            found.append((name, functools.partial(of_curve, area, among=among)))
    found += [("percent", lambda c, k, t, area=area: 100 * of_curve(area, c, k, t)) for area in RULES.values()]
    return found


AVERAGE_PRECISION: Values = [*(("", functools.partial(of_curve, area)) for area in RULES.values()), *wrong_ones()]
