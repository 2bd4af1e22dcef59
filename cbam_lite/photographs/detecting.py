"""Defect or good? How many defects are missed, and what it costs to miss fewer.

A network with several kinds of defect decides for the most probable class, and a defect with three possible names may
lose against "good". So the question is asked by itself, of P(defect) = 1 - P(good), with a threshold of its own::

    image is a defect  if  P(defect) >= t        t = the highest with  recall(t) >= wanted,  on validation images
"""

import dataclasses
import math

import numpy as np

from cbam_lite.photographs.intervals import Estimate, Flags, Numbers, Sampling, ranking, share


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A threshold on P(defect), and what it gives on the test images.

    Args:
        wanted: the recall that it was chosen for.
        value: an image with P(defect) of at least that counts as a defect. None where there is no defect to choose by.
        chosen_on: "validation", or "test": then recall and false alarms are those of the images it was chosen on, and
            look better than they will be.
        chosen_by: how many defects it was chosen by. A recall of 0.95 needs far more than 20.
        recall: the share of the defects that is found.
        false_alarms: the share of the good images that is taken for defects.
        precision: the share of defects among the images that are taken for one.
    """

    wanted: float
    value: float | None
    chosen_on: str
    chosen_by: int
    recall: Estimate
    false_alarms: Estimate
    precision: Estimate


@dataclasses.dataclass(frozen=True)
class Detection:
    """Defects against good images.

    Args:
        good: the name of the good class.
        recall: the share of the defects for which the most probable class is any defect.
        false_alarms: the share of the good images for which it is any defect.
        auroc: how often a defect has a higher P(defect) than a good image. 0.5 is chance.
        average_precision: of the ranking by P(defect); chance is the share of the defects.
        defects: that share.
        threshold: what another threshold than the most probable class gives.
    """

    good: str
    recall: Estimate
    false_alarms: Estimate
    auroc: Estimate
    average_precision: Estimate
    defects: float
    threshold: Threshold


def threshold_for(scores: Numbers, recall: float) -> float | None:
    """The highest threshold that finds at least this share of the defects, whose scores (N,) are given."""
    if not len(scores):
        return None
    needed = max(1, math.ceil(recall * len(scores) - 1e-9))  # 0.55 * 100 is 55, whatever floats say
    return float(np.sort(scores)[::-1][needed - 1])


def detect(
    P: Numbers,
    defect: Flags,
    named: Flags,
    sampling: Sampling,
    *,
    good: str,
    recall: float,
    valid: tuple[Numbers, Flags] | None,
) -> Detection:
    """Everything about defects against good images.

    Args:
        P: P(defect) of the test images, (N,).
        defect: which of them are defects, (N,).
        named: for which of them the most probable class is a defect, (N,).
        sampling: how intervals are made.
        good: the name of the good class.
        recall: the recall to choose a threshold for.
        valid: P(defect) of other images, and which of them are defects, to choose by.
    """
    try:
        from sklearn.metrics import average_precision_score, roc_auc_score
    except ImportError as error:
        raise ImportError("AUROC and average precision come from scikit-learn: pip install scikit-learn") from error
    chosen_P, chosen_defect = (P, defect) if valid is None else valid
    value = threshold_for(chosen_P[chosen_defect], recall)
    where = "test" if valid is None else "validation"
    no_defect, no_good = "no test image shows a defect", f"no test image is {good!r}"
    if value is None:
        unchosen = Estimate(None, why=f"no {where} image shows a defect to choose a threshold by")
        rates = (unchosen, unchosen, unchosen)
    else:
        found = P >= value
        rates = (
            share(found, defect, sampling, no_defect),
            share(found, ~defect, sampling, no_good),
            share(defect, found, sampling, "no test image is taken for a defect"),
        )
    return Detection(
        good,
        share(named, defect, sampling, no_defect),
        share(named, ~defect, sampling, no_good),
        ranking(roc_auc_score, defect, P, sampling),
        ranking(average_precision_score, defect, P, sampling),
        float(defect.mean()),
        Threshold(recall, value, where, int(chosen_defect.sum()), *rates),
    )
