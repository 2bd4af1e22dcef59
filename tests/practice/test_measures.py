"""The judges of scores: right ones pass, wrong ones are named, and the cases tell them apart."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from collection import known_averages, known_measures
from collection.entries import ENTRIES, Entry

from cbam_lite.detection.average_precision import (
    COCO_POINTS,
    VOC_POINTS,
    area_under,
    envelope,
    interpolated,
    precision_recall,
)
from cbam_lite.explaining import localize
from cbam_lite.practice import measures, words_measures
from cbam_lite.practice.judging import check
from cbam_lite.practice.trial import Refused
from cbam_lite.practice.wrong_averages import AVERAGE_PRECISION
from cbam_lite.practice.wrong_scores import BOX_IOU, ENERGY, MASK_IOU, POINTING, Values, valued

LIKES = ("pointing", "energy", "mask IoU", "box IoU", "average precision")
OURS = [e for e in ENTRIES if e.name.startswith(("known_measures.", "known_averages."))]
TABLES = {
    "pointing": (measures.pointing_cases(), POINTING),
    "energy": (measures.energy_cases(), ENERGY),
    "mask IoU": (measures.mask_cases(), MASK_IOU),
    "box IoU": (measures.box_cases(), BOX_IOU),
    "average precision": (measures.average_precision_cases(), AVERAGE_PRECISION),
}


@pytest.mark.parametrize("entry", OURS, ids=lambda e: f"{e.like}-{e.name}-{e.key}")
def test_each_known_one(entry: Entry) -> None:
    answer = check(entry.thing, entry.like)
    assert (answer.passed, answer.key) == (not entry.key, entry.key), answer


@pytest.mark.parametrize("like", LIKES)
def test_the_cases_tell_all_mistakes_apart(like: str) -> None:
    """Each mistake differs from each right value, and from each mistake with another name."""
    cases, known = TABLES[like]
    values = measures.table(cases, known)
    same = {
        (known[i][0], known[j][0])
        for i in range(len(known))
        for j in range(i)
        if known[i][0] != known[j][0]
        and all(measures.agree(a, b, False) for a, b in zip(values[i], values[j], strict=True))
    }
    assert same == set()


@pytest.mark.parametrize(("like", "function"), [("pointing", localize.pointing), ("energy", localize.energy)])
def test_right_scores_of_maps_are_those_of_the_package(like: str, function: Any) -> None:
    cases, known = TABLES[like]
    for case in cases:
        S, M = case.inputs
        if not case.signed:
            assert valued(known[0][1], (S, M)) == pytest.approx(float(function(S[None], M[None])))


def test_right_overlaps_are_those_of_the_package() -> None:
    for case in TABLES["box IoU"][0]:
        assert valued(BOX_IOU[0][1], case.inputs) == pytest.approx(float(localize.box_iou(*case.inputs)))
    for case in TABLES["mask IoU"][0]:
        a, b = case.inputs
        assert valued(MASK_IOU[0][1], (a, b)) == pytest.approx(float(localize.mask_iou(a[None].float(), b[None])))


def test_right_averages_are_those_of_the_package() -> None:
    for case in TABLES["average precision"][0]:
        P, R = precision_recall(*case.inputs)
        expected = (
            area_under(envelope(P), R),
            interpolated(P, R, VOC_POINTS).mean(),
            interpolated(P, R, COCO_POINTS).mean(),
        )
        assert [valued(f, case.inputs) for _, f in AVERAGE_PRECISION[:3]] == pytest.approx(expected)


def test_conventions_are_named() -> None:
    assert check(known_measures.numpy_share, "energy").convention == "it takes NumPy arrays"
    assert check(localize.energy, "energy").convention == "it takes batches; it refuses maps with negative values"
    assert check(known_averages.hundred, "average precision").convention.startswith("101 points, as COCO")
    assert check(known_measures.with_numbers, "mask IoU").convention == "it takes masks of 0 and 1"


@pytest.mark.parametrize(
    ("value", "number"),
    [(True, 1.0), (np.bool_(False), 0.0), (torch.tensor([0.5]), 0.5), ([[0.25]], 0.25), (np.float32(2), 2.0)],
)
def test_what_counts_as_a_number(value: Any, number: float) -> None:
    assert measures.number_of(value) == number


@pytest.mark.parametrize("value", [None, "yes", torch.zeros(2), (0.5, [1, 2])])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(Refused):
        measures.number_of(value)


def test_an_error_is_shown_with_its_input() -> None:
    answer = check(lambda a, b: a.no_such(b), "box IoU")
    assert answer.key == "raises"
    assert "no_such" in answer.says
    assert "shape (4,)" in answer.says


def test_an_error_on_some_inputs_only() -> None:
    def picky(a: Any, b: Any) -> Any:
        if min(a[2], b[2]) < max(a[0], b[0]):
            raise RuntimeError("apart")
        return localize.box_iou(torch.as_tensor(a), torch.as_tensor(b))

    answer = check(picky, "box IoU")
    assert answer.key == "raises"
    assert "do not overlap" in answer.tried[-1]


def test_small_inputs_are_said_in_full() -> None:
    answer = check(lambda a, b: 0.3, "box IoU")
    assert answer.key == "constant"
    assert "[2.0, 3.0, 12.0, 9.0]" in answer.says
    assert "0.3043" in answer.says
    assert check(lambda a, b: math.nan, "box IoU").key == "nan"


def test_what_cannot_be_called() -> None:
    assert check(0.5, "energy").key == "not_a_function"


def test_each_key_has_words() -> None:
    tables: list[Values] = [POINTING, ENERGY, MASK_IOU, BOX_IOU, AVERAGE_PRECISION]
    assert {key for known in tables for key, _ in known if key} <= set(words_measures.MISTAKES)
    for mistake in words_measures.MISTAKES.values():
        assert len(set(mistake.hints)) == 3
        assert not mistake.name.endswith(".")
        assert all(hint.endswith((".", "?")) for hint in mistake.hints)
