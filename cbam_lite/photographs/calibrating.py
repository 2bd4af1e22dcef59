"""Can the probabilities of a classifier be taken at their word?"""

import dataclasses

import numpy as np

from cbam_lite.photographs.intervals import Flags, Numbers


@dataclasses.dataclass(frozen=True)
class Bin:
    """The images whose highest probability lies above `low` and up to `high`: its mean, and how many were right."""

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The expected calibration error, ECE, and the bins it was made of. See `calibrate`."""

    ece: float
    bins: tuple[Bin, ...]


def calibrate(confidence: Numbers, right: Flags, bins: int = 10) -> Calibration:
    """Does a network that says 0.8 hold in 8 of 10 cases? The expected calibration error, in bins of equal width.

    ::

        ECE = sum_b  n_b / N  |accuracy_b - confidence_b|

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. With few images a perfect network has an ECE
    above 0, too, because shares of few images scatter.

    Args:
        confidence: the highest probability of each image, (N,).
        right: whether it is that of the true class, (N,).
        bins: of equal width, from 0 to 1; a bin holds its upper edge.
    """
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found, error = [], 0.0
    for b in range(bins):
        inside = place == b
        if not inside.any():
            found.append(Bin(float(edges[b]), float(edges[b + 1]), 0, None, None))
            continue
        said, true = float(confidence[inside].mean()), float(right[inside].mean())
        error += float(inside.mean()) * abs(true - said)
        found.append(Bin(float(edges[b]), float(edges[b + 1]), int(inside.sum()), said, true))
    return Calibration(error, tuple(found))
