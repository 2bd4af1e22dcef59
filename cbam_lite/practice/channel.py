"""The judges of the channel gates with an MLP: squeeze-and-excitation (SE), CBAM's channel attention."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cbam_lite.practice import formulas
from cbam_lite.practice.eca import eca as eca  # the judge of ECA
from cbam_lite.practice.gates import at_limits, contract, limits
from cbam_lite.practice.network import mlp_of
from cbam_lite.practice.sizes import uses
from cbam_lite.practice.structure import (
    INVERSES,
    bends,
    descriptors,
    same_averages,
    same_averages_and_maxima,
    structure,
    three,
)
from cbam_lite.practice.subject import Subject, close, ready, subject
from cbam_lite.practice.trial import Trial, build, called, shake
from cbam_lite.practice.weights import Formula, Weights, assignments, matching

C, R, UNITS = 24, 4, 6  # channels, reduction, hidden units of the modules that we make
VALUES = {"channels": C, "reduction": R}
LAYOUTS = (
    ((UNITS, C), (C, UNITS)),
    ((UNITS, C), (UNITS,), (C, UNITS), (C,)),
    ((UNITS, C), (C, UNITS), (UNITS,), (C,)),
)
SE_EQUATION = "sigmoid(W_1 relu(W_0 a)), a the average of each channel of F"
BOTH_EQUATION = "sigmoid(W_1 relu(W_0 a) + W_1 relu(W_0 m)), a and m the average and the maximum of each channel of F"


Pairs = list[tuple[Tensor, Tensor]]  # maps F (B, C, H, W) and the gates R of the student's module, at each place


def squeeze_excitation(trial: Trial, thing: Any) -> str:
    """SE: F scaled by one gate for each channel, from the averages through a narrow MLP."""
    s = subject(trial, thing, VALUES, LAYOUTS)
    contract(s)
    wrong = [formula for close in formulas.RIGHT_CLOSINGS.values() for formula in formulas.se_wrong(close)]
    return judged(s, thing, Equation(SE_EQUATION, formulas.se_right, wrong, same_averages))


def channel_attention(trial: Trial, thing: Any) -> str:
    """CBAM's channel gate: averages and maxima through one MLP, added, one sigmoid. The gate alone is right, too."""
    s = subject(trial, thing, VALUES, LAYOUTS, gate_alone=True)
    contract(s)
    wrong = [formula for close in formulas.RIGHT_CLOSINGS.values() for formula in formulas.both_wrong(close)]
    return judged(s, thing, Equation(BOTH_EQUATION, formulas.both_right, wrong, same_averages_and_maxima))


class Equation(NamedTuple):
    """What a channel gate should compute.

    Attributes:
        words: the equation.
        right: the right formulas, by their convention.
        wrong: those with one thing wrong, by the key of the mistake.
        alike: another map F with the same descriptors.
    """

    words: str
    right: Callable[[], Iterator[Formula]]
    wrong: list[Formula]
    alike: Callable[[Tensor], Tensor]


def judged(s: Subject, thing: Any, equation: Equation) -> str:
    """The gates against the equation, computed with the student's own weights, in two draws of them; the convention."""
    s.trial.tries(
        f"two draws of weights, three batches each: the gates M_c = out / F are {equation.words}, to 6 digits"
    )
    for seed in (1, 2):
        shake(s.module, seed)
        pairs = measured(s)
        found = matching(equation.right(), s.parameters().values(), pairs, C=s.channels)
        if found is None:
            named(s, pairs, s.parameters().values(), equation)
            found = from_outside(s, pairs, equation)
        if found is None:
            limits(s)
            structure(s)
            descriptors(s, equation.alike)
            bends(s)
            return s.trial.refuse("", f"the gates are not {equation.words}, and not a mistake that is known here")
        formula, weights = found
    s.trial.tries(f"the hidden layer has C / r units, fewer than C = {s.channels}")
    waist(s, thing, weights)
    return convention(s, formula, weights)


def measured(s: Subject) -> Pairs:
    """Pairs (F, R): usual maps, many small ones, and large values."""
    given = [s.maps(0), s.maps(3, batch=8, size=(5, 7)), 20 * s.maps(4, size=(6, 5))]
    return [(F, s.R(F)) for F in given]


def from_outside(s: Subject, pairs: Pairs, equation: Equation) -> tuple[Formula, Weights] | None:
    """The same with weights that are measured, for one descriptor, and for two that are equal on constant maps."""
    for _, inverse in INVERSES.values():
        w = mlp_of(s, inverse)
        if w is None:
            continue
        halves = [{**w, "W_1": share * w["W_1"], "b_1": share * w["b_1"]} for share in (1.0, 0.5)]
        ways = [[v for v in half.values() if v.abs().max() > 1e-6] for half in halves]  # without biases that are 0
        for way in ways:
            found = matching(equation.right(), way, pairs, tolerance=1e-5, C=s.channels)
            if found is not None:
                own(s, found[1])
                unlike(s, pairs[0], equation)
                return found
        for way in ways:
            named(s, pairs, way, equation, 1e-5)
    return None


