"""What a classifier is worth, in numbers: by class, for defects against good images, and whether it knows its doubts.

One number hides most of it. An accuracy of .92 is compatible with a quarter of the defects missed, where most images
are good; so each class has its recall, and each number its interval.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cbam_lite.checks import choose, number, tensor, whole
from cbam_lite.photographs.calibrating import Calibration, calibrate
from cbam_lite.photographs.detecting import Detection, detect
from cbam_lite.photographs.intervals import Estimate, Flags, Numbers, Sampling, ranking, share
from cbam_lite.training.batches import whole_labels


@dataclasses.dataclass(frozen=True)
class ClassNumbers:
    """One class: how many images (and groups, if they are known), and how well they are found.

    Args:
        name: of the class.
        images: how many test images are of it.
        groups: how many things they show; None where nobody said.
        recall: the share of its images that is called so.
        precision: the share of the images called so that are of it.
        auroc: one against the rest, by the probability of the class.
        average_precision: likewise; chance is the share of the class.
    """

    name: str
    images: int
    groups: int | None
    recall: Estimate
    precision: Estimate
    auroc: Estimate
    average_precision: Estimate


@dataclasses.dataclass(frozen=True)
class Measured:
    """What `measure` found. ``print`` shows the main numbers, `as_dict` gives all of them for JSON.

    Args:
        images: how many were measured.
        groups: how many things they show; None where nobody said.
        accuracy: the share that is called right.
        largest: the largest class, and its share: the accuracy of a network that always says so.
        confusion: images by true class (row) and called class (column).
        classes: the numbers of each class.
        detection: defects against good images; None where no good class was named.
        calibration: can the probabilities be taken at their word?
        level: of all intervals.
    """

    images: int
    groups: int | None
    accuracy: Estimate
    largest: tuple[str, float]
    confusion: tuple[tuple[int, ...], ...]
    classes: tuple[ClassNumbers, ...]
    detection: Detection | None
    calibration: Calibration
    level: float

    def __str__(self) -> str:
        """The main numbers, a line for each."""
        name, part = self.largest
        lines = [f"accuracy: {self.accuracy} (always saying {name!r}: {part:.2f})"]
        if self.detection is not None:
            lines += [
                f"defects found: {self.detection.recall}",
                f"false alarms: {self.detection.false_alarms}",
                f"AUROC of defect against {self.detection.good!r}: {self.detection.auroc}",
            ]
        lines += [f"recall of {one.name!r}: {one.recall}" for one in self.classes]
        return "\n".join([*lines, f"expected calibration error: {self.calibration.ece:.3f}"])

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON takes it; what is undefined is None, beside a reason."""
        return dataclasses.asdict(self)


