"""Does a map lie on the object, do two boxes agree, how good is a detector? Scores, on cases that tell mistakes apart.

A score is one number, so there is nothing to take apart. The cases are chosen such that each mistake of `wrong_scores`
gives another number than the right score in some of them, and no two mistakes give the same in all.
"""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor

from cbam_lite.practice.trial import Refused, Trial
from cbam_lite.practice.wrong_averages import AVERAGE_PRECISION, RULES
from cbam_lite.practice.wrong_scores import BOX_IOU, ENERGY, MASK_IOU, POINTING, Values, valued

TOLERANCE = 1e-5  # a student may compute in float32, or add 1e-6 to a denominator


class Case(NamedTuple):
    tries: str  # the property, the same sentence for all of its cases
    inputs: tuple[Any, ...]  # tensors and whole numbers
    signed: bool = False  # a map with negative values, which a careful function may refuse


# In this order: what the inputs may have to be, and how to say so.
FORMS: dict[str, Callable[[Tensor], Any]] = {
    "": lambda x: x.clone(),
    "it takes NumPy arrays": lambda x: x.numpy().copy(),
    "it takes lists": lambda x: x.tolist(),
    "it takes batches": lambda x: x[None].clone(),
    "it takes batches of NumPy arrays": lambda x: x[None].numpy().copy(),
    "it takes masks of 0 and 1": lambda x: x.double().clone(),
    "it takes NumPy masks of 0 and 1": lambda x: x.double().numpy().copy(),
}


# ---- asking ----------------------------------------------------------------------------------------------------------


def number_of(value: Any) -> float:
    """The one number that came back, or a refusal that says what came instead."""
    if value is None:
        raise Refused("unfilled", "there is nothing to check yet: None came back; is a return missing?")
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value, dtype=np.float64)
    except (TypeError, ValueError):
        raise Refused("not_a_number", f"{type(value).__name__} came back: one number is expected") from None
    if array.size != 1:
        raise Refused("not_a_number", f"{array.size} numbers came back, of shape {array.shape}: one is expected")
    return float(array.reshape(()))


def one_answer(trial: Trial, thing: Any, case: Case, form: Callable[[Tensor], Any]) -> float | Refused:
    """The number for one case, or why there is none."""
    inputs = [form(x) if isinstance(x, Tensor) else x for x in case.inputs]
    before = [form(x) if isinstance(x, Tensor) else x for x in case.inputs]
    try:
        found = number_of(trial.run(thing, *inputs))
    except Refused as refusal:
        return refusal
    if any(not np.array_equal(np.asarray(x), np.asarray(y)) for x, y in zip(before, inputs, strict=True)):
        return Refused("input_changed", "after the call an input holds other values than before")
    return found


def agree(found: float | Refused, value: float, signed: bool) -> bool:
    if isinstance(found, Refused):
        return math.isnan(value) or (signed and isinstance(found.__cause__, ValueError | AssertionError))
    return math.isnan(value) or abs(found - value) <= TOLERANCE * max(1.0, abs(value))


def fits(answers: Sequence[float | Refused], values: Sequence[float], cases: Sequence[Case]) -> list[bool]:
    return [agree(a, v, case.signed) for a, v, case in zip(answers, values, cases, strict=True)]


def judged(trial: Trial, thing: Any, cases: Sequence[Case], known: Values) -> tuple[int, str]:
    """Which of the right values it gives, by its place in `known`, and what it wants of its inputs; or a refusal."""
    if not callable(thing):
        trial.refuse("not_a_function", f"a function is expected, not {type(thing).__name__}")
    thing = trial.run(thing) if inspect.isclass(thing) else thing
    values = table(cases, known)
    by_form = {form: [one_answer(trial, thing, case, turn) for case in cases] for form, turn in FORMS.items()}
    rights = [n for n, (key, _) in enumerate(known) if not key]
    passed = ((form, n) for form, answers in by_form.items() for n in rights if all(fits(answers, values[n], cases)))
    form, right = next(passed, ("", -1))
    if right < 0:
        ran = (answers for answers in by_form.values() if any(not isinstance(answer, Refused) for answer in answers))
        refuse(trial, next(ran, by_form[form]), values, cases, known)
    for sentence in dict.fromkeys(case.tries for case in cases):
        trial.tries(sentence)
    refuses = any(isinstance(answer, Refused) for answer in by_form[form])
    return right, convention(form, "it refuses maps with negative values" if refuses else "")


def table(cases: Sequence[Case], known: Values) -> list[list[float]]:
    return [[valued(function, case.inputs) for case in cases] for _, function in known]


