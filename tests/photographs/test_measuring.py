"""Numbers of a classifier: against scikit-learn, by hand, on resamples really drawn, and where they are undefined."""

import json
import math

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor

from cbam_lite import localize, measure
from cbam_lite.photographs.calibrating import calibrate
from cbam_lite.photographs.detecting import threshold_for
from cbam_lite.photographs.intervals import Sampling, ranking, share

CLASSES = ("good", "crack", "pit")


def answers(N: int, seed: int = 0, skill: float = 1.5) -> tuple[Tensor, Tensor]:
    """Logits (N, 3) that know something of the labels, half of which are good."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (N,), generator=g).clamp_min(1) - 1
    logits = torch.randn(N, 3, generator=g) + skill * torch.nn.functional.one_hot(labels, 3)
    return logits, labels


@pytest.fixture(scope="module")
def given() -> tuple[Tensor, Tensor]:
    return answers(120)


@pytest.fixture(scope="module")
def found(given):
    return measure(*given, CLASSES, good="good", valid=answers(200, 1), recall=0.9, resamples=200)


def probability(logits: Tensor) -> np.ndarray:
    return torch.softmax(logits.double(), 1).numpy()


# ---- classes --------------------------------------------------------------------------------------------------------


def test_confusion_recall_and_precision_are_scikit_learns(given, found) -> None:
    truth, called = given[1].numpy(), given[0].argmax(1).numpy()
    assert np.array_equal(found.confusion, metrics.confusion_matrix(truth, called))
    assert found.accuracy.value == pytest.approx(metrics.accuracy_score(truth, called))
    recalls, precisions = (f(truth, called, average=None) for f in (metrics.recall_score, metrics.precision_score))
    assert [one.recall.value for one in found.classes] == pytest.approx(recalls)
    assert [one.precision.value for one in found.classes] == pytest.approx(precisions)
    assert [one.images for one in found.classes] == np.bincount(truth).tolist()


def test_auroc_and_average_precision_of_each_class_are_scikit_learns(given, found) -> None:
    P, truth = probability(given[0]), given[1].numpy()
    for k, one in enumerate(found.classes):
        assert one.name == CLASSES[k]
        assert one.auroc.value == pytest.approx(metrics.roc_auc_score(truth == k, P[:, k]))
        assert one.average_precision.value == pytest.approx(metrics.average_precision_score(truth == k, P[:, k]))


def test_the_share_of_the_largest_class_stands_beside_the_accuracy(given, found) -> None:
    counts = np.bincount(given[1])
    assert found.largest == (CLASSES[counts.argmax()], counts.max() / 120)


# ---- defects against good images ------------------------------------------------------------------------------------


def test_any_defect_counts_as_found_and_any_defect_on_a_good_image_as_false_alarm(given, found) -> None:
    called, truth = given[0].argmax(1) != 0, given[1] != 0
    assert found.detection.recall.value == pytest.approx(float(called[truth].double().mean()))
    assert found.detection.false_alarms.value == pytest.approx(float(called[~truth].double().mean()))
    assert found.detection.defects == pytest.approx(float(truth.double().mean()))


def test_defects_are_ranked_by_their_probability(given, found) -> None:
    P, defect = 1 - probability(given[0])[:, 0], given[1].numpy() != 0
    assert found.detection.auroc.value == pytest.approx(metrics.roc_auc_score(defect, P))
    assert found.detection.average_precision.value == pytest.approx(metrics.average_precision_score(defect, P))


def test_the_threshold_is_chosen_on_validation_images_and_applied_to_test_images(given, found) -> None:
    logits, labels = answers(200, 1)
    P, defect = 1 - probability(logits)[:, 0], labels.numpy() != 0
    _, recalls, thresholds = metrics.precision_recall_curve(defect, P)
    t = found.detection.threshold
    assert t.value == pytest.approx(thresholds[recalls[:-1] >= 0.9].max())
    assert (t.chosen_on, t.chosen_by, t.wanted) == ("validation", defect.sum(), 0.9)
    test_P, test_defect = 1 - probability(given[0])[:, 0], given[1].numpy() != 0
    assert t.recall.value == pytest.approx((test_P >= t.value)[test_defect].mean())
    assert t.false_alarms.value == pytest.approx((test_P >= t.value)[~test_defect].mean())
    assert t.precision.value == pytest.approx(test_defect[test_P >= t.value].mean())


def test_without_validation_images_it_says_so_and_holds_on_the_test_images(given) -> None:
    t = measure(*given, CLASSES, good="good", recall=0.9, resamples=10).detection.threshold
    assert t.chosen_on == "test"
    assert t.recall.value >= 0.9
    assert t.recall.hits == math.ceil(0.9 * t.recall.of)


@pytest.mark.parametrize(("recall", "threshold"), [(1, 0.1), (0.95, 0.2), (0.9, 0.3), (0.05, 2.0), (0, 2.0)])
def test_threshold_for_counts_in_whole_defects(recall: float, threshold: float) -> None:
    scores = np.arange(1, 21) / 10
    assert threshold_for(scores, recall) == threshold
    assert threshold_for(scores[:0], recall) is None


def test_threshold_for_needs_no_defect_more_because_floats_round() -> None:
    assert 0.55 * 100 > 55
    assert threshold_for(np.arange(1, 101) / 100, 0.55) == 0.46  # the 55th from above


def test_a_tie_at_the_threshold_counts_as_defect() -> None:
    logits = torch.tensor([[0.0, 1], [0, 1], [0, 1], [1, 0]])
    t = measure(logits, torch.tensor([1, 1, 0, 0]), ("good", "crack"), good="good", recall=0.5).detection.threshold
    assert (t.recall.hits, t.false_alarms.hits) == (2, 1)


def test_probabilities_near_1_are_ranked_to_the_end() -> None:
    logits = torch.tensor([[0.0, 90], [0, 80], [40, 0], [50, 0]])  # in float32 all of these are 0 or 1
    found = measure(logits, torch.tensor([1, 1, 1, 0]), ("good", "crack"), good="good", recall=1)
    assert found.detection.threshold.value == pytest.approx(math.exp(-40))
    assert found.detection.threshold.false_alarms.hits == 0


# ---- intervals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hits", "of"), [(0, 5), (5, 5), (18, 20), (1, 1)])
def test_shares_have_wilsons_interval(hits: int, of: int) -> None:
    z, p = 1.959963984540054, hits / of
    middle, half = p + z**2 / (2 * of), z * math.sqrt(p * (1 - p) / of + z**2 / (4 * of**2))
    found = share(np.arange(of + 3) < hits, np.arange(of + 3) < of, Sampling(), "nobody")
    expected = [p, (middle - half) / (1 + z**2 / of), (middle + half) / (1 + z**2 / of)]
    assert [found.value, found.low, found.high] == pytest.approx(expected)
    assert (found.hits, found.of) == (hits, of)


def test_with_groups_whole_groups_are_drawn() -> None:
    groups = torch.arange(40) // 4
    g = np.random.default_rng(0)
    hit, member = np.repeat(g.random(10) < 0.6, 4), g.random(40) < 0.8
    found = share(hit, member, Sampling(0.8, groups, 50, 3), "nobody")
    samples = []
    for counts in localize.draws(10, 50, 3):
        drawn = [i for group, count in enumerate(counts) for i in list(range(4 * group, 4 * group + 4)) * int(count)]
        samples.append(hit[drawn][member[drawn]].mean())
    assert [found.low, found.high] == pytest.approx(np.quantile(samples, [0.1, 0.9]))
    alone = share(hit, member, Sampling(0.8), "nobody")
    assert found.high - found.low > 1.3 * (alone.high - alone.low)  # four photographs of one thing are no four things


def test_resamples_without_a_member_say_nothing() -> None:
    """A class in 2 of 10 groups: in a tenth of the resamples neither is drawn, and 0 / 0 is no share."""
    groups, member = torch.arange(40) // 4, np.arange(40) < 8
    hit = np.isin(np.arange(40), [0, 1, 2, 4])  # three of four in one group, one of four in the other
    found = share(hit, member, Sampling(0.9, groups, 50, 3), "nobody")
    drawn = localize.draws(10, 50, 3).numpy()[:, :2]
    samples = [(3 * a + b) / (4 * (a + b)) for a, b in drawn if a + b]
    assert len(samples) < 50
    assert [found.low, found.high] == pytest.approx(np.quantile(samples, [0.05, 0.95]))


def test_groups_that_are_all_right_are_as_many_draws_as_groups() -> None:
    all_right, member = np.ones(40, bool), np.ones(40, bool)
    found = share(all_right, member, Sampling(groups=torch.arange(40) // 4), "nobody")
    ten = share(all_right[:10], member[:10], Sampling(), "nobody")
    assert [found.value, found.low, found.high] == [1, ten.low, ten.high]
    none = share(~all_right, member, Sampling(groups=torch.arange(40) // 4), "nobody")
    assert [none.value, none.low] == [0, 0]
    assert none.high == pytest.approx(1 - ten.low)


def test_one_group_alone_has_no_interval() -> None:
    found = share(np.arange(4) < 2, np.ones(4, bool), Sampling(groups=torch.zeros(4)), "nobody")
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert "one group" in found.why


def test_the_interval_of_auroc_is_that_of_images_that_are_really_drawn() -> None:
    g = np.random.default_rng(0)
    positive = g.random(30) < 0.4
    scores = positive + g.normal(size=30)
    found = ranking(metrics.roc_auc_score, positive, scores, Sampling(0.8, None, 60, 3))
    samples = []
    for counts in localize.draws(30, 60, 3):
        drawn = np.repeat(np.arange(30), counts.int().numpy())
        samples.append(metrics.roc_auc_score(positive[drawn], scores[drawn]))
    assert [found.low, found.high] == pytest.approx(np.quantile(samples, [0.1, 0.9]), abs=1e-6)


def test_groups_reach_every_number(given) -> None:
    groups = torch.arange(120) // 6
    found = measure(*given, CLASSES, good="good", groups=groups, resamples=100)
    alone = measure(*given, CLASSES, good="good", resamples=100)
    assert (found.groups, alone.groups) == (20, None)
    assert [one.groups for one in found.classes] == [len(groups[given[1] == k].unique()) for k in range(3)]
    for ours, theirs in (
        (found.accuracy, alone.accuracy),
        (found.classes[1].recall, alone.classes[1].recall),
        (found.detection.recall, alone.detection.recall),
        (found.detection.auroc, alone.detection.auroc),
        (found.detection.threshold.false_alarms, alone.detection.threshold.false_alarms),
    ):
        assert ours.value == theirs.value
        assert (ours.low, ours.high) != (theirs.low, theirs.high)


# ---- calibration ----------------------------------------------------------------------------------------------------


def test_calibration_by_hand() -> None:
    confidence = np.array([0.55, 0.6, 0.61, 0.95, 1.0])  # a bin holds its upper edge
    found = calibrate(confidence, np.array([True, False, True, True, False]))
    assert [one.images for one in found.bins] == [0, 0, 0, 0, 0, 2, 1, 0, 0, 2]
    assert found.bins[5].confidence == pytest.approx(0.575)
    assert found.bins[5].accuracy == 0.5
    assert found.bins[0].confidence is None
    assert found.ece == pytest.approx(2 / 5 * 0.075 + 1 / 5 * 0.39 + 2 / 5 * 0.475)


def test_calibration_is_of_the_highest_probability(given, found) -> None:
    P = probability(given[0])
    assert found.calibration == calibrate(P.max(1), P.argmax(1) == given[1].numpy())


def test_a_network_that_keeps_its_word_has_a_small_error_and_one_that_boasts_a_large_one() -> None:
    g = np.random.default_rng(0)
    confidence = g.random(20_000)
    assert calibrate(confidence, g.random(20_000) < confidence).ece < 0.02
    assert calibrate(np.full(20_000, 0.99), g.random(20_000) < 0.6).ece == pytest.approx(0.39, abs=0.02)


# ---- what is undefined ----------------------------------------------------------------------------------------------


def test_a_class_without_images_has_no_recall_and_says_why() -> None:
    logits = torch.tensor([[2.0, 0, 0], [0, 1, 0], [1, 0, 0]])
    found = measure(logits, torch.tensor([0, 1, 1]), CLASSES, good="good")
    pit = found.classes[2]
    assert (pit.images, pit.recall.value, pit.precision.value, pit.auroc.value) == (0, None, None, None)
    assert pit.recall.why == "no test image is of this class"
    assert pit.precision.why == "no test image is called so"
    assert pit.auroc.why == "none of 3 images are of this kind"
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["classes"][2]["recall"]["value"] is None
    assert plain["detection"]["recall"]["of"] == 2


def test_without_defects_there_is_no_threshold() -> None:
    logits = torch.tensor([[2.0, 0, 0], [1, 0, 0]])
    found = measure(logits, torch.tensor([0, 0]), CLASSES, good="good").detection
    assert (found.threshold.value, found.recall.value, found.auroc.value) == (None, None, None)
    assert found.threshold.false_alarms.why == "no test image shows a defect to choose a threshold by"
    assert found.false_alarms.value == 0


def test_a_perfect_ranking_does_not_claim_to_be_sure() -> None:
    found = ranking(metrics.roc_auc_score, np.arange(6) < 3, -np.arange(6.0), Sampling())
    assert (found.value, found.low, found.high) == (1, None, None)
    assert "do not tell how sure" in found.why


def test_without_a_good_class_nothing_is_a_defect(given) -> None:
    assert measure(*given, CLASSES).detection is None


def test_the_text_shows_the_numbers(found) -> None:
    lines = str(found).splitlines()
    assert lines[0] == f"accuracy: {found.accuracy} (always saying {found.largest[0]!r}: {found.largest[1]:.2f})"
    assert f"recall of 'pit': {found.classes[2].recall}" in lines


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"classes": ("good", "crack")}, "3 columns, but there are 2 names"),
        ({"classes": ("good", "crack", "crack")}, "3 columns, but there are 2 names"),
        ({"good": "clean"}, "good='clean' is not one of"),
        ({"labels": torch.zeros(5, dtype=torch.int64)}, "5 labels for 120 logits"),
        ({"labels": torch.full((120,), 3)}, "run from 3 to 3, but there are 3 classes"),
        ({"logits": torch.full((120, 3), torch.nan)}, "logits hold NaN"),
        ({"groups": torch.zeros(5)}, "5 groups for 120 images"),
        ({"recall": 95}, "recall=95 is outside its range"),
        ({"level": 1}, "between 0 and 1, 0.95"),
    ],
)
def test_what_does_not_fit_is_refused(given, change, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        measure(**({"logits": given[0], "labels": given[1], "classes": CLASSES} | change))