def measure(
    logits: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    *,
    good: str | None = None,
    groups: Tensor | None = None,
    valid: tuple[Tensor, Tensor] | None = None,
    recall: float = 0.95,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Measured:
    """The numbers of a classifier, from its logits and the true labels, as `predict` gives them.

    Shares have Wilson's intervals, or with groups the bootstrap over groups (see `share`). AUROC and average precision
    of defects have the bootstrap's; those of single classes have none. They come from scikit-learn.

    Args:
        logits: (N, classes).
        labels: (N,), whole numbers.
        classes: the names of the classes.
        good: the class without a defect; all others are defects. None leaves `Measured.detection` out.
        groups: (N,); images of one group show one thing.
        valid: logits and labels of validation images, to choose the threshold on. None chooses it on the test images,
            which `Threshold.chosen_on` tells.
        recall: the share of the defects that the threshold has to find.
        level: of the intervals.
        resamples, seed: of the bootstrap.

    Raises:
        ValueError: lengths, labels or the good class do not fit, or logits hold NaN.
        TypeError: an argument is of another kind.
        ImportError: scikit-learn or SciPy is missing.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.5, 0.0], [0.0, 1.0], [3.0, 0.0]])
        >>> print(measure(logits, torch.tensor([0, 0, 1, 1]), ("good", "crack"), good="good"))
        accuracy: 0.75 [0.30, 0.95], 3 of 4 (always saying 'good': 0.50)
        defects found: 0.50 [0.09, 0.91], 1 of 2
        false alarms: 0.00 [0.00, 0.66], 0 of 2
        AUROC of defect against 'good': 0.50 [0.00, 1.00]
        recall of 'good': 1.00 [0.34, 1.00], 2 of 2
        recall of 'crack': 0.50 [0.09, 0.91], 1 of 2
        expected calibration error: 0.430
    """
    P, truth = probabilities("logits", logits, labels, classes)
    N, called = len(truth), P.argmax(1)
    if good is not None:
        choose("good", good, classes)
    number("recall", recall, 0, 1)
    if groups is not None and tensor("groups", groups, "N").shape != (N,):
        raise ValueError(f"{len(groups)} groups for {N} images: give one number for each image")
    sampling = Sampling(level, None if groups is None else groups.cpu(), resamples, whole("seed", seed))
    counts = np.bincount(truth, minlength=len(classes))
    return Measured(
        images=N,
        groups=None if groups is None else len(torch.unique(groups)),
        accuracy=share(called == truth, np.ones(N, bool), sampling, "there are no images"),
        largest=(classes[int(counts.argmax())], float(counts.max() / N)),
        confusion=confusion_of(truth, called, len(classes)),
        classes=tuple(
            numbers_of(k, name, P[:, k], truth == k, called == k, sampling) for k, name in enumerate(classes)
        ),
        detection=None if good is None else detection_of(P, truth, classes, sampling, good, recall, valid),
        calibration=calibrate(P.max(1), called == truth),
        level=level,
    )


def probabilities(name: str, logits: Tensor, labels: Tensor, classes: Sequence[str]) -> tuple[Numbers, Any]:
    """Softmax (N, classes) in float64 and labels (N,), both for NumPy, or an error that says what does not fit."""
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not all(isinstance(c, str) for c in classes):
        raise TypeError(f"classes must be a list of names, got {classes!r}")
    N, K = tensor(name, logits, "N, classes", floating=True, least=1).shape
    if len(classes) != K or len(set(classes)) != K:
        raise ValueError(
            f"{name} have {K} columns, but there are {len(set(classes))} names of classes: give one for each"
        )
    if whole_labels(tensor("labels", labels, "N")).shape != (N,):
        raise ValueError(f"{len(labels)} labels for {N} {name}: give one for each image")
    if not logits.isfinite().all():
        raise ValueError(f"{name} hold NaN or infinity, which no score can rank: look at the model, or the images")
    if not 0 <= int(labels.min()) <= int(labels.max()) < K:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}, but there are {K} classes")
    return torch.softmax(logits.detach().double().cpu(), 1).numpy(), labels.cpu().numpy()


def confusion_of(truth: Any, called: Any, K: int) -> tuple[tuple[int, ...], ...]:
    """Images by true class (row) and called class (column)."""
    counts = np.bincount(truth * K + called, minlength=K * K).reshape(K, K)
    return tuple(tuple(map(int, row)) for row in counts)


def numbers_of(k: int, name: str, P: Numbers, member: Flags, called: Flags, sampling: Sampling) -> ClassNumbers:
    """The numbers of one class, from its probability (N,), which images are of it, and which are called so."""
    try:
        from sklearn.metrics import average_precision_score, roc_auc_score
    except ImportError as error:
        raise ImportError("AUROC and average precision come from scikit-learn: pip install scikit-learn") from error
    groups = None if sampling.groups is None else len(torch.unique(sampling.groups[torch.from_numpy(member)]))
    return ClassNumbers(
        name,
        int(member.sum()),
        groups,
        share(called, member, sampling, "no test image is of this class"),
        share(member, called, sampling, "no test image is called so"),
        ranking(roc_auc_score, member, P, None),
        ranking(average_precision_score, member, P, None),
    )


def detection_of(
    P: Numbers,
    truth: Any,
    classes: Sequence[str],
    sampling: Sampling,
    good: str,
    recall: float,
    valid: tuple[Tensor, Tensor] | None,
) -> Detection:
    """Defects against good images; every class but the good one is a defect."""
    g = list(classes).index(good)
    chosen = None
    if valid is not None:
        if not isinstance(valid, tuple | list) or len(valid) != 2:
            raise TypeError(f"valid must be (logits, labels), as predict gives them, got {type(valid).__name__}")
        valid_P, valid_truth = probabilities("logits of valid", *valid, classes)
        chosen = defect_probability(valid_P, g), valid_truth != g
    score, named = defect_probability(P, g), P.argmax(1) != g
    return detect(score, truth != g, named, sampling, good=good, recall=recall, valid=chosen)


def defect_probability(P: Numbers, good: int) -> Numbers:
    """P(defect) (N,), as the sum over the defects: 1 - P(good) would round small ones away."""
    return np.delete(P, good, 1).sum(1)
