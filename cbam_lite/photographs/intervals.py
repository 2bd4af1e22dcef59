"""A number that is measured on images: its value, its interval, and what to say where it has none.

A share k / n has Wilson's interval, which SciPy computes (``binomtest(k, n).proportion_ci(method="wilson")``). It takes
every image for a draw of its own. Where several photographs show one thing, whole groups are drawn instead.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cbam_lite.checks import number, whole
from cbam_lite.explaining.localize import draws, percentiles

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number and between which two it may well lie, or None and the reason.

    Args:
        value: from 0 to 1; None where it is undefined. It is never 0 or NaN instead.
        low, high: the interval; None where there is none.
        hits, of: for a share, the two counts that it was made of.
        why: the reason why there is no value, or no interval.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    hits: int | None = None
    of: int | None = None
    why: str | None = None

    def __str__(self) -> str:
        """``0.90 [0.70, 0.97], 18 of 20``."""
        if self.value is None:
            return f"– ({self.why})"
        interval = "" if self.low is None or self.high is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.value:.2f}{interval}" + ("" if self.of is None else f", {self.hits} of {self.of}")


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How intervals are made: `level` of them, over images, or over groups (N,) that are drawn `resamples` times."""

    level: float = 0.95
    groups: Tensor | None = None
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < number("level", self.level) < 1:
            raise ValueError(f"level={self.level} is the share of an interval: use a number between 0 and 1, 0.95")
        whole("resamples", self.resamples, 1)

    def drawn(self, N: int) -> Tensor | None:
        """How often each of N images is drawn in each resample, (resamples, N), float64; None for one group alone."""
        place = torch.arange(N) if self.groups is None else torch.unique(self.groups, return_inverse=True)[1]
        things = int(place.max()) + 1 if N else 0
        return draws(things, self.resamples, self.seed)[:, place] if things > 1 else None


def share(hit: Flags, member: Flags, sampling: Sampling, nobody: str) -> Estimate:
    """How many of the members are hits, with its interval; `nobody` says why there is no value without members.

    With groups, the interval is the percentile bootstrap over groups. Where all members are hits, or none, each
    resample says the same, as if there were no doubt: then it is Wilson's for as many draws as there are groups.
    """
    hits, of = int((hit & member).sum()), int(member.sum())
    if not of:
        return Estimate(None, hits=0, of=0, why=nobody)
    if sampling.groups is None:
        return Estimate(hits / of, *wilson(hits, of, sampling.level), hits, of)
    things = len(torch.unique(sampling.groups[torch.from_numpy(member)]))
    if hits in (0, of):
        return Estimate(hits / of, *wilson(things if hits else 0, things, sampling.level), hits, of)
    weights = sampling.drawn(len(member)) if things > 1 else None
    if weights is None:
        return Estimate(hits / of, hits=hits, of=of, why="all are of one group, whose spread is unknown")
    ours, all_of_them = (weights @ torch.from_numpy(flags).double() for flags in (hit & member, member))
    some = all_of_them > 0
    return Estimate(hits / of, *percentiles(ours[some] / all_of_them[some], sampling.level), hits, of)


def wilson(hits: int, of: int, level: float) -> tuple[float, float]:
    """Wilson's score interval of a share; unlike the one that adds a standard error it is honest at 0, at 1, for few.

    ::

        (p + z^2 / 2n  +-  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927. Needs SciPy.
    """
    try:
        from scipy.stats import binomtest
    except ImportError as error:
        raise ImportError("intervals of shares are computed by SciPy: pip install scipy") from error
    found = binomtest(hits, of).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def ranking(metric: Callable[..., float], positive: Flags, scores: Numbers, sampling: Sampling | None) -> Estimate:
    """AUROC, or average precision: a metric of scikit-learn for how well scores (N,) rank the positive images first.

    Its interval is the percentile bootstrap over those resamples that hold both kinds; `sampling` None leaves it out.
    """
    if positive.all() or not positive.any():
        return Estimate(None, why=f"{'all' if positive.any() else 'none'} of {len(positive)} images are of this kind")
    value = float(metric(positive, scores))
    weights = None if sampling is None else sampling.drawn(len(positive))
    if sampling is None or weights is None:
        return Estimate(value, why="no interval was asked for" if sampling is None else "all are of one group")
    both = [w for w in weights.numpy() if w[positive].any() and w[~positive].any()]
    samples = [float(metric(positive, scores, sample_weight=w)) for w in both]
    if len(set(samples)) < 2:
        return Estimate(value, why="all resamples say the same, so these images do not tell how sure it is")
    return Estimate(value, *percentiles(torch.tensor(samples), sampling.level))