def own(s: Subject, weights: Weights) -> None:
    """The measured weights are as many as the module's own; and only what the paper has stands between them."""
    numbers = sum(p.numel() for p in s.parameters().values())
    wanted = weights["W_0"].numel() + weights["W_1"].numel()
    if numbers < 0.9 * wanted:
        s.trial.refuse("tied_weights", f"W_0 and W_1 have {wanted} numbers, the module has {numbers}")
    note = "with a batch norm in the MLP, which the paper has not"
    if note not in s.notes and any(name.endswith("running_mean") for name, _ in s.module.named_buffers()):
        s.notes.append(note)


def unlike(s: Subject, pair: tuple[Tensor, Tensor], equation: Equation) -> None:
    """Refuse an MLP of other numbers than W_0 and W_1, if the module's weights are plainly those two."""
    F, M = pair
    right = next(equation.right())
    if any(p.dim() > 1 and p.numel() == len(p) > 1 for p in s.parameters().values()):
        return  # lengths and directions (weight norm) are not W_0, W_1 and biases, though their shapes fit
    for weights in assignments(s.parameters().values(), right.needs, C=s.channels):
        expected, z = (torch.logit(gates[:, :, 0, 0]) for gates in (right.gates(F, weights), M))
        says = f"the first logits of the first image are {three(z[0, :3])}, with your weights {three(expected[0, :3])}"
        ratio = (z * expected).sum() / expected.square().sum()
        if close(z, ratio * expected, 1e-7):
            s.trial.refuse("logits_scaled", f"{says}: {ratio.item():.4g} times as large")
        if close(z.sort().values, expected.sort().values, 1e-7):
            s.trial.refuse("channels_permuted", f"{says}: the same numbers, at other channels")
    if any(True for _ in assignments(s.parameters().values(), right.needs, C=s.channels)):
        s.trial.refuse("", f"the gates are those of an MLP, but not with your weights in {equation.words}")


def named(s: Subject, pairs: Pairs, parameters: Iterable[Tensor], equation: Equation, tolerance: float = 1e-6) -> None:
    """Refuse with the name of the mistake, if one of the wrong formulas agrees."""
    found = matching(equation.wrong, parameters, pairs, tolerance=tolerance, C=s.channels)
    if found is None:
        return
    formula, weights = found
    at_limit = at_limits(s)
    if at_limit and at_limit[0] == formula.key:
        s.trial.refuse(*at_limit)
    F, M = pairs[0]
    says = f"the first gates of the first image are {three(M[0, :3, 0, 0])}"
    if set(weights) <= {"W_0", "W_1", "b_0", "b_1"} and weights["W_0"].shape[1] == s.channels:
        right = next(equation.right())
        says += f"; with your weights the equation gives {three(right.gates(F, weights)[0, :3, 0, 0])}"
    s.trial.refuse(formula.key, says)


def waist(s: Subject, thing: Any, weights: Weights) -> None:
    """The hidden layer is narrower than C, and r says how narrow."""
    h = weights["W_0"].shape[0]
    if h >= s.channels:
        s.trial.refuse("no_reduction", f"the hidden layer has {h} units for C = {s.channels} channels")
    if s.made and s.channels == C and h != UNITS:
        other_units(s, thing, h)
    uses(s, thing, VALUES, "reduction", (R // 2, 2 * R))


def other_units(s: Subject, thing: Any, h: int) -> None:
    """The hidden layer has h units, not C / r: a number of its own, a mistake, or rounded?"""
    says = f"for C = {C}, r = {R} the hidden layer has {h} units; C / r is {UNITS}"
    if h == R and not reduces(thing):
        s.notes.append("the second number is that of the hidden units")
        return
    large, narrow, wide = 16 * C, units(s, thing, 16 * C, R), units(s, thing, 16 * C, R // 2)
    if h == R and h in narrow:
        s.trial.refuse("reduction_as_units", says)
    if h in narrow and h in wide:
        s.trial.refuse("reduction_ignored", f"{says}; for C = {large} they are {h}, too")
    if not any(abs(n - large // R) <= 8 for n in narrow):  # rounded to a multiple of 8, or at least so many
        s.trial.refuse("wrong_units", f"{says}; for C = {large} it has {min(narrow, default=large)}, not {large // R}")
    s.notes.append(says)


def units(s: Subject, maker: Any, channels: int, reduction: int) -> set[int]:
    """The sizes of the weights of another module from the same maker, apart from C."""
    made = ready(s.trial, build(s.trial, maker, {"channels": channels, "reduction": reduction}), channels)
    return {n for p in made.parameters() for n in p.shape} - {channels, 1}


def reduces(maker: Callable[..., Any]) -> bool:
    """Whether a parameter is called reduction, or r: else the second number may well be that of the hidden units."""
    return any(called(p, "reduction") for p in inspect.signature(maker).parameters.values())


def convention(s: Subject, formula: Formula, weights: Weights) -> str:
    """Which of the right variants it is, in words."""
    biases = [name for name in ("b_0", "b_1") if name in weights]
    words = {0: "no biases", 1: f"one bias ({''.join(biases)})", 2: "biases in both layers"}[len(biases)]
    return "; ".join([words, *([formula.key] if formula.key else []), *s.notes])
