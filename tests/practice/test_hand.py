"""The judge of a convolution by hand: its cases tell all known mistakes apart."""

import inspect
import itertools

import collection.known_hand
import numpy as np
import pytest
import torch
from collection.entries import ENTRIES
from torch.nn import functional

from cbam_lite import check
from cbam_lite.practice.hand import CASES, FORMS, SMALLER, agree, answer, inputs_of, options_of, swapped, value
from cbam_lite.practice.trial import Refused, Trial
from cbam_lite.practice.words_hand import MISTAKES
from cbam_lite.practice.wrong_convolutions import KNOWN, Inputs, right, windows

MINE = [entry for entry in ENTRIES if entry.name.startswith("known_hand.")]


@pytest.mark.parametrize("entry", MINE, ids=lambda entry: entry.name)
def test_known_ones(entry):
    answer = check(entry.thing, like="convolution")
    assert answer.passed == (entry.key == ""), answer
    assert answer.key == entry.key


def test_the_collection_is_here():
    assert collection.known_hand
    assert sum(entry.key == "" for entry in MINE) >= 8
    assert sum(entry.key != "" for entry in MINE) >= 20


def maps(function):
    return [value(function, inputs_of(case, FORMS[0], seed)) for seed, case in enumerate(CASES)]


@pytest.mark.parametrize("n", range(len(KNOWN)), ids=lambda n: f"{n}-{KNOWN[n][0]}")
def test_each_mistake_gives_another_map_in_some_case(n):
    wanted = maps(right)
    assert not all(agree(w, m) for w, m in zip(wanted, maps(KNOWN[n][1]), strict=True))


def test_two_mistakes_with_different_names_give_different_maps():
    all_maps = [maps(function) for _, function in KNOWN]
    for a, b in itertools.combinations(range(len(KNOWN)), 2):
        if KNOWN[a][0] != KNOWN[b][0]:
            same = [m is not None and agree(m, n) for m, n in zip(all_maps[a], all_maps[b], strict=True)]
            assert not all(same), (KNOWN[a][0], KNOWN[b][0])


@pytest.mark.parametrize("key", sorted({key for key, _ in KNOWN}))
def test_a_function_with_each_mistake_is_named(key):
    function = next(f for k, f in KNOWN if k == key)

    def student(image, kernels, bias=None, stride=1, padding=0):
        bias = torch.zeros(len(kernels), dtype=image.dtype) if bias is None else bias
        return function(Inputs(image, kernels, bias, stride, padding))

    found = check(student, like="convolution", hint=3)
    assert not found
    assert found.key == key
    assert any(character.isdigit() for character in found.says)
    assert len(found.hints) == 3


def test_every_key_has_words():
    assert {key for key, _ in KNOWN} | {
        "square_only",
        "fixed_kernel_size",
        "input_changed",
        "not_a_map",
        "not_a_function",
    } <= set(MISTAKES)


def test_right_is_the_sum_of_products():
    i = inputs_of(CASES[-1], FORMS[0], 4)
    assert torch.allclose(windows(i).sum(1), right(i))
    padded = functional.pad(i.image, (2,) * 4)
    by_hand = (padded[:, 3:8, 6:11] * i.kernels[1]).sum()
    assert torch.allclose(right(i)[1, 1, 2], by_hand)


def test_options_are_found_by_name_behind_the_first_two():
    assert options_of(lambda b, k, bias, s=1: 0).keys() == {"bias", "stride"}
    assert options_of(lambda x, w, padding="valid": 0) == {}
    assert options_of(lambda x, w, /, *args: 0) == {}
    assert options_of(print) == {}
    assert swapped(lambda kernel, image: 0)
    assert not swapped(lambda image, kernel: 0)
    assert not swapped(lambda a, b: 0)
    assert options_of(lambda x, w, *, p=0: 0)["padding"].kind is inspect.Parameter.KEYWORD_ONLY


def test_inputs_have_the_shapes_of_the_form():
    full = inputs_of(CASES[0], FORMS[0], 0)
    assert (full.image.shape, full.kernels.shape) == ((3, 7, 9), (4, 3, 3, 3))
    plane, kernel = (next(f for f in SMALLER if f.axes == axes) for axes in ("plane", "kernel"))
    assert inputs_of(CASES[0], plane, 0).kernels.shape == (1, 1, 3, 3)
    assert inputs_of(CASES[0], kernel, 0).kernels.shape == (1, 3, 3, 3)
    assert not full.bias.any()
    assert inputs_of(next(c for c in CASES if "bias" in c.options), FORMS[0], 0).bias.all()


def test_an_input_that_changes_is_seen():
    def scale(image, kernels):
        y = functional.conv2d(image[None], kernels)[0]
        kernels *= 2
        return y

    with pytest.raises(Refused, match="the kernels holds other numbers") as found:
        answer(Trial(), scale, CASES[0], FORMS[0], inputs_of(CASES[0], FORMS[0], 0))
    assert found.value.key == "input_changed"


def test_the_answer_says_what_was_tried():
    def student(x, w, stride=1):
        return functional.conv2d(x[None], w, stride=stride)[0]

    found = check(student, like="convolution")
    assert found.convention == "with stride"
    assert len(found.tried) == 3
    assert "the sum of 27 products" in found.tried[0]


@pytest.mark.parametrize(
    ("thing", "key"),
    [(3, "not_a_function"), (lambda x, w: None, "unfilled"), (lambda x, w: "map", "not_a_map"), (lambda: 1, "raises")],
)
def test_things_that_are_no_convolution(thing, key):
    found = check(thing, like="convolution")
    assert (found.passed, found.key) == (False, key)


def test_an_empty_map_is_not_right():
    found = check(lambda x, w: np.zeros((4, 0, 0)), like="convolution")
    assert (found.passed, found.key) == (False, "wrong_output_size")