def refuse(
    trial: Trial, answers: list[float | Refused], values: list[list[float]], cases: Sequence[Case], known: Values
) -> NoReturn:
    """Walk along the cases to the first that is wrong, and name the mistake that gives these very answers."""
    rights = [n for n, (key, _) in enumerate(known) if not key]
    nearest = max(rights, key=lambda n: sum(fits(answers, values[n], cases)))
    named = (n for n, (key, _) in enumerate(known) if key and all(fits(answers, values[n], cases)))
    key = next((known[n][0] for n in named), "")
    good = fits(answers, values[nearest], cases)
    for case, found, value, fine in zip(cases, answers, values[nearest], good, strict=True):
        if case.tries not in trial.tried:
            trial.tries(case.tries)
        if isinstance(found, Refused) and not fine:
            raise Refused(key, f"an error: {found}") if key else found
        if not fine:
            trial.refuse(key or unnamed(answers), f"{in_numbers(case)} it gives {found:.4g}, right is {value:.4g}")
    raise AssertionError("an answer that fits no right value has a case that does not")


def unnamed(answers: list[float | Refused]) -> str:
    """A key for answers that no known mistake gives: all the same, or no number."""
    numbers = [answer for answer in answers if not isinstance(answer, Refused)]
    if any(math.isnan(number) for number in numbers):
        return "nan"
    return "constant" if len(numbers) > 3 and max(numbers) - min(numbers) < TOLERANCE else ""


def in_numbers(case: Case) -> str:
    """Small inputs in full, so that the case can be done by hand; maps by their shape."""
    small = [x for x in case.inputs if not (isinstance(x, Tensor) and x.dim() > 1)]
    if not small:
        return f"{' x '.join(map(str, case.inputs[0].shape))} pixels, {int(case.inputs[1].sum())} in the mask:"
    numbers = [[round(v, 3) for v in x.tolist()] if isinstance(x, Tensor) else x for x in small]
    return "for " + " and ".join(map(str, numbers))


# ---- cases -----------------------------------------------------------------------------------------------------------


