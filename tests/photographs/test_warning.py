"""What a reader has to know first: each warning at the number where it begins."""

from dataclasses import replace

import pytest
import torch

from cbam_lite import measure
from cbam_lite.explaining.scoring import LocalisationScores
from cbam_lite.photographs.intervals import Estimate
from cbam_lite.photographs.measuring import ClassNumbers, Measured
from cbam_lite.photographs.warning import between, of_accuracy, of_classes, of_detection, of_groups, of_maps

NONE = Estimate(None)


@pytest.fixture(scope="module")
def measured() -> Measured:
    labels = torch.tensor([0] * 60 + [1] * 60)
    logits = torch.nn.functional.one_hot(labels, 2).float()
    return measure(logits, labels, ("good", "crack"), good="good", valid=(logits, labels), resamples=10)


@pytest.mark.parametrize(
    ("accuracy", "largest", "says"),
    [
        (
            Estimate(0.9, 0.8, 0.95),
            0.8,
            "The accuracy of 0.90 is not surely better than always saying 'a', which gives 0.80.",
        ),
        (Estimate(0.9, 0.8, 0.95), 0.79, "Accuracy hides mistakes here: it is 0.90, but always saying 'a' gives 0.79."),
        (Estimate(0.9), 0.9, "The accuracy of 0.90 is not surely better than always saying 'a', which gives 0.90."),
        (Estimate(0.9), 0.5, "Accuracy hides mistakes here: it is 0.90, but always saying 'a' gives 0.50."),
        (Estimate(0.9, 0.8, 0.95), 0.49, None),
    ],
)
def test_of_accuracy(measured: Measured, accuracy: Estimate, largest: float, says: str | None) -> None:
    assert of_accuracy(replace(measured, accuracy=accuracy, largest=("a", largest))) == ([says] if says else [])


def test_of_the_threshold(measured: Measured) -> None:
    assert measured.detection is not None
    found, t = measured.detection, measured.detection.threshold
    assert of_detection(found, measured) == []
    few = replace(found, threshold=replace(t, chosen_by=49))
    said = "The threshold was chosen by 49 defects only; on others, its recall will be another."
    assert of_detection(few, measured) == [said]
    assert of_detection(replace(found, threshold=replace(t, chosen_by=50)), measured) == []
    there_is_none = replace(found, threshold=replace(t, value=None, chosen_by=0, recall=Estimate(None, why="of this")))
    assert of_detection(there_is_none, measured) == ["There is no threshold: of this."]


def test_of_missed_defects(measured: Measured) -> None:
    assert measured.detection is not None
    for recall, missed in ((Estimate(0.95, hits=57, of=60), False), (Estimate(0.9, hits=54, of=60), True)):
        said = of_detection(replace(measured.detection, recall=recall), measured)
        assert said == [
            "6 of 60 defects (10%) are missed, that is, called 'good', though the accuracy is 1.00. A recall of 0.95 "
            "is wanted; see the threshold for what it costs."
        ] * missed  # fmt: skip


def of_class(images: int, recall: float | None, groups: int | None = None) -> ClassNumbers:
    found = NONE if recall is None else Estimate(recall, recall - 0.1, recall + 0.1, round(recall * images), images)
    return ClassNumbers(f"c{images}", images, groups, found, NONE, NONE, NONE)


def test_of_classes() -> None:
    assert of_classes([of_class(20, 0.76), of_class(20, 0.9, 10)]) == []
    assert of_classes([of_class(0, None), of_class(19, 0.9), of_class(1, 0.9), of_class(40, 0.75)]) == [
        "Without a test image, so that nothing is known: 'c0'.",
        "A quarter or more of a class is called something else: 'c40' (10 of 40).",
        "Fewer than 20 test images, so that little is known: 'c19' 19 (recall from 0.80 to 1.00), 'c1' 1 (recall "
        "from 0.80 to 1.00).",
    ]
    assert of_classes([of_class(20, 0.8, 9), of_class(19, 0.8, 9)])[1:] == [
        "Many test images of fewer than 10 things (groups): 'c20' 20 of 9 (recall from 0.70 to 0.90)."
    ]
    assert between(Estimate(0.5)) == ""


def test_of_groups(measured: Measured) -> None:
    assert of_groups(replace(measured, groups=10)) == []
    assert of_groups(replace(measured, groups=9)) == [
        "The images show 9 things (groups) only: the intervals are too narrow."
    ]
    assert of_groups(measured) == [
        "Nobody said which photographs show the same thing (groups): if some do, the intervals are too narrow."
    ]


def test_of_maps_that_are_as_good_as_blind_ones() -> None:
    def scores(**values: float) -> LocalisationScores:
        blind = {"uniform": (0.1, 0, 1), "centre": (0.5, 0, 1), "edges": (0.2, 0, 1), "ceiling": (0.9, 0, 1)}
        table = {metric: {"map": (value, 0, 1), **blind} for metric, value in values.items()}
        return LocalisationScores(table, 9, 0, 0, None, (4, 4), 0.95)  # type: ignore[arg-type]

    assert of_maps(scores(pointing=0.51, energy=0.6)) == []
    assert of_maps(scores(pointing=0.5, energy=0.6, lift=0.3)) == [
        "A map that knows nothing of the network does as well as the network's by pointing (0.50; centre 0.50), lift "
        "(0.30; centre 0.50)."
    ]
