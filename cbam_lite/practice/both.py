"""The judge of CBAM: out = M_c * M_s * F, the channel gate first, and the spatial gate reads F' = M_c F.

R = out / F is the product of both gates. The channel gate is computed with the student's own weights; R divided by it
is the spatial gate, whose convolution is then measured.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cbam_lite.practice import channel, formulas, spatial, windows
from cbam_lite.practice.apart import channel_subject
from cbam_lite.practice.arrangements import wrong_arrangements
from cbam_lite.practice.gates import closing, contract
from cbam_lite.practice.structure import bends, descriptors, same_averages_and_maxima, three
from cbam_lite.practice.subject import Subject, close, subject
from cbam_lite.practice.trial import Trial, shake
from cbam_lite.practice.weights import Formula, Weights, assignments, matching
from cbam_lite.practice.windows import Kernel, Pairs, Reading

MATRICES = ((channel.UNITS, channel.C), (channel.C, channel.UNITS))
WITH_BIASES = (MATRICES[0], (channel.UNITS,), MATRICES[1], (channel.C,))
KERNEL = (1, 2, 7, 7)
LAYOUTS = (
    (*MATRICES, KERNEL),
    (*MATRICES, KERNEL, (1,)),
    (*WITH_BIASES, KERNEL),
    (*WITH_BIASES, KERNEL, (1,)),
)
EXACT = 1e-6


class Parts(NamedTuple):
    """What a right CBAM is found to be."""

    formula: Formula
    weights: Weights
    exact: float  # the digits of the weights: measured ones have fewer
    reading: Reading
    kernel: Kernel


def cbam(trial: Trial, thing: Any) -> str:
    """CBAM: which channels, then where."""
    s = subject(trial, thing, channel.VALUES, LAYOUTS, gates=2)
    applied(s)
    contract(s)
    trial.tries("R = out / F differs from channel to channel and from place to place, and is a product of both")
    two_gates(s)
    trial.tries("the weights of the channel gate change the spatial gate, not the other way round: channels come first")
    order(s)
    kernels = []
    for seed in (1, 2):
        shake(s.module, seed)
        parts = measured(s, say=seed == 1)
        agree(s, parts)
        kernels.append(parts.kernel.weight)
    if close(kernels[0], kernels[1]):
        says = "two draws of all weights among module.parameters() leave the convolution of the spatial gate as it is"
        s.trial.refuse("weights_not_registered", f"{says}: an optimiser will not see it")
    trial.tries(f"the hidden layer has C / r units, fewer than C = {s.channels}")
    channel.waist(s, thing, parts.weights)
    first, *rest = channel.convention(s, parts.formula, parts.weights).split("; ")
    where = spatial.convention(s, parts.reading, parts.kernel)
    return f"MLP with {first}; {where}" if s.notes else "; ".join([f"MLP with {first}", *rest, where])


def applied(s: Subject) -> None:
    """Refuse the product of both gates, where F is not in it: it has no sign, and bounds."""
    with torch.no_grad():
        out = s(1e4 * s.maps(0))
    if out.min() >= 0 and 1e-3 < out.max() < 4.1:
        says = f"for large F of both signs, what comes out lies between {out.min():.3f} and {out.max():.3f}"
        s.trial.refuse("returns_the_gate", f"{says}: it is the product of the gates, without F")


# ---- R is a product --------------------------------------------------------------------------------------------------


def patterns(R: Tensor) -> tuple[Tensor, Tensor, float]:
    """Of R (B, C, H, W): how its channels differ (B, C), how its places do (B, HW), how far it is from a product."""
    U, S, V = torch.linalg.svd(R.flatten(2), full_matrices=False)
    channels, places = U[:, :, 0], V[:, 0]
    return (
        channels * channels.sum(1, keepdim=True).sign(),
        places * places.sum(1, keepdim=True).sign(),
        (S[:, 1] / S[:, 0]).max().item(),
    )


def two_gates(s: Subject) -> None:
    F = s.maps(0)
    R = s.R(F)
    channels, places, off = patterns(R)
    if close(R, R[:, :1, :1, :1].expand_as(R), 1e-9):
        says = f"each image is scaled by one number, the first by {R[0, 0, 0, 0]:.3f}: your spatial gate reads a gate"
        s.trial.refuse("gates_not_applied", says)
    if close(channels, channels[:, :1].expand_as(channels), 1e-9) and off < 1e-9:
        lost(s)
        s.trial.refuse(
            "no_channel_gate", f"at one place all {s.channels} channels are scaled alike, by {R[0, 0, 0, 0]:.3f}"
        )
    if close(places, places[:, :1].expand_as(places), 1e-9) and off < 1e-9:
        s.trial.refuse("no_spatial_gate", f"in one channel all places are scaled alike, by {R[0, 0, 0, 0]:.3f}")
    if off > 1e-9:
        no_product(s, F, R)


def lost(s: Subject) -> None:
    """Refuse M_s(F') F: the spatial gate reads F', computed with the student's weights, but F is what it scales."""
    mlp = [w for w in s.parameters().values() if w.numel() > 1 and 2 not in w.shape]  # without the convolution's
    pairs = [(F, s.R(F)[:, :1]) for F in (s.maps(0, batch=4), 0.2 * s.maps(5, size=(8, 9)))]
    for formula in formulas.both_right():
        for way in assignments(mlp, formula.needs, C=s.channels):
            primes = [(formula.gates(F, way) * F, M_s) for F, M_s in pairs]
            if windows.first_fit(windows.readings(right=True), primes) is not None:
                says = f"all {s.channels} channels are scaled alike, by M_s(F'): the channel gate is in F' only"
                s.trial.refuse("scales_F", says)


def no_product(s: Subject, F: Tensor, R: Tensor) -> None:
    """R is no product of a channel's and a place's gate: which arrangement of the gates is it?"""
    ratios = R[0, 0, 0, :2] / R[0, 1, 0, :2]
    says = f"at two places the gates of channels 0 and 1 have the ratios {ratios[0]:.3f} and {ratios[1]:.3f}"
    says += "; in CBAM all places have one"
    found = matching(wrong_arrangements(s.module), s.parameters().values(), [(F, R)], C=s.channels)
    if found is not None:
        s.trial.refuse(found[0].key, says)
    closed(s)
    s.trial.refuse("", says)


def closed(s: Subject) -> None:
    """Refuse with a name, if the values of R for very large maps say what closes the gates."""
    usual, large, larger = (s.R(scale * s.maps(0)) for scale in (1.0, 1e4, 1e6))
    found = closing(usual, large, larger, gates=2)
    if found:
        s.trial.refuse(*found)


# ---- which gate comes first? -----------------------------------------------------------------------------------------


def influences(s: Subject) -> tuple[set[str], set[str]]:
    """The names of the weights that change how channels differ, and of those that change how places differ."""
    F = s.maps(5, batch=4, size=(4, 7))
    F = torch.cat([F, -F])  # a hidden unit that is silent for one is awake for the other
    channels, places, _ = patterns(s.R(F))
    on_channels, on_places = set(), set()
    for name, weight in s.module.named_parameters():
        with torch.no_grad():
            kept = weight.detach().clone()
            weight.mul_(1.03125).add_(0.01)
            other_channels, other_places, _ = patterns(s.R(F))
            weight.copy_(kept)
        on_channels |= set() if close(other_channels, channels, 1e-11) else {name}
        on_places |= set() if close(other_places, places, 1e-11) else {name}
    return on_channels, on_places


def order(s: Subject) -> None:
    """In a CBAM the channel gate's weights change both gates, the convolution's only the spatial gate."""
    on_channels, on_places = influences(s)
    if not on_channels & on_places:
        says = f"the spatial gate stays as it is when {first(on_channels)}, a weight of the channel gate, changes"
        s.trial.refuse("spatial_reads_F", f"{says}: it does not see F'")
    if on_places < on_channels:
        says = f"{first(on_places)}, a weight of the spatial gate, changes the channel gate"
        s.trial.refuse("spatial_first", f"{says}; {first(on_channels - on_places)} changes the channel gate only")


def first(names: set[str]) -> str:
    return min(names, default="a weight")


# ---- the two gates ---------------------------------------------------------------------------------------------------


def measured(s: Subject, say: bool) -> Parts:
    """The channel gate's formula with the student's weights, and the spatial gate's kernel; else a refusal."""
    names, _ = influences(s)
    own: dict[str, Tensor] = dict(s.module.named_parameters())
    given = [s.maps(0, batch=4), 5 * s.maps(4, size=(6, 7)), 0.2 * s.maps(5, size=(8, 9))]
    pairs = [(F, s.R(F)) for F in given]
    if say:
        s.trial.tries(f"two draws of weights: R is, up to a factor for each place, the gate {channel.BOTH_EQUATION}")
    mlp = [own[name] for name in own if name in names]
    formula, weights, exact = channel_gate(s, mlp, names, pairs)
    if say:
        s.trial.tries("R divided by M_c is sigmoid(conv([mean; max])), mean and max over the channels of F' = M_c F")
    rest = [own[name] for name in own if name not in names] or mlp
    found = spatial_gate(s, formula, weights, rest, pairs)
    return Parts(formula, weights, exact, *found)


def channel_gate(s: Subject, weights: list[Tensor], names: set[str], pairs: Pairs) -> tuple[Formula, Weights, float]:
    """The formula of M_c, which of the weights is which, and how exact they are."""
    found = proportional(formulas.both_right(), weights, pairs, s.channels)
    if found is not None:
        return *found, EXACT
    wrong = (formula for close in formulas.RIGHT_CLOSINGS.values() for formula in formulas.both_wrong(close))
    wrong_one = proportional(wrong, weights, pairs, s.channels)
    R = pairs[0][1]
    says = f"at the first place of the first image R of the channels 0, 1, 2 is {three(R[0, :3, 0, 0])}"
    if wrong_one is not None:
        s.trial.refuse(wrong_one[0].key, says)
    found = from_outside(s, names, pairs)
    if found is not None:
        return *found, 100 * EXACT
    return s.trial.refuse("", f"{says}; this is not what M_c = {channel.BOTH_EQUATION} gives with your weights")


def from_outside(s: Subject, names: set[str], pairs: Pairs) -> tuple[Formula, Weights] | None:
    """The channel gate measured on its own, where its weights cannot be told apart by their shapes."""
    alone = channel_subject(s, names)
    if alone is None:
        closed(s)
        return None
    wrong = list(formulas.both_wrong(torch.sigmoid))
    equation = channel.Equation(channel.BOTH_EQUATION, formulas.both_right, wrong, same_averages_and_maxima)
    found = channel.from_outside(alone, [(F, alone.R(F)) for F, _ in pairs], equation)
    if found is None:
        closed(s)
        descriptors(alone, equation.alike)
        bends(alone)
    return found


def proportional(
    candidates: Iterable[Formula], weights: list[Tensor], pairs: Pairs, C: int
) -> tuple[Formula, Weights] | None:
    """The first formula whose gates are R up to one factor for each place, which is the spatial gate."""
    ways: dict[Any, list[Weights]] = {}
    for formula in candidates:
        key = tuple(formula.needs.items())
        if key not in ways:
            ways[key] = list(assignments(weights, formula.needs, C=C))
        for way in ways[key]:
            if all(factor(formula.gates(F, way), R) is not None for F, R in pairs):
                return formula, way
    return None


def factor(M_c: Tensor, R: Tensor) -> Tensor | None:
    """q (B, 1, H, W) with R = q M_c at every channel, None if there is none."""
    if M_c.shape[:2] != R.shape[:2]:
        return None
    M_c = M_c.expand_as(R)
    largest = M_c.abs().argmax(1, keepdim=True)
    q = R.gather(1, largest) / M_c.gather(1, largest)
    fits = (R - q * M_c).abs() <= EXACT * (q * M_c).abs() + 1e-12
    return q if bool(fits.all()) else None


def spatial_gate(
    s: Subject, formula: Formula, weights: Weights, own: list[Tensor], pairs: Pairs
) -> tuple[Reading, Kernel]:
    """The convolution of the spatial gate, which reads F'; a known mistake is refused."""
    found = spatial.explained(prime(formula, weights, pairs), right=True)
    if found is None and spatial.explained(unscaled(formula, weights, pairs), right=True):
        s.trial.refuse("spatial_reads_F", "M_s follows from a convolution of [mean; max] of F, not of F' = M_c F")

    def rows() -> Pairs:
        F = s.maps(31, batch=3 * s.channels, size=(1, 9))
        return prime(formula, weights, [(F, s.R(F))])

    if found is None:
        spatial.competing(s, prime(formula, weights, pairs)[0][1])
    found = spatial.convolution(s, prime(formula, weights, pairs), own, rows)
    if found is None:
        closed(s)
        s.trial.refuse("", "no kernel up to 11x11 gives M_s = R / M_c from the mean and the maximum of F'")
    return found


def prime(formula: Formula, weights: Weights, pairs: Pairs) -> Pairs:
    """Pairs (F', M_s) from pairs (F, R)."""
    found = []
    for F, R in pairs:
        M_c = formula.gates(F, weights)
        q = factor(M_c, R)
        found.append((M_c * F, (R / M_c)[:, :1] if q is None else q))
    return found


def unscaled(formula: Formula, weights: Weights, pairs: Pairs) -> Pairs:
    """Pairs (F, M_s) from pairs (F, R)."""
    return [(F, M_s) for (F, _), (_, M_s) in zip(pairs, prime(formula, weights, pairs), strict=True)]


def agree(s: Subject, parts: Parts) -> None:
    """The proof: R of fresh maps follows from both gates."""
    for F in (s.maps(21), s.maps(22, size=(1, 5)), 50 * s.maps(23, size=(16, 4))):
        M_c = parts.formula.gates(F, parts.weights)
        expected = M_c * windows.predicted(parts.reading, parts.kernel, M_c * F)
        apart = (expected - s.R(F)).abs().max().item()
        if not apart < parts.exact:
            s.trial.refuse("", f"R of fresh maps {tuple(F.shape)} differs from M_c M_s by up to {apart:.3g}")
