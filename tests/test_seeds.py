"""What a few seeds can say: Student's interval, Holm's procedure, and the number of seeds that a difference needs."""

import itertools
import math
import sys

import numpy as np
import pytest
from scipy import stats

from cbam_lite import Comparison, compare, mean_interval, seeds_needed
from cbam_lite.seeds import holm

# ---- one interval ---------------------------------------------------------------------------------------------------


def test_interval_by_hand() -> None:
    mean, half = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean == 3
    assert half == pytest.approx(2.776445 * math.sqrt(2.5) / math.sqrt(5))


def test_interval_is_scipys() -> None:
    values = np.random.default_rng(0).normal(size=7)
    mean, half = mean_interval(values, 0.9)
    low, high = stats.t.interval(0.9, 6, loc=values.mean(), scale=stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_interval_contains_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits = [abs(mean) <= half for mean, half in (mean_interval(random.normal(size=5)) for _ in range(2000))]
    assert 0.935 < np.mean(hits) < 0.965


def test_errors_name_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="1 values have no spread: an interval needs at least 2 seeds"):
        mean_interval([0.5])
    with pytest.raises(ValueError, match="level=95 is outside its range: use 0 to 1"):
        mean_interval([1, 2], 95)
    with pytest.raises(TypeError, match="values='text' must be a list of numbers"):
        mean_interval("text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"values have the shape \(2, 2\)"):
        mean_interval(np.ones((2, 2)))
    with pytest.raises(ValueError, match="values hold 1 that are NaN or infinite"):
        mean_interval([0.1, math.nan, 0.3])
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match="pip install scipy"):
        mean_interval([1, 2])


# ---- several differences --------------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})  # the numbers of many lectures
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(found) == ["a", "b", "c", "d"]
    assert holm({"one": 0.2}) == {"one": 0.2}
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


def test_holm_is_the_closed_test_that_is_made_of_bonferronis() -> None:
    """Independent of steps and sorting: the worst Bonferroni value over all sets of comparisons that hold this one."""
    for values in np.random.default_rng(0).uniform(0, 0.2, (20, 5)):
        p = dict(zip("abcde", values.tolist(), strict=True))
        sets = [held for size in range(1, 6) for held in itertools.combinations(p, size)]
        closed = {
            name: max(min(1.0, len(held) * min(p[other] for other in held)) for held in sets if name in held)
            for name in p
        }
        assert holm(p) == pytest.approx(closed)


def test_each_comparison_is_scipys_paired_test() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 6))
    (one,) = compare({"a - b": a - b}).values()
    assert one.p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert one.p_holm == one.p
    assert (one.mean, one.half) == mean_interval(a - b)
    assert one.told_apart == (abs(one.mean) > one.half)  # with one comparison, the interval decides


def test_false_alarms_among_ten_comparisons_are_as_rare_as_promised() -> None:
    random, alone, together = np.random.default_rng(2), 0, 0
    for _ in range(400):
        found = compare({str(k): random.normal(size=5) for k in range(10)})
        alone += any(abs(one.mean) > one.half for one in found.values())
        together += any(one.told_apart for one in found.values())
    assert 0.33 < alone / 400 < 0.47  # 1 - 0.95^10 = 0.40
    assert 0.02 < together / 400 < 0.08


def test_holm_finds_what_bonferroni_misses() -> None:
    """Three comparisons, whose own p is what we ask for."""

    def with_p(p: float) -> list[float]:
        noise = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
        return (noise + stats.t.isf(p / 2, 4) * noise.std(ddof=1) / math.sqrt(5)).tolist()

    found = compare({"none": with_p(0.5), "strong": with_p(0.001), "middle": with_p(0.02)})
    assert [one.p for one in found.values()] == pytest.approx([0.5, 0.001, 0.02])
    assert [one.p_holm for one in found.values()] == pytest.approx([0.5, 0.003, 0.04])  # Bonferroni: 0.06 for the last
    assert [one.told_apart for one in found.values()] == [False, True, True]


def test_a_comparison_reads_as_a_sentence() -> None:
    more, less = Comparison(1.5, 0.5, 0.001, 0.002, True), Comparison(-1.5, 0.5, 0.001, 0.002, True)
    assert str(more) == "+1.50 ± 0.50  p 0.001, Holm 0.002: more"
    assert str(less).endswith(": less")
    assert str(Comparison(1.5, 2.5, 0.2, 0.4, False)).endswith(": not told apart")


def test_comparisons_that_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="differences is empty or no mapping"):
        compare({})
    with pytest.raises(ValueError, match="differences is empty or no mapping"):
        compare([1.0, 2.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"differences\['a'\] are 0.5 for all 3 seeds"):
        compare({"a": [0.5, 0.5, 0.5]})
    with pytest.raises(ValueError, match=r"1 differences\['a'\] have no spread"):
        compare({"a": [0.5]})
    with pytest.raises(ValueError, match="level=2 is outside its range"):
        compare({"a": [0.5, 0.6]}, level=2)


# ---- how many seeds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("effect", "power", "n"), [(0.5, 0.8, 34), (0.8, 0.8, 15), (1.0, 0.8, 10), (0.5, 0.95, 54)])
def test_numbers_of_published_tables(effect: float, power: float, n: int) -> None:
    """What G*Power gives for the paired test, two-sided, 5 %."""
    assert seeds_needed(2.0, 2.0 * effect, power=power) == n


def test_so_many_seeds_find_it_as_often_as_promised_and_one_less_does_not() -> None:
    n, random = seeds_needed(1.0, 1.0), np.random.default_rng(4)
    shares = {}
    for seeds in (n, n - 2):
        d = random.normal(1.0, 1.0, (4000, seeds))
        shares[seeds] = (stats.ttest_1samp(d, 0, axis=1).pvalue < 0.05).mean()
    assert shares[n] == pytest.approx(0.803, abs=0.02)
    assert shares[n - 2] < 0.75


def test_an_interval_as_long_as_the_difference_has_a_power_of_one_half() -> None:
    n = seeds_needed(5.7, 1.0, power=0.5)
    assert n == pytest.approx((1.96 * 5.7) ** 2, rel=0.02)


def test_more_comparisons_need_more_seeds() -> None:
    assert seeds_needed(5.7, 5.0, level=1 - 0.05 / 10) > seeds_needed(5.7, 5.0) > seeds_needed(5.7, 50.0) == 3


def test_sizes_that_are_none() -> None:
    with pytest.raises(ValueError, match="spread=0 must be positive"):
        seeds_needed(0, 1)
    with pytest.raises(ValueError, match="difference=-1 must be positive"):
        seeds_needed(1, -1)
    with pytest.raises(ValueError, match="power=1 must lie between 0 and 1"):
        seeds_needed(1, 1, power=1)
    with pytest.raises(ValueError, match="level=0 must lie between 0 and 1"):
        seeds_needed(1, 1, level=0)
    with pytest.raises(ValueError, match="ten million seeds miss it"):
        seeds_needed(1, 1e-5)
