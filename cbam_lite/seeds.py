"""What a few seeds can say: an interval, a comparison among several, and how many seeds a difference needs.

One rule for the entire book. Each difference is drawn with its own 95 % interval. Whether it counts is decided by
Holm's procedure over all differences that are looked at together, because among twenty intervals of 95 % one excludes 0
by chance. All need SciPy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbam_lite.checks import number


def scipy_stats() -> Any:
    try:
        from scipy import stats
    except ImportError as error:
        raise ImportError("an interval needs the quantiles of SciPy: pip install scipy") from error
    return stats


def one_for_each_seed(name: str, values: Sequence[float]) -> NDArray[np.float64]:
    """The values as an array (seeds,), at least two and all finite."""
    try:
        x = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}={values!r:.60} must be a list of numbers, one for each seed ({error})") from error
    if x.ndim > 1:
        raise ValueError(f"{name} have the shape {x.shape}: give the numbers of one variant, (seeds,)")
    if x.size < 2:
        raise ValueError(f"{x.size} {name} have no spread: an interval needs at least 2 seeds")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} hold {int((~np.isfinite(x)).sum())} that are NaN or infinite: leave out that seed")
    return x


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The mean of a few values, and half the width of its interval by Student's t: mean ± half.

    .. math::

        \\bar x \\pm t_{n-1} \\, \\frac{s}{\\sqrt n}

    For a paired comparison, give the differences of two variants seed by seed: if the interval contains 0, these seeds
    do not tell the two apart. Needs SciPy.

    Args:
        values: n numbers, independent of each other.
        level: how often, over many repetitions, the interval would contain the true mean.

    Raises:
        ValueError: fewer than two values, which have no spread, or a level that is no share.
        TypeError: the values are not numbers.
        ImportError: SciPy is not installed.

    Example:
        >>> mean, half = mean_interval([0.91, 0.93, 0.92])
        >>> f"{mean:.3f} ± {half:.3f}"
        '0.920 ± 0.025'
    """
    x = one_for_each_seed("values", values)
    number("level", level, 0, 1)
    half = scipy_stats().t.ppf((1 + level) / 2, x.size - 1) * x.std(ddof=1) / np.sqrt(x.size)
    return float(x.mean()), float(half)


# ---- several differences at once ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """One difference among several that are looked at together: ``mean ± half``, in the unit of the values.

    `half` belongs to its own interval (95 %), `p` is Student's paired test, `p_holm` the same after Holm's correction.
    `told_apart` says whether the difference counts.

    Example:
        >>> print(Comparison(mean=2.8, half=2.7, p=0.044, p_holm=0.31, told_apart=False))
        +2.80 ± 2.70  p 0.044, Holm 0.310: not told apart
    """

    mean: float
    half: float
    p: float
    p_holm: float
    told_apart: bool

    def __str__(self) -> str:
        verdict = "not told apart" if not self.told_apart else "more" if self.mean > 0 else "less"
        return f"{self.mean:+.2f} ± {self.half:.2f}  p {self.p:.3f}, Holm {self.p_holm:.3f}: {verdict}"


def compare(differences: Mapping[str, Sequence[float]], level: float = 0.95) -> dict[str, Comparison]:
    """Which of these differences are more than chance, if all of them are looked at?

    Each difference is tested by Student's paired test. Holm orders the m values of p from small to large, and corrects
    the k-th for the comparisons that are left:

    .. math::

        \\tilde p_{(k)} = \\max_{j \\le k} \\min\\big(1, (m - j + 1)\\, p_{(j)}\\big)

    Then the chance of one false alarm or more among all m is at most ``1 - level``, whether or not the differences
    depend on each other. Bonferroni, which multiplies each p by m, keeps the same promise and finds less.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.

    Args:
        differences: {name: the differences of two variants, one for each seed}. Give all that were looked at, not only
            those that look good.
        level: 1 minus the chance of a false alarm; also that of each interval.

    Raises:
        ValueError: no differences, fewer than two seeds, NaN, or seeds that all differ by the same amount.
        ImportError: SciPy is not installed.

    Example:
        >>> found = compare({"clear": [3.0, 3.1, 2.9, 3.0], "noise": [0.5, -0.3, -0.1, 0.2]})
        >>> found["clear"].told_apart, found["noise"].told_apart
        (True, False)
        >>> print(found["clear"])
        +3.00 ± 0.13  p 0.000, Holm 0.000: more
    """
    if not isinstance(differences, Mapping) or not differences:
        raise ValueError("differences is empty or no mapping: give {name: differences seed by seed}")
    p = {}
    for name, values in differences.items():
        x = one_for_each_seed(f"differences[{name!r}]", values)
        spread = x.std(ddof=1)
        if spread == 0:
            raise ValueError(
                f"differences[{name!r}] are {x[0]:g} for all {x.size} seeds: without any spread there is nothing to "
                "test. Are two of the runs the same?"
            )
        t = abs(x.mean()) / (spread / np.sqrt(x.size))
        p[name] = float(2 * scipy_stats().t.sf(t, x.size - 1))
    p_holm = holm(p)
    return {
        name: Comparison(*mean_interval(values, level), p[name], p_holm[name], p_holm[name] < 1 - level)
        for name, values in differences.items()
    }


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's corrected p of each comparison."""
    corrected, largest = {}, 0.0
    for rank, name in enumerate(sorted(p, key=lambda name: p[name])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p}


# ---- how many seeds? ------------------------------------------------------------------------------------------------


def seeds_needed(spread: float, difference: float, *, power: float = 0.8, level: float = 0.95) -> int:
    """How many seeds find a true difference with this probability, by one paired test?

    With n seeds, Student's :math:`t = \\bar d \\sqrt n / s` of a true difference :math:`\\delta` follows the noncentral
    t distribution with n - 1 degrees of freedom and noncentrality :math:`\\delta \\sqrt n / s`. We take the smallest n
    for which it passes the quantile of `level` with probability `power`.

    Args:
        spread: s, the standard deviation of the paired differences over seeds.
        difference: delta, the true difference that shall be found, in the same unit.
        power: how often, over many repetitions, the test shall find it. An interval that is just as long as the
            difference has a power of about one half.
        level: 1 minus the chance of a false alarm. For m comparisons, ``1 - 0.05 / m`` is on the safe side.

    Raises:
        ValueError: the spread or the difference is not positive, a share not between 0 and 1, or no number of seeds up
            to ten million suffices.

    Example:
        >>> seeds_needed(spread=5.7, difference=5.0)
        13
        >>> seeds_needed(spread=5.7, difference=1.0)
        257
    """
    for name, value in (("spread", spread), ("difference", difference)):
        if not number(name, value) > 0:
            raise ValueError(f"{name}={value} must be positive: it is a size, in the unit of the other")
    for name, value in (("power", power), ("level", level)):
        if not 0 < number(name, value) < 1:
            raise ValueError(f"{name}={value} must lie between 0 and 1")
    stats, effect = scipy_stats(), difference / spread

    def enough(n: int) -> bool:
        limit = stats.t.ppf((1 + level) / 2, n - 1)
        return bool(stats.ncf.sf(limit**2, 1, n - 1, effect**2 * n) >= power)  # of t^2, which has both sides

    low, high = 1, 2  # `low` is not enough, `high` is the first guess
    while not enough(high):
        low, high = high, 2 * high
        if high > 10**7:
            raise ValueError(f"difference={difference} is too small beside spread={spread}: ten million seeds miss it")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
