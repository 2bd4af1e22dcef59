"""A number and how sure it is: what is printed, which resamples count, and where there is no interval."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from cbam_lite.photographs.calibrating import calibrate
from cbam_lite.photographs.detecting import detect
from cbam_lite.photographs.intervals import Estimate, Sampling, ranking, share, wilson

EVERY = np.ones(4, bool)


def test_an_estimate_reads_as_far_as_it_is_known() -> None:
    assert str(Estimate(0.9, 0.7, 0.966, 18, 20)) == "0.90 [0.70, 0.97], 18 of 20"
    assert str(Estimate(0.9, hits=18, of=20)) == "0.90, 18 of 20"
    assert str(Estimate(0.9, 0.7)) == "0.90"
    assert str(Estimate(None, why="nobody knows")) == "– (nobody knows)"


@pytest.mark.parametrize("level", [0, 1, 1.5, -0.1])
def test_levels_lie_between_0_and_1(level: float) -> None:
    with pytest.raises(
        ValueError, match=rf"^level={level} is the share of an interval: use a number between 0 and 1, 0.95$"
    ):
        Sampling(level)


def test_a_share_of_nobody_says_why() -> None:
    assert share(EVERY, ~EVERY, Sampling(), "nobody is there") == Estimate(None, hits=0, of=0, why="nobody is there")


def test_a_share_counts_hits_among_members_alone() -> None:
    hit, member = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 1, 1], bool)
    found = share(hit, member, Sampling(0.8), "")
    expected = binomtest(2, 4).proportion_ci(0.8, method="wilson")
    assert (found.value, found.hits, found.of, found.why) == (0.5, 2, 4, None)
    assert (found.low, found.high) == wilson(2, 4, 0.8) == (expected.low, expected.high)


def test_two_groups_are_enough_for_an_interval_and_one_is_not() -> None:
    hit, groups = np.array([1, 0, 0, 0], bool), torch.tensor([3, 3, 8, 8])
    found = share(hit, EVERY, Sampling(groups=groups, resamples=50), "")
    assert (found.value, found.low, found.high) == (0.25, 0, 0.5)
    assert share(hit, groups.numpy() == 3, Sampling(groups=groups), "") == Estimate(
        0.5, hits=1, of=2, why="all are of one group, whose spread is unknown"
    )


def test_draws_are_of_things_and_repeat_with_the_seed() -> None:
    groups = torch.tensor([7, 5, 7])
    drawn = Sampling(groups=groups, resamples=6, seed=1).drawn(3)
    assert drawn is not None
    assert drawn.shape == (6, 3)
    assert torch.equal(drawn[:, 0], drawn[:, 2])
    assert torch.equal(drawn[:, 0] + drawn[:, 1], torch.full((6,), 2.0, dtype=torch.float64))
    assert torch.equal(drawn, Sampling(groups=groups, resamples=6, seed=1).drawn(3))  # type: ignore[arg-type]
    other = Sampling(resamples=6, seed=2).drawn(3)
    assert other is not None
    assert not torch.equal(other, Sampling(resamples=6, seed=1).drawn(3))  # type: ignore[arg-type]
    assert other.sum(1).tolist() == [3] * 6
    assert Sampling(groups=torch.zeros(3)).drawn(3) is None
    assert Sampling().drawn(1) is Sampling().drawn(0) is None


# ---- rankings --------------------------------------------------------------------------------------------------------


def test_a_ranking_says_why_it_has_no_interval() -> None:
    positive, scores = np.array([1, 1, 0, 0], bool), np.array([4.0, 2.0, 3.0, 1.0])
    assert ranking(roc_auc_score, positive, scores, None) == Estimate(0.75, why="no interval was asked for")
    alone = Sampling(groups=torch.zeros(4))
    assert ranking(roc_auc_score, positive, scores, alone) == Estimate(0.75, why="all are of one group")
    assert ranking(roc_auc_score, EVERY, scores, None) == Estimate(None, why="all of 4 images are of this kind")
    assert ranking(roc_auc_score, ~EVERY, scores, None) == Estimate(None, why="none of 4 images are of this kind")
    sure = ranking(roc_auc_score, positive, np.array([4.0, 3.0, 2.0, 1.0]), Sampling(resamples=20))
    assert sure == Estimate(1, why="all resamples say the same, so these images do not tell how sure it is")


def test_two_resamples_that_differ_make_an_interval() -> None:
    values = iter([0.5, 0.25, 0.75])
    found = ranking(
        lambda *given, **weights: next(values), np.array([1, 0] * 20, bool), np.arange(40.0), Sampling(0.8, None, 2)
    )
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((0.3, 0.7))


# ---- defects and bins ------------------------------------------------------------------------------------------------


def found_by(P: list[float], defect: list[int], **options):
    given = {"good": "fine", "recall": 0.5, "valid": None} | options
    return detect(np.array(P), np.array(defect, bool), np.array(P) > 0.5, Sampling(resamples=20), **given)


def test_what_cannot_be_measured_says_why() -> None:
    found = found_by([0.9, 0.2], [1, 1])
    assert found.false_alarms.why == found.threshold.false_alarms.why == "no test image is 'fine'"
    found = found_by([0.9, 0.2], [0, 0])
    assert found.recall.why == "no test image shows a defect"
    rates = (found.threshold.recall, found.threshold.false_alarms, found.threshold.precision)
    assert {one.why for one in rates} == {"no test image shows a defect to choose a threshold by"}
    assert (found.threshold.value, found.threshold.chosen_by, found.threshold.chosen_on) == (None, 0, "test")
    other = (np.array([0.1, 0.3]), np.array([False, False]))
    found = found_by([0.9, 0.2], [1, 0], valid=other)
    assert found.threshold.recall.why == "no validation image shows a defect to choose a threshold by"
    found = found_by([0.9, 0.2], [1, 0], valid=(np.array([0.99, 0.3]), np.array([True, False])))
    assert found.threshold.precision.why == "no test image is taken for a defect"
    assert found.threshold.recall.value == 0
    found = found_by([0.9, 0.2], [0, 0], valid=(np.array([0.1, 0.3]), np.array([True, False])))
    assert found.threshold.recall.why == "no test image shows a defect"


def test_bins_tell_their_edges_also_without_images() -> None:
    found = calibrate(np.array([0.3, 0.0, 1.0, 0.5]), np.array([True, False, True, True]), bins=4)
    assert [(one.low, one.high, one.images) for one in found.bins] == [
        (0, 0.25, 1), (0.25, 0.5, 2), (0.5, 0.75, 0), (0.75, 1, 1)
    ]  # fmt: skip
    assert (found.bins[2].confidence, found.bins[2].accuracy) == (None, None)
    assert found.bins[3].confidence == found.bins[3].accuracy == 1
    assert found.ece == pytest.approx(0.25 * 0 + 0.5 * 0.6)
