"""What a reader of the numbers has to know first, in words."""

from collections.abc import Sequence

from cbam_lite.explaining.scoring import BLIND, LocalisationScores, two_digits
from cbam_lite.photographs.detecting import Detection
from cbam_lite.photographs.intervals import Estimate
from cbam_lite.photographs.measuring import ClassNumbers, Measured

FEW_IMAGES = 20  # Wilson's interval of 18 of 20 runs from .70 to .97
FEW_GROUPS = 10  # of fewer, the bootstrap draws intervals that are too narrow
FEW_DEFECTS = 50  # to choose a threshold by


def warnings_of(measured: Measured, localisation: LocalisationScores | None, twice: int = 0) -> list[str]:
    """Sentences for the top of a report, the most important first; none where there is nothing to warn of.

    Args:
        measured: the numbers of the classifier.
        localisation: the scores of its maps, if there are masks.
        twice: how many test images stand among the validation images, too.
    """
    said: list[str] = []
    if twice:
        said.append(
            f"{twice} of the {measured.images} test images are among the validation images, too: the numbers look "
            "better than they are. Split by groups."
        )
    said += of_accuracy(measured)
    if measured.detection is None:
        said.append(
            "No class was named as the good one (good=...), so there are no missed defects, false alarms and threshold "
            "here."
        )
    else:
        said += of_detection(measured.detection, measured)
    said += of_classes(measured.classes)
    said += of_groups(measured)
    return said + ([] if localisation is None else of_maps(localisation))


def of_accuracy(measured: Measured) -> list[str]:
    """Accuracy says little where one class is most of the images."""
    (name, largest), accuracy = measured.largest, measured.accuracy
    assert accuracy.value is not None  # there is at least one image
    low = accuracy.value if accuracy.low is None else accuracy.low
    if low <= largest:
        return [
            f"The accuracy of {accuracy.value:.2f} is not surely better than always saying {name!r}, which gives "
            f"{largest:.2f}."
        ]
    if largest >= 0.5:
        return [
            f"Accuracy hides mistakes here: it is {accuracy.value:.2f}, but always saying {name!r} gives {largest:.2f}."
        ]
    return []


def of_detection(detection: Detection, measured: Measured) -> list[str]:
    """Missed defects, and how far the threshold can be trusted."""
    said, recall, t = [], detection.recall, detection.threshold
    if recall.value is not None and recall.of is not None and recall.hits is not None and recall.value < t.wanted:
        said.append(
            f"{recall.of - recall.hits} of {recall.of} defects ({1 - recall.value:.0%}) are missed, that is, called "
            f"{detection.good!r}, though the accuracy is {measured.accuracy.value:.2f}. A recall of {t.wanted:.2f} is "
            "wanted; see the threshold for what it costs."
        )
    if t.value is None:
        said.append(f"There is no threshold: {t.recall.why}.")
    elif t.chosen_on == "test":
        said.append(
            "The threshold was chosen on the test images, so its recall and false alarms look better than they will "
            "be: give validation images."
        )
    if t.value is not None and t.chosen_by < FEW_DEFECTS:
        said.append(f"The threshold was chosen by {t.chosen_by} defects only; on others, its recall will be another.")
    return said


def of_classes(classes: Sequence[ClassNumbers]) -> list[str]:
    """Classes without images, with too few for a recall, and with a low one."""
    said = []
    if none := [repr(one.name) for one in classes if not one.images]:
        said.append(f"Without a test image, so that nothing is known: {', '.join(none)}.")
    if low := [one for one in classes if one.recall.value is not None and one.recall.value <= 0.75]:
        parts = [f"{one.name!r} ({one.images - (one.recall.hits or 0)} of {one.images})" for one in low]
        said.append(f"A quarter or more of a class is called something else: {', '.join(parts)}.")
    if few := [one for one in classes if 0 < one.images < FEW_IMAGES]:
        parts = [f"{one.name!r} {one.images}{between(one.recall)}" for one in few]
        said.append(f"Fewer than {FEW_IMAGES} test images, so that little is known: {', '.join(parts)}.")
    if few := [one for one in classes if one.images >= FEW_IMAGES and one.groups and one.groups < FEW_GROUPS]:
        parts = [f"{one.name!r} {one.images} of {one.groups}{between(one.recall)}" for one in few]
        said.append(f"Many test images of fewer than {FEW_GROUPS} things (groups): {', '.join(parts)}.")
    return said


def between(recall: Estimate) -> str:
    return "" if recall.low is None else f" (recall from {recall.low:.2f} to {recall.high:.2f})"


def of_groups(measured: Measured) -> list[str]:
    """Photographs of one thing are no independent draws."""
    if measured.groups is None:
        return ["Nobody said which photographs show the same thing (groups): if some do, the intervals are too narrow."]
    if measured.groups < FEW_GROUPS:
        return [f"The images show {measured.groups} things (groups) only: the intervals are too narrow."]
    return []


def of_maps(scores: LocalisationScores) -> list[str]:
    """Metrics in which a map that knows nothing of the network does as well."""
    beaten = []
    for metric, row in scores.table.items():
        best = max(BLIND, key=lambda kind: row[kind][0])
        if not row["map"][0] > row[best][0]:
            beaten.append(f"{metric} ({two_digits(row['map'][0])}; {best} {two_digits(row[best][0])})")
    if not beaten:
        return []
    return [f"A map that knows nothing of the network does as well as the network's by {', '.join(beaten)}."]