def random_map(seed: int, H: int, W: int) -> Tensor:
    return torch.rand(H, W, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def corner(H: int, W: int, row: int, column: int, size: int = 4) -> Tensor:
    """A mask like an L, which does not fill its box: a square without its upper right quarter."""
    M = torch.zeros(H, W, dtype=torch.bool)
    M[row : row + size, column : column + size] = True
    M[row : row + size // 2, column + size // 2 : column + size] = False
    return M


def pointed(tries: str, seed: int, shape: tuple[int, int], L: tuple[int, int], at: tuple[int, int]) -> Case:
    S = random_map(seed, *shape)
    S[at] = 1.5
    return Case(tries, (S, corner(*shape, *L)))


def pointing_cases() -> list[Case]:
    square = "maps of 7 x 7 with the peak inside and outside the mask: 1 and 0"
    wide = "maps of 7 x 10, which are not square: 1 where the peak is inside, 0 where it is not"
    notch = "an L-shaped mask, the peak in its box but not in the mask, or next to it: 0"
    signed = "maps with negative values: the largest value counts, not the most negative"
    cases = [pointed(square, s, (7, 7), (1, 2), at) for s, at in enumerate([(1, 3), (4, 5), (6, 0), (2, 4)])]
    spots = [(1, 2), (2, 3), (4, 5), (5, 1), (3, 6), (6, 8), (2, 1), (4, 4), (0, 9), (5, 3)]
    cases += [pointed(wide, 10 + s, (7, 10), (1 + s % 3, 1 + s % 4), at) for s, at in enumerate(spots)]
    spots = [(1, 4), (2, 5), (0, 2), (5, 3), (3, 1), (1, 6), (6, 2), (4, 7), (3, 9)]
    cases += [pointed(notch, 30 + s, (7, 10), (1, 2), at) for s, at in enumerate(spots)]
    for seed, best, worst in ((50, (2, 2), (6, 9)), (51, (0, 8), (4, 4)), (52, (3, 3), (0, 0)), (53, (6, 7), (3, 2))):
        S = random_map(seed, 7, 10) - 0.5
        S[best], S[worst] = 1.0, -2.0
        cases.append(Case(signed, (S, corner(7, 10, 1, 2)), signed=True))
    for seed, at in ((60, (3, 2)), (61, (0, 0))):  # much of the map's sum lies where the peak does not
        S = 0.3 * random_map(seed, 7, 10)
        S[at], S[5:, 6:] = 1.0, 0.8
        cases.append(Case(wide, (S, corner(7, 10, 1, 2))))
    return cases


def energy_cases() -> list[Case]:
    positive = "positive maps of 6 x 9: the share of their sum inside the mask"
    scaled = "the same map, 50 times as large: the same share"
    signed = "maps with negative values: they count as 0, inside and outside"
    masks = [corner(6, 9, 1, 2), corner(6, 9, 2, 4), corner(6, 9, 0, 0, 6)]
    cases = [Case(positive, (0.2 + random_map(s, 6, 9), M)) for s, M in enumerate(masks)]
    cases += [Case(positive, ((random_map(5, 6, 9) - 0.4).relu(), masks[0]))]
    cases += [Case(scaled, (50 * (0.2 + random_map(0, 6, 9)), masks[0]))]
    return cases + [Case(signed, (random_map(7 + s, 6, 9) - 0.4, M), signed=True) for s, M in enumerate(masks)]


def mask_cases() -> list[Case]:
    square = torch.zeros(7, 10, dtype=torch.bool)
    square[2:5, 3:9] = True
    small, far = corner(7, 10, 2, 3, 2), corner(7, 10, 1, 8, 2)
    overlap = "masks of 7 x 10 that overlap: common pixels / pixels in one or both"
    return [
        Case(overlap, (corner(7, 10, 1, 2), square)),
        Case(overlap, (square, corner(7, 10, 0, 1, 6))),
        Case(overlap, (corner(7, 10, 0, 4, 6), corner(7, 10, 2, 5))),
        Case("one mask inside the other", (small | square, small)),
        Case("one mask inside the other", (small, small | square)),
        Case("equal masks: 1", (square, square.clone())),
        Case("masks without a common pixel: 0", (corner(7, 10, 2, 1), far)),
    ]


def box_cases() -> list[Case]:
    overlap = "boxes x1, y1, x2, y2 that overlap: common area / area of the union"
    apart = "boxes that do not overlap, apart in x, in y, or in both: 0"
    rows = [
        (overlap, (2.0, 3.0, 12.0, 9.0), (5.0, 1.0, 15.0, 7.0)),
        (overlap, (10.0, 20.0, 40.0, 35.0), (20.0, 15.0, 55.0, 30.0)),
        (overlap, (2.0, 12.0, 9.0, 30.0), (4.0, 10.0, 11.0, 25.0)),
        ("coordinates between pixels", (1.3, 2.6, 7.8, 9.1), (3.7, 0.4, 11.2, 6.9)),
        ("one box inside the other", (2.0, 3.0, 20.0, 13.0), (5.0, 4.0, 9.0, 11.0)),
        ("one box inside the other", (5.0, 4.0, 9.0, 11.0), (2.0, 3.0, 20.0, 13.0)),
        ("equal boxes: 1", (3.0, 4.0, 10.0, 8.0), (3.0, 4.0, 10.0, 8.0)),
        (apart, (1.0, 2.0, 4.0, 9.0), (8.0, 3.0, 11.0, 7.0)),
        (apart, (1.0, 2.0, 5.0, 6.0), (2.0, 9.0, 7.0, 12.0)),
        (apart, (1.0, 2.0, 4.0, 5.0), (8.0, 9.0, 14.0, 12.0)),
        ("boxes that touch: 0", (1.0, 2.0, 6.0, 8.0), (6.0, 2.0, 9.0, 8.0)),
    ]
    return [Case(s, (torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))) for s, a, b in rows]


def average_precision_cases() -> list[Case]:
    sorted_ = "detections from the most confident down, 1 for correct: the area under precision over recall"
    mixed = "the same in another order: the same area"
    missed = "some of the true objects are never found: recall does not reach 1"
    rows = [
        (sorted_, "1011010", 4),
        (sorted_, "0110111001", 6),
        (mixed, "1011010", 4),
        (mixed, "0110111001", 6),
        (missed, "10110", 7),
        (missed, "001101001", 13),
        (missed, "0001", 3),
        ("all detections are correct, all objects found: 1", "11111", 5),
        ("no detection is correct: 0", "0000", 3),
    ]
    cases = []
    for seed, (sentence, hits, truths) in enumerate(rows):
        correct = torch.tensor([h == "1" for h in hits])
        confidences = torch.linspace(0.95, 0.2, len(hits), dtype=torch.float64)
        order = torch.arange(len(hits)) if sentence == sorted_ else torch.from_numpy(shuffled(len(hits), seed))
        cases.append(Case(sentence, (confidences[order], correct[order], truths)))
    return cases


def shuffled(n: int, seed: int) -> Any:
    return np.random.default_rng(seed).permutation(n)


# ---- the five judges -------------------------------------------------------------------------------------------------


def convention(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def judge(cases: Callable[[], list[Case]], known: Values, trial: Trial, thing: Any) -> str:
    return judged(trial, thing, cases(), known)[1]


pointing = functools.partial(judge, pointing_cases, POINTING)  # (map (H, W), mask (H, W)) -> is the peak inside?
energy = functools.partial(judge, energy_cases, ENERGY)  # (map (H, W), mask (H, W)) -> share inside the mask
mask_iou = functools.partial(judge, mask_cases, MASK_IOU)  # (mask (H, W), mask (H, W)) -> IoU
box_iou = functools.partial(judge, box_cases, BOX_IOU)  # (box (4,), box (4,)) -> IoU


def average_precision(trial: Trial, thing: Any) -> str:
    """(confidences (n,), correct (n,), truths) -> AP of one class, by one of three rules, which is named."""
    right, form = judged(trial, thing, average_precision_cases(), AVERAGE_PRECISION)
    return convention(list(RULES)[right], form)
